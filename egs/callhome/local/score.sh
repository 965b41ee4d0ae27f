#!/usr/bin/env bash
# Scores an RTTM twice, with NIST's md-eval (if it can be found) and with ssahc, and
# insists that they agree.

# Begin configuration section.
collar=0.25
ignore_overlaps=true
md_eval=
# End configuration section.

help_message="Usage: $0 [options] <ref-rttm> <hyp-rttm> [<out-dir>]

Prints both diarization error rates in %. With <out-dir>, writes there what the two
programs say (md_eval.txt, ssahc.txt) and the rate alone (der).

e.g.: $0 exp/ref.rttm exp/plda/known/rttm
      $0 --collar 0 --ignore-overlaps false exp/ref.rttm exp/plda/known/rttm exp/plda/known

Options:
  --collar <seconds>              # not scored on each side of a boundary (default: $collar)
  --ignore-overlaps <true|false>  # leave out overlapped speech (default: $ignore_overlaps)
  --md-eval <path>                # md-eval.pl (default: that of Kaldi's sctk, that on the
                                  # path, or that of Debian's package sctk)"

# shellcheck source=egs/callhome/local/parse_options.sh
. "$(dirname "$0")/parse_options.sh"

if [[ $# -lt 2 || $# -gt 3 ]]; then
  echo "$help_message" >&2
  exit 1
fi
reference=$1
hypothesis=$2
out=${3:-}

for file in "$reference" "$hypothesis" ${md_eval:+"$md_eval"}; do
  [[ -s $file ]] || { echo "$0: no such file, or an empty one: $file" >&2; exit 1; }
done

find_md_eval() {
  local file
  for file in "${KALDI_ROOT:+$KALDI_ROOT/tools/sctk/bin/md-eval.pl}" \
    "$(command -v md-eval.pl)" /usr/lib/sctk/bin/md-eval.pl; do
    if [[ -f $file ]]; then
      echo "$file"
      return
    fi
  done
}

folder=$out
if [[ -z $out ]]; then
  folder=$(mktemp -d) || exit 1
  trap 'rm -r "$folder"' EXIT
fi
mkdir -p "$folder" || exit 1
# A rate of an earlier run must not outlive a failure of this one.
rm -f "$folder"/{der,md_eval.txt,ssahc.txt}

overlaps=()
md_overlaps=()
if $ignore_overlaps; then
  overlaps=(--ignore-overlaps)
  md_overlaps=(-1)
else
  overlaps=(--score-overlaps)
fi
ssahc score "$reference" "$hypothesis" --collar "$collar" "${overlaps[@]}" \
  > "$folder/ssahc.txt" || exit 1
ours=$(awk '$1 == "pooled" { rate = $2 } END { print rate }' < "$folder/ssahc.txt")
echo "ssahc score  $ours"

if [[ -z $md_eval ]]; then md_eval=$(find_md_eval); fi
if [[ -n $md_eval ]]; then
  # Perl would run a name that ends in a bar, and write to one that starts with ">".
  perl "$md_eval" "${md_overlaps[@]}" -c "$collar" -r /dev/fd/3 -s /dev/fd/4 \
    3< "$reference" 4< "$hypothesis" > "$folder/md_eval.txt" 2> "$folder/md_eval.err"
  rate=$(awk '/OVERALL SPEAKER DIARIZATION ERROR/ { print $6 }' < "$folder/md_eval.txt")
  if [[ -z $rate ]]; then
    echo "$0: $md_eval gave no error rate for $hypothesis; it says:" >&2
    tail -n 3 "$folder/md_eval.err" >&2
    exit 1
  fi
  rm -f "$folder/md_eval.err"
  echo "md-eval      $rate"
  # Both are rounded to two digits, and each may round its own way.
  if ! awk -v a="$rate" -v b="$ours" 'BEGIN { d = a - b; exit !(d * d < 0.0002) }'; then
    echo "$0: md-eval and ssahc disagree on $hypothesis: $rate % and $ours %" >&2
    exit 1
  fi
else
  echo "$0: no md-eval.pl found (--md-eval); not compared with it" >&2
  rate=$ours
fi
if [[ -n $out ]]; then echo "$rate" > "$out/der"; fi
