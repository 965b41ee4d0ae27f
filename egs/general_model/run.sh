#!/usr/bin/env bash
# Make a general model of the embeddings of an extractor, from unlabelled speech, such as
# that of campplus, which comes with ssahc:
#
#   run.sh VOICES WORK EXTRACTOR [LIST]
#   egs/general_model/run.sh voices work campplus egs/general_model/campplus_voices
#
# VOICES has a folder of audio files for each voice (docs/results/real.md says how to get
# them), LIST those to take; by default all. WORK gets recordings, x-vectors and, in
# WORK/model, the model.

set -euo pipefail
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  echo "usage: run.sh VOICES WORK EXTRACTOR [LIST]" >&2
  exit 2
fi
voices=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")

# Only these voices: others judge the model.
rm -rf "$work/voices"
mkdir "$work/voices"
if [ $# -eq 4 ]; then cat "$4"; else ls "$voices"; fi | while read -r voice; do
  ls "$voices/$voice" > /dev/null
  ln -s "$(realpath "$voices/$voice")" "$work/voices/$voice"
done

# Conversations over the telephone and in rooms, and single voices: no voice is twice.
make() {
  ssahc simulate-audio "$work/voices" "$work/$1" --recordings 16 "${@:2}"
}
length=(--min-seconds 40 --max-seconds 120)
make calls --condition telephone "${length[@]}" --seed 1
make meetings --condition room --max-speakers 8 "${length[@]}" --seed 2 \
  --without "$work/calls/ref.rttm"
make one_voice --min-speakers 1 --max-speakers 1 --min-seconds 20 --max-seconds 100 \
  --seed 3 --without "$work/calls/ref.rttm" --without "$work/meetings/ref.rttm"

# One list of all, each recording named after its set as well.
for set in calls meetings one_voice; do
  awk -v set="$set" -v dir="$work/$set" '{print set "-" $1, dir "/" $2}' \
    "$work/$set/wav.scp" >&3
  awk -v set="$set" '{$2 = set "-" $2; print}' "$work/$set/ref.rttm" >&4
done 3> "$work/wav.scp" 4> "$work/ref.rttm"

ssahc extract "$work/wav.scp" "$work/xvectors" --extractor "$3" \
  --segments "$work/ref.rttm"
ssahc fit "$work/xvectors" "$work/model" --unsupervised
