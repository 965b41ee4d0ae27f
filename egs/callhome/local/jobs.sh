#!/usr/bin/env bash
# What the scripts that hand work to run_jobs.sh, run.pl or queue.pl share. To be sourced.

# run_jobs.sh is called by its name: a command with options falls apart into words, and
# the path of this folder may have spaces.
PATH=$PATH:$(cd "$(dirname "${BASH_SOURCE[0]}")" > /dev/null && pwd)

# Prints a name for the jobs' number, <name> or <name>_..., that is in none of the words:
# what runs jobs replaces it wherever it stands, even within a path.
name_unlike() { # name, word ...
  local name=$1
  shift
  while [[ "$*" == *"$name"* ]]; do name+=_; done
  echo "$name"
}

# Runs a command; if this script is told to end meanwhile, so is the command with all
# that is in its process group. (What runs in the foreground would first be waited for.)
interruptible() {
  local status
  trap 'end_group "$!" 143' TERM HUP
  trap 'end_group "$!" 130' INT
  set -m
  "$@" < /dev/null &
  set +m
  wait "$!"
  status=$?
  trap - TERM HUP INT
  return "$status"
}

end_group() { # process, status
  trap '' TERM HUP INT
  kill -TERM -- "-$1" 2> /dev/null
  wait "$1" 2> /dev/null
  exit "$2"
}

# Keeps other runs from writing to a folder, by the lock that ssahc itself takes, until
# this script ends and all jobs do, which inherit it. Ends the script (status 2) if
# another run has it, or it cannot be taken.
lock_output() { # folder
  local status
  output_lock=$1/.unfinished/lock
  mkdir -p "$1/.unfinished" 2> /dev/null
  if [[ -L $1/.unfinished || -L $output_lock || -e $output_lock && ! -f $output_lock ]] \
    || ! { exec {lock}>> "$output_lock"; } 2> /dev/null; then
    echo "$0: cannot write to $1 ($output_lock); take another folder" >&2
    exit 2
  fi
  flock -n "$lock" 2> /dev/null
  status=$?
  # The other run may have ended, and removed the file, just now.
  if ((status == 1)) || ! [[ $output_lock -ef /dev/fd/$lock ]]; then
    echo "$0: another run writes to $1 ($(cat "$output_lock" 2> /dev/null)); wait for its end, or take" \
      "another folder" >&2
    exit 2
  elif ((status != 0)); then
    echo "$0: $1 cannot be locked; see to it that no other run writes there" >&2
  fi
  trap unlock_output EXIT
  : > "$output_lock"
  echo "process $$ on $(uname -n) since $(date '+%F %T')" >&"$lock"
}

unlock_output() {
  if [[ $output_lock -ef /dev/fd/$lock ]]; then
    exec {lock}>&-
    # Unless a job is left, which holds it, or the next run has it.
    flock -n "$output_lock" rm -f "$output_lock" || true
  fi
  rmdir "$(dirname "$output_lock")" 2> /dev/null || true
}

# Ends the script unless the variables' values are whole numbers of <least> or more.
check_numbers() { # least, variable ...
  local least=$1 name
  shift
  for name in "$@"; do
    if ! [[ ${!name} =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((${!name} < least)); then
      echo "$0: --${name//_/-} takes a whole number from $least, found \"${!name}\"" >&2
      exit 1
    fi
  done
}
