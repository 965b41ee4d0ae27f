#!/usr/bin/env bash
# Runs a command, or an array of commands, on this machine: what Kaldi's run.pl does,
# where there is no Kaldi.

usage="Usage: $0 [options] [JOB=<first>:<last>] <log-file> <command> [<argument> ...]

Runs the command once for every number from first to last (JOB may have another name).
JOB is replaced by the number in the log file's name and in the command, also within a
word or a path. What a command prints goes to its log. The exit status is 0 if all of them ended well, else 1.

e.g.: $0 JOB=1:8 exp/log/diarize.JOB.log ssahc diarize data/split8/JOB exp/JOB
      $0 --max-jobs-run 2 JOB=1:8 exp/log/sleep.JOB.log sleep JOB

Options:
  --max-jobs-run <n>   # at most so many at the same time (default: the processors)
  --progress <seconds> # say at most this often how many have ended (default: never)
  others               # those of queue.pl (--mem 4G, --gpu 1, -V, ...) have no effect

Unlike run.pl, it hands arguments on untouched: a pipe needs bash -c 'one | two'."

fail() {
  echo "$0: $*" >&2
  exit 1
}

if [[ $1 == --help || $1 == -h ]]; then
  echo "$usage"
  exit 0
fi

max_jobs=
every=
name=
first=1
last=1
# As in Kaldi, options stand before or after JOB=1:N.
for _ in 1 2; do
  while [[ $1 == -* ]]; do
    case $1 in
      --max-jobs-run | -tc)
        [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1 takes a number above 0, found \"$2\""
        if [[ -z $max_jobs || $2 -lt $max_jobs ]]; then max_jobs=$2; fi
        shift 2
        ;;
      --progress)
        [[ $2 =~ ^(0|[1-9][0-9]*)$ ]] || fail "$1 takes a number of seconds, found \"$2\""
        every=$2
        shift 2
        ;;
      -V) shift ;;
      -pe) shift 3 || fail "$1 takes two values" ;;
      *) shift 2 || fail "$1 has no value" ;;
    esac
  done
  if [[ -z $name && $1 =~ ^([A-Za-z_][A-Za-z0-9_]*)=([0-9]+)(:([0-9]+))?$ ]]; then
    name=${BASH_REMATCH[1]}
    first=$((10#${BASH_REMATCH[2]}))
    last=$((10#${BASH_REMATCH[4]:-$first}))
    ((first >= 1 && first <= last)) || fail "$1: expected 1 <= first <= last"
    shift
  fi
done
if [[ $# -lt 2 ]]; then
  echo "$usage" >&2
  exit 1
fi
log_file=$1
shift
if ((first < last)) && [[ $log_file != *"$name"* ]]; then
  fail "$log_file: write $name into the name, or all jobs write to the same log"
fi
: "${max_jobs:=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}"

log_of() {
  if [[ -n $name ]]; then echo "${log_file//"$name"/$1}"; else echo "$log_file"; fi
}

run_job() {
  local number=$1 log started code
  local -a command
  shift
  log=$(log_of "$number")
  if [[ -n $name ]]; then command=("${@//"$name"/$number}"); else command=("$@"); fi
  if ! mkdir -p "$(dirname "$log")" 2> /dev/null || ! { : > "$log"; } 2> /dev/null; then
    echo "$0: cannot write $log" >&2
    return 1
  fi
  {
    echo "#$(printf ' %q' "${command[@]}")"
    echo "# Started at $(date)"
    echo "#"
  } > "$log" || return 1
  started=$SECONDS
  "${command[@]}" < /dev/null >> "$log" 2>&1
  code=$?
  {
    echo "# Accounting: time=$((SECONDS - started)) threads=1"
    echo "# Ended (code $code) at $(date), elapsed time $((SECONDS - started)) seconds"
  } >> "$log"
}

# Every job is a process group of its own, so that none outlives this script if it is
# interrupted, nor do the processes that a job has started.
set -m
group=
trap 'for group in $(jobs -p); do kill -TERM -- "-$group"; done; wait; exit 143' INT TERM HUP

# A log of an earlier run must not speak for a job that never started.
for ((number = first; number <= last; number++)); do rm -f "$(log_of "$number")" 2> /dev/null; done
running=0
ended=0
said=$SECONDS
all=$((last - first + 1))
wait_for_one() {
  wait -n
  running=$((running - 1))
  ended=$((ended + 1))
  if [[ -n $every ]] && ((SECONDS - said >= every && ended < all)); then
    said=$SECONDS
    echo "$0: $ended of $all jobs have ended, after $SECONDS s; about" \
      "$((SECONDS * (all - ended) / ended)) s left" >&2
  fi
}
for ((number = first; number <= last; number++)); do
  if ((running >= max_jobs)); then wait_for_one; fi
  run_job "$number" "$@" &
  running=$((running + 1))
done
while ((running > 0)); do wait_for_one; done
wait

failed=()
for ((number = first; number <= last; number++)); do
  [[ $(tail -n 1 "$(log_of "$number")" 2>/dev/null) == "# Ended (code 0)"* ]] \
    || failed+=("$number")
done
[[ ${#failed[@]} -gt 0 ]] || exit 0
if ((first == last)); then
  echo "$0: job failed, log is in $(log_of "$first")" >&2
else
  echo "$0: ${#failed[@]} / $((last - first + 1)) failed (${failed[*]})," \
    "log is in $(log_of '*')" >&2
fi
# What it said last, without the frame that is put around every log.
grep -sEv '^#( |$)' "$(log_of "${failed[0]}")" | tail -n 3 | sed 's/^/  /' >&2
exit 1
