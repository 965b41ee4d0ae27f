# shellcheck shell=bash
# What the recipe's scripts find on their path. To be sourced in the recipe's folder.

# Everything is sorted as Kaldi's programs expect it.
export LC_ALL=C

# ssahc: the one on the path, else that of the checkout's environment (see README.md).
if ! command -v ssahc > /dev/null; then
  export PATH=$PWD/../../.venv/bin:$PATH
fi
if ! command -v ssahc > /dev/null; then
  echo "path.sh: no ssahc on the path, nor in $PWD/../../.venv; install it as the" \
    "project's README.md says, and call: PATH=.../.venv/bin:\$PATH $0" >&2
  return 1
fi
