#!/usr/bin/env bash
# Diarizes the recordings of an x-vector folder in parallel jobs, each one run of
# "ssahc diarize" over a share of the recordings, and joins what they have written. The
# outcome is that of a single run, byte for byte.

# Begin configuration section.
cmd=run_jobs.sh
nj=4
resume=false
# End configuration section.

help_message="Usage: $0 [options] <xvector-dir> <out-dir> [<options of ssahc diarize> ...]

Writes rttm, labels, config.toml and, where the number of speakers is estimated by
evidence, speaker_posterior (with --write-scores also scores.scp) to <out-dir>; the jobs' own files stay in <out-dir>/split<nj>, their logs in <out-dir>/log. All that
stands behind <out-dir> is passed on to ssahc diarize (see ssahc diarize --help).

e.g.: $0 --nj 8 exp/xvectors/callhome1 exp/ssa1/callhome1 --model-dir exp/models/callhome2
      $0 --cmd \"queue.pl --mem 2G\" --nj 20 --resume true exp/xvectors/a exp/out --system cosine

Options:
  --cmd <command>        # how to run jobs (default: $cmd)
  --nj <n>               # number of jobs (default: $nj), at most one a recording
  --resume <true|false>  # keep what a run that was interrupted, with the same options
                         # and --nj, has finished (default: $resume)

The exit status is 0 if all recordings are done, 1 if some failed (each is named, the
others are written), 2 if none is done."

# shellcheck source=egs/callhome/local/parse_options.sh
. "$(dirname "$0")/parse_options.sh"
# shellcheck source=egs/callhome/local/jobs.sh
. "$(dirname "$0")/jobs.sh"
check_numbers 1 nj

if [[ $# -lt 2 ]]; then
  echo "$help_message" >&2
  exit 1
fi
xvectors=$1
out=$2
shift 2

for file in "$xvectors"/{xvector.scp,segments,utt2spk,spk2utt}; do
  [[ -s $file ]] || { echo "$0: no such file, or an empty one: $file" >&2; exit 2; }
done
place=$(realpath -m -- "$out")
for option in "$@"; do
  case $option in
    --recordings | --recordings=* | --resume)
      echo "$0: $option is for the jobs; see $0 --help" >&2
      exit 1
      ;;
  esac
  file=${option#--*=}
  file=${file#scp:}
  case $(realpath -m -- "$file" 2> /dev/null) in
    "$place"/scores.scp | "$place"/split*/*)
      echo "$0: $file is read, and would be lost; choose another folder" >&2
      exit 2
      ;;
  esac
done

# A table of the x-vectors without empty lines, whatever ends its lines.
read_table() { # name
  tr -d '\r' < "$xvectors/$1" | awk NF
}
recordings=$(read_table spk2utt | wc -l)
if ((nj > recordings)); then nj=$recordings; fi

lock_output "$out"
if [[ -e $out/.unfinished/config.toml ]]; then
  echo "$0: $out holds a run of ssahc diarize that was interrupted; finish it (--resume)," \
    "or take another folder" >&2
  exit 2
fi

# Only what an earlier run has left is replaced. Kaldi, for one, has such names too.
is_of_jobs() { # folder
  [[ $1 =~ /split[0-9]+$ && ! -L $1 && ! -L $1/1 && -f $1/1/recordings ]]
}
earlier=()
for folder in "$out"/split*; do
  if is_of_jobs "$folder"; then earlier+=("$folder"); fi
done
had_scores=false
if grep -qs '^[^ ]* split[0-9]*/' "$out/scores.scp"; then had_scores=true; fi
if grep -qs '^rttm_channel = ' "$out/config.toml" && [[ ! -e $out/tuning.csv ]]; then
  earlier+=("$out/config.toml")
  if grep -qs '^write_scores = true' "$out/config.toml"; then had_scores=true; fi
fi
for name in labels rttm speaker_posterior config.toml; do
  if [[ -e $out/$name && (${#earlier[@]} -eq 0 || ! -f $out/$name) ]]; then
    echo "$0: $out holds $name that $0 did not write; choose another folder" >&2
    exit 2
  fi
done

split=$out/split$nj
if is_of_jobs "$split"; then
  odd=$(find "$split" -maxdepth 1 -type l -print -quit)
else
  # A run that was killed at its very beginning leaves no more than folders and a list.
  odd=$(find "$split" ! -type d ! -name recordings.new -print -quit 2> /dev/null)
fi
if [[ -n $odd ]]; then
  echo "$0: $odd is not of $0; choose another folder" >&2
  exit 2
fi

# Recordings in the order of spk2utt, so that the jobs' labels can be strung together.
if ! $resume; then
  for folder in "${earlier[@]}"; do
    if [[ -d $folder ]]; then rm -rf "$folder"; fi
  done
  # It leads there.
  if $had_scores; then rm -f "$out/scores.scp"; fi
fi
for ((job = 1; job <= nj; job++)); do
  mkdir -p "$split/$job" || exit 2
  list=$split/$job/recordings
  # The mark of a job that is done, now. ssahc writes it anew from what it resumes.
  rm -f "$split/$job/rttm" "$list.new"
  read_table spk2utt | awk -v job="$job" -v nj="$nj" -v all="$recordings" \
    '{ if (int(done++ * nj / all) + 1 == job) print $1 }' > "$list.new" || exit 2
  # What is newer than a run cannot be resumed: the list stays if it is the same.
  if cmp -s "$list.new" "$list"; then rm "$list.new"; else mv "$list.new" "$list"; fi || exit 2
done

again=()
if $resume; then again=(--resume); fi
number=$(name_unlike JOB "$xvectors" "$out" "$@")
# $cmd is a command with options: it must fall apart into words.
# shellcheck disable=SC2086
interruptible $cmd "$number"=1:"$nj" "$out/log/diarize.$number.log" \
  ssahc diarize "$xvectors" "$split/$number" --recordings "$split/$number/recordings" \
  "${again[@]}" "$@"
status=$?

# A job in which some recordings failed has written the others.
done=()
logs=()
for ((job = 1; job <= nj; job++)); do
  logs+=("$out/log/diarize.$job.log")
  if [[ -f $split/$job/rttm ]]; then
    done+=("$split/$job")
  else
    echo "$0: job $job wrote nothing; see $out/log/diarize.$job.log" >&2
  fi
done
if ((status != 0)); then
  grep -hs '^ssahc: error' "${logs[@]}" | sort -u >&2
fi
if [[ ${#done[@]} -eq 0 ]]; then
  echo "$0: no recording of $xvectors is done" >&2
  exit 2
fi

# Writes standard input to a file of <out-dir>, in one go.
put() {
  # What is new is not reached by a link.
  rm -f "$out/.$1.new"
  (set -o noclobber && cat > "$out/.$1.new") && mv -T "$out/.$1.new" "$out/$1"
}
set -e -o pipefail
# While there are files of two runs, there are no options.
if $had_scores; then rm -f "$out/scores.scp"; fi
rm -f "$out/config.toml" "$out/speaker_posterior"
cat "${done[@]/%//labels}" | put labels
# ssahc sorts an RTTM by recording; spk2utt may be in another order.
cat "${done[@]/%//rttm}" | LC_ALL=C sort -s -k 2,2 | put rttm
posteriors=()
for folder in "${done[@]}"; do
  if [[ -f $folder/speaker_posterior ]]; then posteriors+=("$folder/speaker_posterior"); fi
done
if ((${#posteriors[@]})); then cat "${posteriors[@]}" | put speaker_posterior; fi
if [[ -f ${done[0]}/scores.scp ]]; then
  for folder in "${done[@]}"; do
    sed "s| |&${folder#"$out/"}/|" "$folder/scores.scp"
  done | put scores.scp
fi
grep -v '^recordings = ' "${done[0]}/config.toml" | put config.toml

# Not from the RTTM: a recording has no turn in it if its segments have no length.
# Nor is it done if its utterances are another's.
missing=$({
  cat "$out/labels" && echo && read_table segments && echo && read_table spk2utt
} | awk '
  !NF { table++; next }
  !table { done[$1]; next }
  table == 1 { of[$1] = $2; next }
  { for (i = 2; i <= NF; i++) if (!($i in done) || of[$i] != $1) { print $1; next } }
  NF == 1' | paste -s -d ' ')
if ((status != 0)) || [[ -n $missing ]]; then
  echo "$0: some recordings failed; the others are in $out; not there: ${missing:-none}" >&2
  exit 1
fi
