"""``ssahc train-segmentation`` and ``ssahc score-segmentation``."""

import csv
import itertools
import re

import numpy as np
import pytest
import soundfile
from kills import killed

from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import segment
from ssahc.io.checkpoint import write_checkpoint

RATE = 8000
SMALL = (
    *("--sample-rate", RATE, "--chunk", 1, "--lstm-dim", 4, "--lstm-layers", 1),
    *("--epochs", 2, "--epoch-hours", 0.002, "--batch-size", 4, "--device", "cpu"),
    *("--clustering-weight", 0.5),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folders of audio: two voices of different pitch, and one without a reference."""
    folder = tmp_path_factory.mktemp("segmentation")
    generator = np.random.default_rng(0)
    for name in ("train", "dev"):
        place = folder / name
        place.mkdir()
        for number in range(2):
            samples = 1e-3 * generator.standard_normal(6 * RATE)
            turns = [(0.5, 2.5, 150, "a"), (2.0, 4.0, 330, "b"), (4.5, 5.5, 150, "a")]
            lines = []
            for start, end, pitch, speaker in turns:
                inside = slice(round(start * RATE), round(end * RATE))
                times = np.arange(inside.stop - inside.start) / RATE
                samples[inside] += 0.3 * np.sign(np.sin(2 * np.pi * pitch * times))
                lines.append(
                    f"SPEAKER call{number} 1 {start} {end - start} <NA> <NA> {speaker} "
                    "<NA> <NA>\n"
                )
            soundfile.write(place / f"call{number}.wav", samples, RATE)
            with (place / "ref.rttm").open("a") as file:
                file.writelines(lines)
    return folder


@pytest.fixture
def train(ssahc_here, home):
    def run(out, *options):
        folders = ("--train", home / "train", "--dev", home / "dev")
        result = ssahc_here("train-segmentation", out, *folders, *SMALL, *options)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr

    return run


def contents(folder):
    names = ("segmentation.npz", "training.csv")
    assert {path.name for path in folder.iterdir()} == {*names, "config.toml"}
    return [(folder / name).read_bytes() for name in names]


def test_a_network_is_trained_resumed_scored_and_used(
    train, ssahc_here, home, tmp_path, monkeypatch
):
    out, epochs = tmp_path / "out", itertools.count()
    with killed(tmp_path / "killed") as die, monkeypatch.context() as patch:

        def write_and_die(*arguments):
            write_checkpoint(*arguments)
            if next(epochs) == 1:
                die()

        name = "ssahc.cli.train_segmentation.write_checkpoint"
        patch.setattr(name, write_and_die)
        train(tmp_path / "killed")
    assert "holds an interrupted run" in train(tmp_path / "killed")[1]
    status, said = train(tmp_path / "killed", "--resume")
    assert status == 0
    assert "resuming after epoch 1" in said
    status, said = train(out)
    assert status == 0
    assert re.search(r"epoch 2: loss [\d.]+, local DER [\d.]+ % \(missed", said)
    assert contents(tmp_path / "killed") == contents(out)
    assert "already finished" in train(out, "--resume")[1]
    rows = list(csv.DictReader((out / "training.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    result = ssahc_here("score-segmentation", out, home / "dev")
    assert result.returncode == 0
    rates = result.stdout.splitlines()[-3].split()
    best = min(float(row["der"]) for row in rows)
    assert rates[:2] == ["pooled", f"{100 * best:.1f}"]
    samples = soundfile.read(home / "dev" / "call0.wav", dtype="int16")[0]
    found = segment([samples.astype(np.float32)], Segmenter.load(out, device="cpu"))
    assert len(found.counts) > 6 / 0.021


def test_a_multilabel_network_has_a_threshold_and_is_adapted(
    train, ssahc_here, home, tmp_path
):
    out = tmp_path / "first"
    status, said = train(out, "--head", "multilabel", "--minutes", 1e-6)
    assert status == 0
    assert "epoch 1" in said
    assert "epoch 2" not in said
    rows = list(csv.DictReader((out / "training.csv").read_text().splitlines()))
    best = min(rows, key=lambda row: float(row["der"]))
    ders = {}
    for threshold in (None, "best", best["threshold"], 0.95):
        option = () if threshold is None else ("--threshold", threshold)
        result = ssahc_here("score-segmentation", out, home / "dev", *option)
        ders[threshold] = result.stdout.splitlines()[-3].split()[1]
        if threshold != 0.95:
            assert f"threshold {float(best['threshold']):g}" in result.stdout
    assert ders[None] == ders["best"] == ders[best["threshold"]]
    assert float(ders["best"]) <= float(ders[0.95])
    shape = ("--head", "multilabel", "--lstm-dim", 4, "--chunk", 1)
    status, said = train(tmp_path / "second", "--init", out, *shape)
    assert status == 0
    assert f"epoch 0: before training, local DER {ders['best']} %" in said
    status, said = train(tmp_path / "third", "--init", out, "--head", "powerset")
    assert status == 2
    assert "has --head multilabel; leave out --head" in said


def test_what_is_wrong_with_recordings_is_named(train, ssahc_here, home, tmp_path):
    status, said = train(tmp_path / "out", "--train", home)
    assert status == 2
    assert "holds neither wav.scp nor audio files" in said
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ref.rttm").write_bytes((home / "dev" / "ref.rttm").read_bytes())
    for name in ("call0", "call1", "call2"):
        samples = np.zeros(3 * RATE)
        soundfile.write(broken / f"{name}.wav", samples, RATE)
    content = (broken / "call1.wav").read_bytes()
    (broken / "call1.wav").write_bytes(content[:1000])
    status, said = train(tmp_path / "out", "--train", broken)
    assert status == 1
    assert "call1.wav: truncated" in said
    assert "ref.rttm" in said
    assert "'call2': has no turn of this recording" in said
    result = ssahc_here(
        "score-segmentation", tmp_path / "out", broken, "--threshold", 1
    )
    assert result.returncode == 2
    assert "--threshold must be above 0 and below 1, or best" in result.stderr
    result = ssahc_here(
        "score-segmentation", tmp_path / "out", home, "--threshold", 0.2
    )
    assert "powerset networks have no threshold" in result.stderr


def test_wrong_usage_is_refused_before_anything_is_read(ssahc_here, home, tmp_path):
    verb = ("train-segmentation", tmp_path / "out", "--train", home / "train")
    for options, message in (
        ((), "--dev is missing"),
        (("--dev", home, "--sample-rate", 11025), "must be 8000 or 16000, found 11025"),
        (("--dev", home, "--at-once", 4), "--at-once is 4, but --chunk-speakers is 3"),
        (("--dev", home, "--init", "nothing"), "no such segmentation model"),
    ):
        result = ssahc_here(*verb, *options)
        assert result.returncode == 2
        assert message in result.stderr
    assert not (tmp_path / "out").exists()
