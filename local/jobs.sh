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
