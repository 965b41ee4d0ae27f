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

# Kaldi, if there is one: only the way from the audio to the x-vectors needs it.
if [ -n "${KALDI_ROOT:-}" ]; then
  if [ ! -f "$KALDI_ROOT/tools/config/common_path.sh" ]; then
    echo "path.sh: no $KALDI_ROOT/tools/config/common_path.sh; KALDI_ROOT must be a" \
      "compiled copy of Kaldi, or not be set" >&2
    return 1
  fi
  export KALDI_ROOT
  # shellcheck source=/dev/null
  . "$KALDI_ROOT/tools/config/common_path.sh"
  # utils, with Kaldi's parse_options.sh and run.pl, is expected here by its scripts.
  export PATH=$PWD/utils:$KALDI_ROOT/egs/wsj/s5/utils:$KALDI_ROOT/egs/wsj/s5/utils/parallel:$KALDI_ROOT/tools/sph2pipe_v2.5:$PATH
fi
