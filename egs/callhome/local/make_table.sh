#!/usr/bin/env bash
# Prints the error rates of a recipe's systems in the layout of Table 1 of Singh &
# Ganapathy (Interspeech 2020).

# Begin configuration section.
paper=false
title="DER %, 0.25 s collar, overlap not scored, both halves pooled"
# End configuration section.

help_message="Usage: $0 [options] <table> <exp-dir> <half1> <half2> <system> ...

Reads <exp-dir>/<system>/{known,unknown}/der, and the thresholds that were used; <table>
says how the systems are called (see conf/table1). Below the table it says in words why a
row is better or worse than others: what an unknown number of speakers costs, how often
it is estimated wrongly (from <exp-dir>/ref.rttm and <exp-dir>/<system>/unknown/rttm, if
they are there), and what <table> says of the system. Writes table1.txt and table1.md to
<exp-dir> and prints the former.

e.g.: $0 conf/table1 exp callhome1 callhome2 cosine plda ssa1

Options:
  --paper <true|false>  # the paper's own figures beside ours (default: $paper)
  --title <text>        # the line above (default: $title)"

# shellcheck source=egs/callhome/local/parse_options.sh
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

field_of() { # system, number of the field
  awk -F ' *[|] *' -v row="$1" -v number="$2" '$1 == row { print $number }' < "$table"
}
threshold_of() { # system, half
  awk '$1 == "threshold" { print $3 + 0 }' < "$exp/$1/unknown/$2/config.toml"
}

# In how many recordings are too few or too many speakers found?
count_speakers() { # reference RTTM, RTTM
  awk '
    $1 != "SPEAKER" || seen[FILENAME, $2, $8]++ { next }
    FNR == NR { reference[$2]++; next }
    { found[$2]++ }
    END {
      for (id in reference) {
        all++
        few += found[id] + 0 < reference[id]
        many += found[id] + 0 > reference[id]
      }
      printf "too few speakers are found in %d, too many in %d of %d recordings", few, many, all
    }' "$1" "$2"
}

# Why a row is better or worse than another, a line for each.
reasons() {
  local system known unknown
  for system in "$@"; do
    known=$(< "$exp/$system/known/der")
    unknown=$(< "$exp/$system/unknown/der")
    printf '%s: %s. With N* unknown the error is %s' "$(field_of "$system" 2)" \
      "$(field_of "$system" 7)" "$(awk -v a="$known" -v b="$unknown" \
        'BEGIN { printf "%.2f points %s", b < a ? a - b : b - a, b < a ? "lower" : "higher" }')"
    if [[ -s $exp/ref.rttm && -s $exp/$system/unknown/rttm ]]; then
      printf ': %s' "$(count_speakers "$exp/ref.rttm" "$exp/$system/unknown/rttm")"
    fi
    echo .
  done
}

# row | known | unknown | thresholds | paper, known | paper, unknown
lines() {
  local system first second
  for system in "$@"; do
    first=$(field_of "$system" 5)
    if [[ $first == threshold ]]; then
      first=$(threshold_of "$system" "${halves[0]}")
      second=$(threshold_of "$system" "${halves[1]}")
      first="$first, $second"
    fi
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
    if (columns > 4) line = line sprintf("%17s%9s", $5, $6)
    print line
  }' | sed 's/ *$//' > "$exp/table1.txt"
{
  printf '\nWhy a row is better or worse than another:\n'
  reasons "$@" | fold -s -w 86 | sed -E 's/^/    /; s/ *$//'
} >> "$exp/table1.txt"
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
{
  echo
  reasons "$@" | sed 's/^/- /'
} >> "$exp/table1.md"
cat "$exp/table1.txt"
