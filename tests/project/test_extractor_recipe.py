"""The recipe of extractors: its steps, without their computations, and its programs."""

import os
import runpy

import numpy as np
import pytest
import soundfile
from kaldi_tables import read_table
from scripts import ROOT, check_commands, program

RECIPE = ROOT / "egs" / "extractor"
# Takes note of its arguments, and makes what it is to make.
SSAHC = """\
echo "$*" >> "$NOTES"
case $1 in
  simulate-audio)
    mkdir "$3"
    echo "meeting000 wav/meeting000.wav" > "$3/wav.scp"
    echo "SPEAKER meeting000 1 0.0 1.0 <NA> <NA> me <NA> <NA>" > "$3/ref.rttm" ;;
  train-extractor) mkdir -p "$2" ;;
  score-extractor) printf '%s\\n' header "$3 1 2 3 4" "$4 1 2 3 4" '' note ;;
  score) echo pooled ;;
esac
"""
PYTHON = """\
case ${1##*/} in
  features.py) mkdir -p "$3" ;;
  eer.py) echo "$2 $4 cosine 1 2" ;;
esac
"""


@pytest.fixture
def recipe(folder, shell, tmp_path):
    """Run the recipe; returns what it printed, and the commands of ssahc."""
    notes = tmp_path / "notes"
    program(tmp_path / "bin" / "ssahc", SSAHC)
    program(tmp_path / "bin" / "python", PYTHON)
    environment = (f"PATH={tmp_path}/bin:{os.environ['PATH']}", f"NOTES={notes}")

    def run(*arguments):
        notes.write_text("")
        command = [RECIPE / "run.sh", folder / "work", *arguments]
        result = shell("env", *environment, *command, cwd=folder)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout, [line.split() for line in notes.read_text().splitlines()]

    return run


def test_recipe_goes_from_sources_to_tables(folder, recipe):
    # As if the sources had been downloaded.
    sources = folder / "work" / "sources"
    lines = (RECIPE / "languages").read_text().splitlines()
    homes = [f"usr/share/{line.split()[2]}" for line in lines]
    held_out = dict(
        reversed(line.split())
        for line in (RECIPE / "held_out").read_text().splitlines()
    )
    speakers = {*held_out, "so9999"}
    homes += [f"speechocean762/WAVE/SPEAKER{voice[2:]}" for voice in speakers]
    libri = "Resemblyzer/audio_data/librispeech"
    homes += [f"{libri}_train-clean-100", f"{libri}_test-other/12"]
    for home in homes:
        (sources / home).mkdir(parents=True)
        (sources / home / "3-a.flac").touch()

    printed, commands = recipe()
    work = folder / "work"
    tables = [(work / name).read_text() for name in ("losses.txt", "sampling.txt")]
    assert printed == "".join(tables)
    assert tables[0].count("\n") == 1 + 8 + 2 * 6
    assert tables[1].count("pooled") == 12
    # Each voice is in one set, and speakers that are not listed are trained on.
    for voice in speakers | {"ls3", "lt12"}:
        (place,) = work.glob(f"voices/*/{voice}")
        listed = {"test": "test_speechocean", "dev": "dev"}
        expected = listed.get(held_out.get(voice, ""), "train")
        assert place.parent.name == {"lt12": "test_librispeech"}.get(voice, expected)
    assert len([*work.glob("voices/languages/*/*/3-a.flac")]) == len(lines)
    # Names of recordings differ.
    recordings = [line.split() for line in (work / "wav.scp").read_text().splitlines()]
    assert [name for name, _ in recordings] == [
        f"{name}-meeting000" for name in ("all", "en", "es", "fr", "it", "ru")
    ]
    assert recordings[1][1] == f"{work.resolve()}/conversations/en/wav/meeting000.wav"
    # What it runs is as the command line wants it.
    check_commands(commands)
    verbs = [verb for verb, *_ in commands]
    assert {verb: verbs.count(verb) for verb in verbs} == {
        "train-extractor": 12 + 12,
        "score-extractor": 6,
        "simulate-audio": 6,
        "diarize": 12,
        "score": 12,
    }
    # Conversations are made once.
    assert "simulate-audio" not in {verb for verb, *_ in recipe()[1]}


def test_recipe_takes_voices_that_are_there(folder, recipe):
    for name in ("train", "dev", "test_librispeech", "test_speechocean"):
        (folder / "mine" / name / "me").mkdir(parents=True)
    recipe(folder / "mine")
    assert not (folder / "work" / "sources").exists()
    assert (folder / "work" / "voices" / "train" / "me").is_dir()


@pytest.fixture
def voices(tmp_path, rng):
    """Two files each of eight speakers, whose spectra differ."""
    for number in range(8):
        for place in range(2):
            noise = rng.standard_normal(16000 * 10)
            angle = np.pi * number / 8
            samples = np.cos(angle) * noise + np.sin(angle) * np.roll(noise, 1)
            path = tmp_path / "voices" / f"s{number}" / f"{place}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.02 * samples, 16000)
    return tmp_path / "voices"


def test_features_are_a_data_folder(voices, tmp_path):
    runpy.run_path(str(RECIPE / "features.py"))["main"](voices, tmp_path / "out")
    features = dict(read_table(tmp_path / "out" / "feats.scp", "matrix"))
    names = [f"s{number}-000{place}" for number in range(8) for place in range(2)]
    assert [*features] == names
    assert {matrix.shape[1] for matrix in features.values()} == {30}
    utt2spk = (tmp_path / "out" / "utt2spk").read_text().splitlines()
    assert utt2spk == [f"{name} {name[:2]}" for name in names]


def test_statistics_tell_different_noises_apart(voices, capsys):
    runpy.run_path(str(RECIPE / "eer.py"))["main"]("statistics", voices, [voices])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows] == [
        ["statistics", str(voices), "cosine"],
        ["statistics", str(voices), "PLDA"],
    ]
    assert max(float(cell) for row in rows for cell in row[3:]) < 25
