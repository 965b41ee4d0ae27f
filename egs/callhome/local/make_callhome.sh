#!/usr/bin/env bash
# Prepares the CALLHOME part of the NIST Speaker Recognition Evaluation 2000
# (LDC2001S97): Kaldi data folders of its two halves. The speech must be bought from the
# LDC.

# Begin configuration section.
key=
key_url=https://www.openslr.org/resources/10/sre2000-key.tar.gz
# End configuration section.

help_message="Usage: $0 [options] <LDC2001S97-dir> <data-dir>

Makes <data-dir>/callhome1 and callhome2, 250 recordings each, with wav.scp, segments
(speech as marked by hand), ref.rttm and reco2num_spk. The halves are those of Kaldi's
recipe, and of its public models. Speech files that are compressed by shorten become WAV
files in <data-dir>/local/wav, for which it takes the LDC's program sph2pipe.

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

# soundfile reads SPHERE, but not what is compressed in it.
wav=$data/local/wav
while read -r name file; do
  if head -c 1024 "$file" | grep -aq '^sample_coding .*shorten'; then
    if ! command -v sph2pipe > /dev/null; then
      echo "$0: $file is compressed by shorten; compile the LDC's sph2pipe (its SPHERE" \
        "conversion tools) and put it on the path" >&2
      exit 1
    fi
    mkdir -p "$wav"
    if [[ ! -s $wav/$name.wav ]]; then
      sph2pipe -f wav -p "$file" "$wav/.$name.new"
      mv "$wav/.$name.new" "$wav/$name.wav"
    fi
    file=$wav/$name.wav
  fi
  echo "$name $file"
done < <(select_lines 1 "$data/local/recordings" "$data/local/sph") > "$data/local/wav.scp"

# Kaldi's shuffle (utils/shuffle_list.pl) makes these halves, and no other will do: each
# half's PLDA and whitening are for use on the other one, which they must not have seen.
perl -e 'srand(0); print map { $$_[1] } sort { $$a[0] cmp $$b[0] } map { [rand(), $_] } <>' \
  < "$data/local/recordings" > "$data/local/shuffled"
count=$(grep -c . "$data/local/recordings")
head -n $(((count + 1) / 2)) "$data/local/shuffled" | sort > "$data/local/half1"
comm -23 "$data/local/recordings" "$data/local/half1" > "$data/local/half2"

# Writes standard input to a file. What is newer than a run cannot be resumed: one that
# is the same stays.
put() {
  cat > "$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}
for half in 1 2; do
  list=$data/local/half$half
  folder=$data/callhome$half
  mkdir -p "$folder"
  select_lines 1 "$list" "$data/local/wav.scp" | put "$folder/wav.scp"
  select_lines 2 "$list" "$key/segments" | sort | put "$folder/segments"
  select_lines 1 "$list" "$key/reco2num" | sort | put "$folder/reco2num_spk"
  select_lines 2 "$list" "$key/fullref.rttm" | put "$folder/ref.rttm"
done
