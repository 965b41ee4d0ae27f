#!/usr/bin/env bash
# Prepares the CALLHOME part of the NIST Speaker Recognition Evaluation 2000
# (LDC2001S97): Kaldi data folders of its two halves. Needs Kaldi's utils in the working
# directory; the speech must be bought from the LDC.

# Begin configuration section.
key=
key_url=https://www.openslr.org/resources/10/sre2000-key.tar.gz
# End configuration section.

help_message="Usage: $0 [options] <LDC2001S97-dir> <data-dir>

Makes <data-dir>/callhome1 and callhome2, 250 recordings each, with wav.scp, segments
(speech as marked by hand), utt2spk and spk2utt (\"speaker\" = recording), ref.rttm and
reco2num_spk. The halves are those of Kaldi's recipe, and of its public models.

e.g.: $0 /corpora/LDC2001S97 data
      $0 --key /corpora/sre2000-key /corpora/LDC2001S97 data

Options:
  --key <dir>      # the unpacked key (default: it is downloaded to <data-dir>/local)
  --key-url <url>  # from here (default: $key_url)"

# shellcheck source=egs/callhome/local/parse_options.sh
. "$(dirname "$0")/parse_options.sh"

if [[ $# -ne 2 ]]; then
  echo "$help_message" >&2
  exit 1
fi
set -e -o pipefail
corpus=$1
data=$2
export LC_ALL=C

[[ -d $corpus ]] || { echo "$0: no such folder: $corpus" >&2; exit 1; }
[[ -f utils/shuffle_list.pl ]] \
  || { echo "$0: no utils/shuffle_list.pl; link Kaldi's utils to $PWD" >&2; exit 1; }
mkdir -p "$data/local"

# The LDC's discs hold the speech alone. Who speaks when is in the key.
if [[ -z $key ]]; then
  key=$data/local/sre2000-key
  if [[ ! -s $key/fullref.rttm ]]; then
    wget -O "$data/local/key.tar.gz" "$key_url"
    tar -xzf "$data/local/key.tar.gz" -C "$data/local"
  fi
fi
for file in "$key"/{reco2num,segments,fullref.rttm}; do
  [[ -s $file ]] || { echo "$0: no such file, or an empty one: $file" >&2; exit 1; }
done

# recording, path: all speech files of the discs, however these are laid out.
find -L "$corpus" -name '*.sph' | awk -F / '{ name = $NF; sub(/\.sph$/, "", name)
  if (!seen[name]++) print name, $0 }' | sort > "$data/local/sph"
# In wav.scp they stand between quotes, in commands that Kaldi has a shell run.
if grep -q \' "$data/local/sph"; then
  echo "$0: a path has a quote in it: $(grep -m 1 \' "$data/local/sph"); link $corpus to" \
    "another name, or rename the file" >&2
  exit 1
fi
awk '{ print $1 }' "$key/reco2num" | sort -u > "$data/local/recordings"
cut -d ' ' -f 1 "$data/local/sph" | comm -23 "$data/local/recordings" - \
  > "$data/local/missing"
if [[ -s $data/local/missing ]]; then
  echo "$0: $corpus lacks the .sph file of $(grep -c . "$data/local/missing") of" \
    "$(grep -c . "$data/local/recordings") recordings: $(paste -s -d ' ' "$data/local/missing")" >&2
  exit 1
fi

# The lines of a file whose field number $1 is a recording of the list $2.
select_lines() {
  awk -v field="$1" 'NR == FNR { wanted[$1]; next } $field in wanted' "$2" "$3"
}

# Kaldi's seeded shuffle makes these halves, and no other will do: each half's PLDA and
# whitening are for use on the other one, which they must not have seen.
half=1
while read -r count; do
  folder=$data/callhome$half
  rm -rf "$folder"
  mkdir "$folder"
  utils/shuffle_list.pl "$data/local/recordings" | $count | sort > "$data/local/half$half"
  select_lines 1 "$data/local/half$half" "$data/local/sph" \
    | awk '{ name = $1; sub(/^[^ ]* /, ""); print name, "sph2pipe -f wav -p \047" $0 "\047 |" }' \
    > "$folder/wav.scp"
  select_lines 2 "$data/local/half$half" "$key/segments" | sort > "$folder/segments"
  awk '{ print $1, $2 }' "$folder/segments" > "$folder/utt2spk"
  utils/utt2spk_to_spk2utt.pl "$folder/utt2spk" > "$folder/spk2utt"
  select_lines 1 "$data/local/half$half" "$key/reco2num" | sort > "$folder/reco2num_spk"
  select_lines 2 "$data/local/half$half" "$key/fullref.rttm" > "$folder/ref.rttm"
  utils/validate_data_dir.sh --no-text --no-feats "$folder"
  half=$((half + 1))
done <<< $'head -n 250\ntail -n +251'
