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
# Recordings of each set; epochs of the first training of each network, and how long the
# second one takes; hours of audio in their epochs.
recordings=${RECORDINGS:-120}
others=${OTHERS:-30}
epochs=${EPOCHS:-8}
minutes=${MINUTES:-35}
clean_hours=${CLEAN_HOURS:-1}
hours=${HOURS:-2}

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

# 3. Recordings. Clean ones come first in training: on noisy ones alone, a network takes
#    very long to find out that voices differ. The others have noise that it must not take
#    for speech, in rooms, close to microphones and over the telephone. One set has the
#    short turns and the overlap of meetings, one is mostly silent.
make() {
  if [ ! -d "$2" ]; then
    ssahc simulate-audio "voices/$1" "$2" --min-seconds 25 --max-seconds 60 "${@:3}"
  fi
}
noisy=(--background varied --min-snr 0 --max-snr 25 --gains 16)
meeting=(--overlap 0.15 --silence 0.15)
make train clean --recordings "$recordings" --max-speakers 3 --condition room --near 1 \
  --min-snr 30 --max-snr 60 --gains 6 --seed 1
make train turns --recordings "$recordings" "${noisy[@]}" --min-speakers 1 --near 0.3 --seed 2
make train rooms --recordings "$recordings" "${noisy[@]}" "${meeting[@]}" \
  --condition room --near 0.5 --seed 3
make train calls --recordings "$recordings" "${noisy[@]}" "${meeting[@]}" \
  --condition telephone --seed 4
make train quiet --recordings "$recordings" "${noisy[@]}" --overlap 0.1 --silence 0.4 \
  --min-speakers 1 --near 0.3 --seed 5
make dev dev_clean --recordings "$others" --max-speakers 3 --condition room --near 1 \
  --min-snr 30 --max-snr 60 --gains 6 --seed 11
make dev dev --recordings "$others" "${noisy[@]}" --near 0.3 --max-speakers 4 --seed 12
make test test --recordings "$others" --max-speakers 4 --seed 13
make test test_noisy --recordings "$others" "${noisy[@]}" "${meeting[@]}" --near 0.3 \
  --max-speakers 4 --seed 14

# 4. Two networks that differ in what they say of a frame.
for head in powerset multilabel; do
  ssahc train-segmentation "clean_$head" --resume --head "$head" --train clean \
    --dev dev_clean --epochs "$epochs" --epoch-hours "$clean_hours" --lr 2e-3 \
    --mix-share 0 --noise-share 0
  ssahc train-segmentation "$head" --resume --init "clean_$head" --train clean \
    --train turns --train rooms --train calls --train quiet --dev dev --epochs 1000 \
    --epoch-hours "$hours" --minutes "$minutes" --lr 2e-3 --mix-share 0.1 --noise-share 0.2
done

# 5. Local diarization error rates: of every chunk of 10 s by itself.
{
  for set in test test_noisy; do
    for head in powerset multilabel; do
      echo "$head, $set"
      ssahc score-segmentation "$head" "$set" | tail -n 4
    done
    echo "multilabel, $set, best threshold"
    ssahc score-segmentation multilabel "$set" --threshold best | tail -n 4
  done
} > table.txt
cat table.txt
