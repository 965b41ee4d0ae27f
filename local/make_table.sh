#!/usr/bin/env bash
# Prints the error rates of a recipe's systems in the layout of Table 1 of Singh &
# Ganapathy (Interspeech 2020).

# Begin configuration section.
paper=false
title="DER %, 0.25 s collar, overlap not scored, both halves pooled"
# End configuration section.

help_message="Usage: $0 [options] <table> <exp-dir> <half1> <half2> <system> ...

Reads <exp-dir>/<system>/{known,unknown}/der, and the thresholds that were used; <table>
says how the systems are called (see egs/callhome/conf/table1). Writes table1.txt and
table1.md to <exp-dir> and prints the former.

e.g.: $0 conf/table1 exp callhome1 callhome2 cosine plda ssa1

Options:
  --paper <true|false>  # the paper's own figures beside ours (default: $paper)
  --title <text>        # the line above (default: $title)"

# shellcheck source=local/parse_options.sh
. "$(dirname "$0")/parse_options.sh"

if [[ $# -lt 5 ]]; then
  echo "$help_message" >&2
  exit 1
fi
set -e -o pipefail
table=$1
exp=$2
halves=("$3" "$4")
shift 4

for system in "$@"; do
  for condition in known unknown; do
    file=$exp/$system/$condition/der
    [[ -s $file ]] || { echo "$0: no such file: $file; score it first" >&2; exit 1; }
  done
done

threshold_of() { # system, half
  awk '$1 == "threshold" { value = $3 } END { print value == "" ? "eigengap" : value + 0 }' \
    < "$exp/$1/unknown/$2/config.toml"
}

# row | known | unknown | thresholds | paper, known | paper, unknown
lines() {
  local system first second
  for system in "$@"; do
    first=$(threshold_of "$system" "${halves[0]}")
    second=$(threshold_of "$system" "${halves[1]}")
    if [[ $first != eigengap ]]; then first="$first, $second"; fi
    awk -F ' *[|] *' -v OFS='|' -v row="$system" -v threshold="$first" \
      -v known="$(< "$exp/$system/known/der")" -v unknown="$(< "$exp/$system/unknown/der")" \
      '$1 == row { print $2, known, unknown, threshold, $3, $4 }' < "$table"
  done
}

columns=4
if $paper; then columns=6; fi
lines "$@" | awk -F '|' -v columns="$columns" -v title="$title" '
  BEGIN {
    print title
    printf "%-24s%10s%12s   %-12s", "", "N* known", "N* unknown", "thresholds"
    print (columns > 4 ? "the paper: known, unknown" : "")
  }
  {
    line = sprintf("%-24s%10.2f%12.2f   %-12s", $1, $2, $3, $4)
    if (columns > 4) line = line sprintf("%17.2f%9.2f", $5, $6)
    print line
  }' | sed 's/ *$//' > "$exp/table1.txt"
lines "$@" | awk -F '|' -v columns="$columns" -v title="$title" '
  BEGIN {
    print title "\n"
    print "| | N* known | N* unknown | thresholds |" \
      (columns > 4 ? " paper, N* known | paper, N* unknown |" : "")
    print "| --- | ---: | ---: | --- |" (columns > 4 ? " ---: | ---: |" : "")
  }
  {
    line = "|"
    for (field = 1; field <= columns; field++) line = line " " $field " |"
    print line
  }' > "$exp/table1.md"
cat "$exp/table1.txt"
