#!/usr/bin/env bash
# Train extractors on public speech of single speakers, and compare how they are trained:
#
#   run.sh WORK [VOICES]
#
# WORK gets sources, voices, extractors, simulated conversations and two tables, losses.txt
# and sampling.txt. VOICES, if given, replaces the sources: the folders train, dev,
# test_librispeech, test_speechocean and languages, as step 2 makes them. What is there
# already is not made again.

set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: run.sh WORK [VOICES]" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
given=${2:+$(realpath "$2")}
mkdir -p "$1"
cd "$1"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# Epochs of every training, and hours of speech in each; recordings of each set of
# conversations.
epochs=${EPOCHS:-10}
hours=${HOURS:-2}
recordings=${RECORDINGS:-60}
others=${OTHERS:-10}

# 1. Sources: telephone prompts and letters in five languages, read English by native
#    speakers (LibriSpeech) and by speakers of Mandarin (speechocean762).
if [ -z "$given" ] && [ ! -d sources ]; then
  mkdir -p deb sources.unfinished
  (cd deb && apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav \
    asterisk-prompt-it-menardi-wav klettres-data)
  for package in deb/*.deb; do
    dpkg -x "$package" sources.unfinished
  done
  for repository in jimbozhang/speechocean762 resemble-ai/Resemblyzer; do
    git -C sources.unfinished clone --depth 1 "https://github.com/$repository"
  done
  mv sources.unfinished sources
fi

# 2. A folder of audio files for each voice. None is in two of the sets.
if [ -n "$given" ]; then
  ln -sfn "$given" voices
elif [ ! -d voices ]; then
  mkdir -p voices.unfinished/{train,dev,test_librispeech,test_speechocean}
  for folder in sources/speechocean762/WAVE/SPEAKER*; do
    voice=so${folder##*SPEAKER}
    case $(awk -v voice="$voice" '$2 == voice { print $1 }' "$here/held_out") in
      test) set=test_speechocean ;;
      dev) set=dev ;;
      *) set=train ;;
    esac
    cp -r "$folder" "voices.unfinished/$set/$voice"
  done
  for file in sources/Resemblyzer/audio_data/librispeech_train-clean-100/*.flac; do
    voice=${file##*/}
    voice=ls${voice%%-*}
    mkdir -p "voices.unfinished/train/$voice"
    cp "$file" "voices.unfinished/train/$voice"
  done
  for folder in sources/Resemblyzer/audio_data/librispeech_test-other/*; do
    cp -r "$folder" "voices.unfinished/test_librispeech/lt${folder##*/}"
  done
  while read -r language voice folder; do
    mkdir -p "voices.unfinished/languages/$language"
    cp -r "sources/usr/share/$folder" "voices.unfinished/languages/$language/$voice"
  done < "$here/languages"
  mv voices.unfinished voices
fi

# 3. Features of the networks that take MFCC, which are computed once. Nothing is added to
#    the speech, so that all networks see the same.
for set in train dev; do
  if [ ! -d "features/$set" ]; then
    python "$here/features.py" "voices/$set" features/unfinished
    mv features/unfinished "features/$set"
  fi
done
printf '%s_share = 0.0\n' speed room noise babble telephone > clean.toml

train() { # network, folder of the extractor, options
  local speech=(--features --train features/train --dev features/dev)
  if [ "$1" = sincnet ]; then
    speech=(--train voices/train --dev voices/dev --augmentation clean.toml)
  fi
  ssahc train-extractor "$2" --resume --network "$1" "${speech[@]}" --width 128 \
    --max-chunk 2 --epochs "$epochs" --epoch-hours "$hours" "${@:3}"
}

# 4. Losses: equal error rates of speakers that are in no training. First what needs no
#    network: mean and standard deviation of the MFCC, and deviations alone, with PLDA.
tests=(voices/test_librispeech voices/test_speechocean)
angular=(--loss aam-softmax --margin-size 0.2 --scale 20 --lr 4e-3)
train sincnet sincnet_softmax --loss softmax
train sincnet sincnet_center --loss center
train sincnet sincnet_congenerous-cosine --loss congenerous-cosine --scale 20
train sincnet sincnet_aam-softmax "${angular[@]}"
train sincnet sincnet_contrastive --loss contrastive
train sincnet sincnet_triplet --loss triplet --distance cosine --sampling all
train sincnet sincnet_triplet-hard --loss triplet --distance cosine --sampling hard
train tdnn tdnn_aam-softmax "${angular[@]}"
train attention attention_aam-softmax "${angular[@]}"
# The same with the mean of lines and rooms, which statistics have, too.
for network in sincnet tdnn attention; do
  train "$network" "${network}_no-mean" "${angular[@]}" --mean none
done
{
  echo "extractor speech scoring EER-full EER-1.5s"
  for extractor in statistics deviations \
    {sincnet,tdnn,attention}_{aam-softmax,no-mean}; do
    python "$here/eer.py" "$extractor" voices/train "${tests[@]}"
  done
  for loss in softmax center congenerous-cosine contrastive triplet triplet-hard; do
    ssahc score-extractor "sincnet_$loss" "${tests[@]}" |
      awk -v name="sincnet_$loss" '/^voices/ { print name, $1, "cosine", $4, $5 }'
  done
} > losses.txt
cat losses.txt

# 5. Conversations of voices that are in no training, without overlap: of two to five
#    speakers of English, and of two speakers of one of five languages.
make() { # voices, name, options
  if [ ! -d "conversations/$2" ]; then
    mkdir -p conversations
    ssahc simulate-audio "$1" "conversations/$2" --overlap 0 --silence 0.1 \
      --min-seconds 30 --max-seconds 60 "${@:3}"
  fi
}
mkdir -p voices_of_conversations
ln -sfn "$PWD"/voices/test_*/* voices_of_conversations
make voices_of_conversations all --recordings "$recordings" --seed 1
for language in en es fr it ru; do
  make "voices/languages/$language" "$language" --recordings "$others" --max-speakers 2 \
    --max-seconds 40 --condition telephone --seed 2
done
for set in all en es fr it ru; do
  folder=conversations/$set
  sed -E "s|^([^ ]+) +|$set-\1 $PWD/$folder/|" "$folder/wav.scp" >&3
  sed "s|^SPEAKER |SPEAKER $set-|" "$folder/ref.rttm" >&4
  awk -v set="$set" '{ print set "-" $1, set }' "$folder/wav.scp" >&5
done 3> wav.scp 4> ref.rttm 5> sets

# 6. Losses, sampling and margins: diarization error rates with the speech of the
#    reference, clustered by x-means, which finds the number of speakers, and k-means.
for loss in triplet quadruplet; do
  for sampling in random semi-hard distance-weighted; do
    for margin in fixed adaptive-floored; do
      name=attention_${loss}_${sampling}_$margin
      train attention "$name" --loss "$loss" --sampling "$sampling" --margin "$margin"
      ssahc diarize wav.scp "diarized_$name" --resume --extractor "$name" \
        --segments ref.rttm --rttm-channel 1 --system cosine --final-clustering kmeans
      echo "$loss, $sampling, $margin"
      ssahc score ref.rttm "diarized_$name/rttm" --summary --by speakers --by sets
    done
  done
done > sampling.txt
cat sampling.txt
