#!/usr/bin/env bash
# Finds the threshold that serves one half of a corpus best, for use on the other half.

# Begin configuration section.
cmd=run_jobs.sh
nj=1
resume=false
thresholds=
# End configuration section.

help_message="Usage: $0 [options] <xvector-dir> <ref-rttm> <out-dir> [<options of ssahc tune> ...]

Writes tuning.csv (the error rate at every threshold) and config.toml (the options, with
the best threshold) to <out-dir>. The other half is then diarized with
ssahc diarize --config <out-dir>/config.toml.

e.g.: $0 --thresholds \"-0.1 0 0.1\" exp/xvectors/callhome1 exp/xvectors/callhome1/ref.rttm exp/plda/tuned/callhome1 --system plda --model-dir exp/models/callhome2

Options:
  --cmd <command>        # how to run the job (default: $cmd)
  --nj <n>               # processes in the job (default: $nj)
  --resume <true|false>  # do nothing if <out-dir>/config.toml is there and of the same
                         # options (default: $resume)
  --thresholds <list>    # to try, separated by spaces (default: those of ssahc tune)"

# shellcheck source=egs/callhome/local/parse_options.sh
. "$(dirname "$0")/parse_options.sh"
# shellcheck source=egs/callhome/local/jobs.sh
. "$(dirname "$0")/jobs.sh"
check_numbers 1 nj

if [[ $# -lt 3 ]]; then
  echo "$help_message" >&2
  exit 1
fi
xvectors=$1
reference=$2
out=$3
shift 3

for file in "$xvectors"/{xvector.scp,segments,utt2spk,spk2utt} "$reference"; do
  [[ -s $file ]] || { echo "$0: no such file, or an empty one: $file" >&2; exit 1; }
done
grid=()
if [[ -n $thresholds ]]; then
  # To the end of the text, where it returns 1, and not of its first line.
  read -rd '' -a grid <<< "$thresholds"
  grid=("--thresholds=$(IFS=,; echo "${grid[*]}")")
fi
options=$(printf '%q ' "$xvectors" "$reference" "${grid[@]}" "$@")
made_by=$out/.options
if $resume && [[ -s $out/config.toml && -f $made_by && $(< "$made_by") == "$options" ]]; then
  echo "$0: $out/config.toml is there"
  exit 0
fi
if ! mkdir -p "$out" || ! rm -f "$made_by"; then exit 1; fi
# $cmd is a command with options: it must fall apart into words.
# shellcheck disable=SC2086
interruptible $cmd "$out/log/tune.log" \
  ssahc tune "$xvectors" "$reference" "$out" --nj "$nj" "${grid[@]}" "$@" || exit 1
[[ -s $out/config.toml ]] || { echo "$0: no $out/config.toml; see $out/log/tune.log" >&2; exit 1; }
echo "$options" > "$made_by"
