#!/usr/bin/env bash
# Train segmentation networks from nothing but Debian packages, and compare them:
#
#   run.sh WORK [VOICES]
#
# WORK gets packages, voices, simulated recordings, networks and, in WORK/table.txt, their
# local diarization error rates. VOICES, if given, has a folder of audio files for each
# further voice to train on. What is there already is not made again.

set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: run.sh WORK [VOICES]" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
more=${2:+$(realpath "$2")}
mkdir -p "$1"
cd "$1"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# Recordings of each of three training sets, and of the others; seconds of each; options
# of the training of each network.
recordings=${RECORDINGS:-150}
others=${OTHERS:-30}
read -r shortest longest <<< "${LENGTHS:-25 60}"
read -ra training <<< "${TRAINING:---epochs 1000 --minutes 40}"

# 1. Packages: telephone prompts, and games that teach words and letters.
if [ ! -d packages ]; then
  mkdir -p deb packages.unfinished
  (cd deb && apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav \
    asterisk-prompt-it-menardi-wav klettres-data ktuberling-data)
  for package in deb/*.deb; do
    dpkg -x "$package" packages.unfinished
  done
  mv packages.unfinished packages
fi

# 2. A folder for each voice. No voice, and none of its language, is in two of the sets,
#    but for two speakers of Italian.
if [ ! -d voices ]; then
  mkdir -p voices.unfinished
  while read -r set voice folders; do
    mkdir -p "voices.unfinished/$set/$voice"
    for folder in $folders; do
      cp -r "packages/usr/share/$folder" "voices.unfinished/$set/$voice"
    done
  done < "$here/voices"
  if [ -n "$more" ]; then
    cp -r "$more"/* voices.unfinished/train
  fi
  mv voices.unfinished voices
fi

# 3. Recordings: rooms, close microphones and telephone lines, with noise that a network
#    must not take for speech. The test has the default noise as well.
make() {
  if [ ! -d "$2" ]; then
    ssahc simulate-audio "voices/$1" "$2" --min-seconds "$shortest" \
      --max-seconds "$longest" --overlap 0.15 --silence 0.15 "${@:3}"
  fi
}
hard=(--background varied --min-snr 0 --max-snr 25 --gains 16)
make train train_room --recordings "$recordings" --min-speakers 1 "${hard[@]}" \
  --condition room --near 0.3 --seed 1
make train train_close --recordings "$recordings" "${hard[@]}" --min-snr 5 --max-snr 30 \
  --condition room --near 1 --seed 2
make train train_calls --recordings "$recordings" --min-speakers 1 "${hard[@]}" \
  --condition telephone --seed 3
make dev dev --recordings "$others" "${hard[@]}" --near 0.4 --max-speakers 4 --seed 11
make test test --recordings "$others" --max-speakers 4 --seed 12
make test test_varied --recordings "$others" "${hard[@]}" --near 0.4 --max-speakers 4 --seed 13

# 4. Two networks that differ in what they say of a frame.
for head in powerset multilabel; do
  ssahc train-segmentation "$head" --resume --head "$head" "${training[@]}" \
    --train train_room --train train_close --train train_calls --dev dev
done

# 5. Local diarization error rates: of every chunk of 10 s by itself.
{
  for set in test test_varied; do
    for head in powerset multilabel; do
      echo "$head, $set"
      ssahc score-segmentation "$head" "$set" | tail -n 4
    done
    echo "multilabel, $set, best threshold"
    ssahc score-segmentation multilabel "$set" --threshold best | tail -n 4
  done
} > table.txt
cat table.txt
