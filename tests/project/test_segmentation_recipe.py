"""The recipe of segmentation networks, on voices that are pure tones."""

import shutil

import numpy as np
import soundfile
from scripts import ROOT

RECIPE = ROOT / "egs" / "segmentation"
RATE = 8_000
TINY = "--epochs 1 --epoch-hours 0.005 --lstm-dim 4 --lstm-layers 1 --chunk 2"


def test_recipe_goes_from_packages_to_a_table(folder, shell_here, monkeypatch):
    # As if the packages had been downloaded: each voice of the list is a tone.
    lines = (RECIPE / "voices").read_text().splitlines()
    places = [line.split() for line in lines]
    assert len({voice for _, voice, *_ in places}) == len(places)
    time = np.arange(8 * RATE) / RATE
    for place, (_, _, *homes) in enumerate(places):
        tone = 0.1 * np.sin(2 * np.pi * (300 + 100 * place) * time)
        for home in homes:
            voice = folder / "work/packages/usr/share" / home
            voice.mkdir(parents=True)
            soundfile.write(voice / "a.wav", tone * (time > 1), RATE)
    monkeypatch.setenv("RECORDINGS", "1")
    monkeypatch.setenv("OTHERS", "1")
    monkeypatch.setenv("LENGTHS", "10 11")
    monkeypatch.setenv("TRAINING", TINY)
    result = shell_here(RECIPE / "run.sh", folder / "work")
    assert result.returncode == 0, result.stderr
    table = (folder / "work" / "table.txt").read_text()
    assert result.stdout == table
    for title in ("powerset, test\n", "multilabel, test_varied, best threshold\n"):
        assert title in table
    assert table.count("pooled ") == 6
    assert {path.name for path in (folder / "work/voices/test").iterdir()} == {
        voice for name, voice, *_ in places if name == "test"
    }
    # Nothing is made twice.
    shutil.rmtree(folder / "work" / "voices")
    (folder / "work" / "voices").mkdir()
    again = shell_here(RECIPE / "run.sh", folder / "work")
    assert (again.returncode, again.stdout) == (0, table)
