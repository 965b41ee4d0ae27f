#!/usr/bin/env bash
# Speaker diarization of the CALLHOME part of NIST SRE 2000, from the speech to Table 1
# of Singh & Ganapathy, "Deep self-supervised hierarchical clustering for speaker
# diarization" (Interspeech 2020). Kaldi's public network makes the x-vectors, without
# Kaldi; stages 3 to 8 also run on x-vectors of any origin, or on simulated ones.

caller=$PWD
cd "$(dirname "$0")" || exit 1

# Begin configuration section.
stage=0
stop_stage=8
nj=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
split=1
resume=false
dir=$PWD
corpus=
key=
nnet_dir=
xvectors=
models=
train_xvectors=
halves=
simulate=false
simulate_opts="--recordings 12 --duration 120"
systems=
paper=false
thresholds="-2 -1 -0.5 -0.3 -0.1 0 0.1 0.3 0.5 1"
# End configuration section.

help_message="Usage: $0 [options]

e.g.: $0 --simulate true
      $0 --xvectors /data/xvectors --models /data/models
      $0 --corpus /corpora/LDC2001S97

What to start from:
  --simulate <true|false>   # x-vectors that are simulated: no data needed (default: $simulate)
  --simulate-opts <opts>    # of ssahc simulate (default: $simulate_opts)
  --xvectors <dir>          # or two folders in <dir>, one a half, each with xvector.scp,
                            # segments, utt2spk, spk2utt, ref.rttm, reco2num_spk
  --halves <\"a b\">          # their names (default: those that are there)
  --models <dir>            # <dir>/<half> has mean.vec, transform.mat and plda of that
                            # half; they are used on the other half
  --train-xvectors <dir>    # or make these from labelled x-vectors (xvector.scp, utt2spk)
  --corpus <dir>            # or the speech: the LDC's LDC2001S97
  --key <dir>               # its references, sre2000-key (default: they are downloaded)
  --nnet-dir <dir>          # Kaldi's public model, exp/xvector_nnet_1a in it, or another of
                            # its form (default: it is downloaded)
What to do:
  --systems <\"...\">         # rows of conf/table1 (default: all; with --simulate those
                            # of the paper's table, and the defaults)
  --thresholds <\"...\">      # to choose from (default: $thresholds)
  --paper <true|false>      # the paper's figures in the table (default: $paper; true if
                            # the x-vectors are made here, of the same recordings)
  --dir <dir>               # holds data and exp (default: the recipe's folder)
  --stage <n>               # start here (default: $stage)
  --stop-stage <n>          # stop after this (default: $stop_stage): 0 data, 1 network,
                            # 2 x-vectors, 3 models, 4 N* known, 5 thresholds,
                            # 6 N* unknown, 7 scores, 8 table and report
  --resume <true|false>     # keep what an interrupted run with the same options has
                            # finished (default: $resume)
  --nj <n>                  # so many jobs at a time (default: the processors, $nj)
  --split <n>               # each half of each system in so many jobs (default: $split)"

# shellcheck source=egs/callhome/cmd.sh
. ./cmd.sh
# shellcheck source=egs/callhome/local/parse_options.sh
. local/parse_options.sh
# shellcheck source=egs/callhome/local/jobs.sh
. local/jobs.sh
check_numbers 0 stage stop_stage
check_numbers 1 nj split
# shellcheck source=egs/callhome/path.sh
. ./path.sh || exit 1

if [[ $# -ne 0 ]]; then
  echo "$help_message" >&2
  exit 1
fi
# Folders are named from where the recipe was called.
for name in dir corpus key nnet_dir xvectors models train_xvectors; do
  if [[ -n ${!name} && ${!name} != /* ]]; then printf -v "$name" %s "$caller/${!name}"; fi
done
data=$dir/data
exp=$dir/exp
mkdir -p "$data" "$exp" || exit 1
lock_output "$exp"

title="DER %, 0.25 s collar, overlap not scored, both halves pooled"
from_speech=false
if $simulate; then
  if [[ -n $xvectors ]]; then
    echo "$0: --xvectors and --simulate true: which of them?" >&2
    exit 1
  fi
  xvectors=$data/simulated
  train_xvectors=$xvectors/train
  halves="a b"
  title="Simulated conversations: $title"
elif [[ -z $xvectors ]]; then
  xvectors=$exp/xvectors
  halves="callhome1 callhome2"
  from_speech=true
  paper=true
  if [[ $stage -eq 0 && -z $corpus ]]; then
    echo "$0: what to start from? Speech (--corpus DIR), x-vectors (--xvectors DIR" \
      "--models DIR), or a simulation (--simulate true)" >&2
    exit 1
  fi
fi

# The field of a row in conf/table1, by its number.
field_of() {
  awk -F ' *[|] *' -v row="$1" -v number="$2" '$1 == row { print $number }' conf/table1
}
rows=$(awk -F ' *[|] *' '/^[^#]/ { print $1 }' conf/table1)
if [[ -z $systems ]]; then
  systems=$rows
  # The paper has one target energy, and here time counts.
  if $simulate; then systems=$(grep -v te0.3 <<< "$systems"); fi
fi
for system in $systems; do
  if [[ -z $(field_of "$system" 1) ]]; then
    echo "$0: conf/table1 has no row \"$system\"; it has ${rows//$'\n'/, }" >&2
    exit 1
  fi
done

# Is this stage to be run?
stage_is() {
  ((stage <= $1 && $1 <= stop_stage))
}

# Data preparation: 500 telephone calls of 2 to 7 speakers, in two halves. Each half
# serves the other as the set on which things are tuned.
if stage_is 0; then
  if $simulate; then
    echo "$0: stage 0: simulating conversations"
    # Speakers, channels and noise are drawn from a PLDA model, turn-taking from a
    # simple model of conversations: see ssahc/simulation/.
    done=$data/.simulated
    if ! $resume || [[ ! -f $done || $(< "$done") != "$simulate_opts" ]]; then
      rm -f "$done"
      # To the end of the text, where it returns 1, and not of its first line.
      read -rd '' -a options <<< "$simulate_opts"
      interruptible ssahc simulate "$xvectors" "${options[@]}" || exit 1
      echo "$simulate_opts" > "$done"
    fi
  elif $from_speech; then
    echo "$0: stage 0: preparing CALLHOME from $corpus"
    local/make_callhome.sh ${key:+--key "$key"} "$corpus" "$data" || exit 1
  fi
fi

# The network that was trained to tell thousands of telephone speakers apart: David
# Snyder's public model, made by Kaldi's recipe callhome_diarization/v2. With the conf
# file of its features it is an extractor of ssahc.
extractor=$exp/extractor
if $from_speech; then
  public=$exp/0006_callhome_diarization_v2_1a/exp/xvector_nnet_1a
  : "${nnet_dir:=$public}"
fi
if $from_speech && stage_is 1; then
  echo "$0: stage 1: x-vector network"
  if [[ $nnet_dir == "$public" && ! -f $nnet_dir/final.raw ]]; then
    wget -O "$exp/model.tar.gz" \
      https://kaldi-asr.org/models/6/0006_callhome_diarization_v2_1a.tar.gz || exit 1
    tar -xzf "$exp/model.tar.gz" -C "$exp" || exit 1
  fi
  needed=(final.raw extract.config)
  if [[ -z $models && -z $train_xvectors ]]; then
    for half in $halves; do needed+=("xvectors_$half"/{mean.vec,transform.mat,plda}); done
  fi
  for name in "${needed[@]}"; do
    [[ -s $nnet_dir/$name ]] \
      || { echo "$0: no such file, or an empty one: $nnet_dir/$name" >&2; exit 1; }
  done
  mkdir -p "$extractor" || exit 1
  ln -sfn "$PWD/conf/mfcc.conf" "$extractor/mfcc.conf" || exit 1
  for name in final.raw extract.config {min,max}_chunk_size mfcc.conf; do
    if [[ -f $nnet_dir/$name ]]; then ln -sfn "$nnet_dir/$name" "$extractor/$name" || exit 1; fi
  done
fi

# x-vectors: speech is cut into windows of 1.5 s every 0.75 s, and the network makes a
# vector of 128 numbers of each. Its features are 23 cepstra, minus their mean over a
# sliding window of 3 s. The mean is taken before speech is cut into windows: within
# 1.5 s it would be a mean of hardly anything.
if $from_speech && stage_is 2; then
  echo "$0: stage 2: x-vectors"
  again=()
  if $resume; then again=(--resume); fi
  for half in $halves; do
    # $train_cmd is a command with options: it must fall apart into words.
    # shellcheck disable=SC2086
    interruptible $train_cmd "$exp/log/xvectors/$half.log" \
      ssahc extract "$data/$half/wav.scp" "$xvectors/$half" --extractor "$extractor" \
      --segments "$data/$half/segments" --window 1.5 --period 0.75 --min-segment 0.5 \
      --nj "$nj" "${again[@]}" || exit 1
    for name in ref.rttm reco2num_spk; do
      # What is newer than a run that uses it could not be resumed.
      cmp -s "$data/$half/$name" "$xvectors/$half/$name" \
        || cp "$data/$half/$name" "$xvectors/$half" || exit 1
    done
  done
fi

# From here on, the origin of the x-vectors does not matter.
if [[ -z $halves ]]; then
  for file in "$xvectors"/*/xvector.scp; do
    folder=$(dirname "$file")
    # x-vectors to train on may lie beside the halves.
    if [[ -f $folder/segments && -f $folder/ref.rttm ]]; then
      halves+="${halves:+ }$(basename "$folder")"
    fi
  done
fi
read -r first second rest <<< "$halves"
if [[ -z $second || -n $rest ]]; then
  echo "$0: expected two x-vector folders in $xvectors, found \"$halves\"; name them with" \
    "--halves" >&2
  exit 1
fi
declare -A other=([$first]=$second [$second]=$first)
if [[ -z $models && -z $train_xvectors ]] && ! $from_speech; then
  echo "$0: --xvectors needs --models, or --train-xvectors to make them from" >&2
  exit 1
fi

# Whether its number of speakers hangs on a threshold.
has_threshold() {
  [[ $(field_of "$1" 5) == threshold ]]
}

# Two systems at a time take two processors. So a stage first writes its commands to a
# file, one a line, and then runs as many of them at a time as --nj says; each of them
# hands its work to $decode_cmd or $train_cmd. Any line can be run by hand, here and with
# path.sh read: the first line of the file says so.
start_commands() {
  commands=$exp/log/$1/commands
  mkdir -p "$exp/log/$1" || exit 1
  printf '# To run one by hand: cd %q && . ./path.sh\n' "$PWD" > "$commands" || exit 1
}
add_command() {
  printf '%q ' "$@" >> "$commands" && echo >> "$commands"
}
run_commands() {
  local count number
  # The first line is no command.
  count=$(grep -c . "$commands")
  echo "$0: $((count - 1)) commands, $nj at a time: $commands"
  number=$(name_unlike LINE "$commands")
  # shellcheck disable=SC2016  # the line is looked up where it runs
  ((count == 1)) || interruptible local/run_jobs.sh --max-jobs-run "$nj" --progress 10 \
    "$number"=2:"$count" "$(dirname "$commands")/$number.log" \
    bash -c 'line=$(sed -n "$1p" "$0"); eval "${line:?: no line $1 in $0}"' \
    "$commands" "$number"
}

# Models: the mean of the x-vectors, a transform that whitens them, and a PLDA. The
# first two come from a CALLHOME half without its labels, and adapt the PLDA, which
# comes from thousands of other speakers with labels, to this corpus. All are used on
# the other half alone.
if stage_is 3 && [[ -z $models ]]; then
  echo "$0: stage 3: models"
  for half in "$first" "$second"; do
    # What the model is made from: one made from other things is made anew.
    origin=$(printf '%q ' "${train_xvectors:-$nnet_dir}" "$xvectors/$half" \
      "$simulate" "$simulate_opts")
    made_by=$exp/models/$half/.origin
    if $resume && [[ -f $made_by && $(< "$made_by") == "$origin" ]]; then continue; fi
    rm -f "$made_by"
    if [[ -n $train_xvectors ]]; then
      interruptible ssahc fit "$train_xvectors" "$exp/models/$half" --whiten-from "$xvectors/$half" || exit 1
    else
      # Those of the public model.
      mkdir -p "$exp/models/$half" || exit 1
      cp "$nnet_dir/xvectors_$half"/{mean.vec,transform.mat,plda} "$exp/models/$half" || exit 1
    fi
    echo "$origin" > "$made_by" || exit 1
  done
fi
: "${models:=$exp/models}"
if stage_is 3; then
  # A fault in the data is better found now than after an hour.
  for half in "$first" "$second"; do
    interruptible ssahc check "$xvectors/$half" --model-dir "$models/${other[$half]}" || exit 1
    for file in "$xvectors/$half"/{ref.rttm,reco2num_spk}; do
      [[ -s $file ]] || { echo "$0: no such file, or an empty one: $file" >&2; exit 1; }
    done
  done
fi

# Diarization with the number of speakers known: clustering ends when so many are left.
if stage_is 4; then
  echo "$0: stage 4: diarization, N* known"
  start_commands known
  for system in $systems; do
    read -ra options <<< "$(field_of "$system" 6)"
    for half in "$first" "$second"; do
      add_command local/diarize.sh --cmd "$decode_cmd" --nj "$split" --resume "$resume" \
        "$xvectors/$half" "$exp/$system/known/$half" --model-dir "$models/${other[$half]}" \
        "${options[@]}" --reco2num-spk "$xvectors/$half/reco2num_spk"
    done
  done
  run_commands || exit 1
fi

# Thresholds: when N* is unknown, clustering ends when no two clusters are as alike as a
# threshold says. For PLDA it is a log-likelihood ratio, and would be 0 if PLDA's
# assumptions held; for the others a cosine or a sum of both. Each half's recordings are
# clustered once, cut at every threshold and scored; the best is for the other half.
# (Spectral clustering takes the number of speakers from a gap in the eigenvalues; the
# defaults have a threshold of their own.)
if stage_is 5; then
  echo "$0: stage 5: thresholds"
  start_commands tuned
  for system in $systems; do
    has_threshold "$system" || continue
    read -ra options <<< "$(field_of "$system" 6)"
    for half in "$first" "$second"; do
      add_command local/tune.sh --cmd "$train_cmd" --nj "$split" --resume "$resume" \
        --thresholds "$thresholds" "$xvectors/$half" "$xvectors/$half/ref.rttm" \
        "$exp/$system/tuned/$half" --model-dir "$models/${other[$half]}" "${options[@]}"
    done
  done
  run_commands || exit 1
fi

# Diarization with the number of speakers unknown.
if stage_is 6; then
  echo "$0: stage 6: diarization, N* unknown"
  start_commands unknown
  for system in $systems; do
    for half in "$first" "$second"; do
      if has_threshold "$system"; then
        options=(--config "$exp/$system/tuned/${other[$half]}/config.toml")
      else
        read -ra options <<< "$(field_of "$system" 6)"
      fi
      add_command local/diarize.sh --cmd "$decode_cmd" --nj "$split" --resume "$resume" \
        "$xvectors/$half" "$exp/$system/unknown/$half" \
        --model-dir "$models/${other[$half]}" "${options[@]}"
    done
  done
  run_commands || exit 1
fi

# Scoring: both halves together, since the mean of two error rates is none. md-eval and
# ssahc score must agree.
if stage_is 7; then
  echo "$0: stage 7: scores"
  cat "$xvectors/$first/ref.rttm" "$xvectors/$second/ref.rttm" > "$exp/ref.rttm" || exit 1
  start_commands scores
  for system in $systems; do
    for condition in known unknown; do
      folder=$exp/$system/$condition
      cat "$folder/$first/rttm" "$folder/$second/rttm" > "$folder/rttm" || exit 1
      # DER %, N* known and unknown. The paper's figures are for the real x-vectors,
      # ours for the simulated ones of the same shape (callhome_shaped in docs/results):
      #                     paper           callhome_shaped
      #   plda              7.01   8.00     5.43   6.45
      #   plda-te0.3                        3.85   5.48
      #   cosine            8.86  10.00     6.78  11.03
      #   spectral          9.37  11.86     7.42   8.29
      #   ssa1              6.35   8.26     5.76   8.11
      #   ssa1-lambda0.1    6.47   8.33     5.73   8.02
      #   ssa1-lambda0.2    6.32   8.36     5.50   8.21
      #   ssa2              6.37   8.51     5.60   8.30
      #   ssa2-lambda0.1    6.30   8.60     5.66   8.24
      #   ssa2-lambda0.2    6.65   8.77     5.94   8.61
      #   ssa1+plda         5.88   7.38     4.73   6.44
      #   ssa1+plda-te0.3                   3.73   5.42
      #   ssa2+plda         6.10   7.50     4.88   6.74
      #   ssa2+plda-te0.3                   3.72   5.46
      #   defaults                          1.57   2.21
      add_command local/score.sh "$exp/ref.rttm" "$folder/rttm" "$folder"
    done
  done
  run_commands || exit 1
fi

# The table, and a page about the system that is best when N* is unknown: its recordings
# by error rate, each with its turns and affinities.
if stage_is 8; then
  echo "$0: stage 8: table and report"
  # shellcheck disable=SC2086  # a list of names
  local/make_table.sh --paper "$paper" --title "$title" conf/table1 "$exp" \
    "$first" "$second" $systems || exit 1
  echo "$0: this table is in $exp/table1.txt and table1.md"
  best=$(for system in $systems; do
    echo "$(< "$exp/$system/unknown/der") $system"
  done | sort -n | awk 'NR == 1 { print $2 }')
  for half in "$first" "$second"; do
    interruptible ssahc report "$exp/$best/unknown/$half" --ref "$xvectors/$half/ref.rttm" || exit 1
    echo "$0: $best in detail: $exp/$best/unknown/$half/report.html"
  done
fi
