"""``ssahc diarize --segmentation``: turns that overlap, from audio."""

import shutil
from itertools import pairwise

import fault_table
import numpy as np
import pytest
import soundfile
import torch

import ssahc
from ssahc.frontend.extractors import installed
from ssahc.frontend.extractors.installed import SEGMENTERS
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.rttm import read_rttm
from ssahc.scoring.regions import unite

RATE = 8000
PAGE = fault_table.PAGE["Audio"]


@pytest.fixture(scope="module")
def home(golden, tmp_path_factory):
    """A folder of audio, one recording of it silent, and a tiny Kaldi model."""
    folder = tmp_path_factory.mktemp("overlap")
    files = golden / "frontend"
    shutil.copytree(files / "model" / "tiny", folder / "tiny")
    shutil.copy(files / "conf" / "mfcc_8k.conf", folder / "tiny" / "mfcc.conf")
    samples, _ = soundfile.read(files / "wav" / "trn06-8k.wav", dtype="int16")
    (folder / "calls").mkdir()
    soundfile.write(folder / "calls" / "call.wav", samples[: 15 * RATE], RATE)
    soundfile.write(folder / "calls" / "silent.wav", np.zeros(RATE), RATE)
    return folder


@pytest.fixture
def diarize(ssahc_here, home):
    def run(out, *options, segmentation="segmentation-3.0"):
        if segmentation is not None:
            options += ("--segmentation", segmentation)
        result = ssahc_here(
            *("diarize", home / "calls", out, "--extractor", home / "tiny", *options)
        )
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr

    return run


def test_second_speakers_are_added_unless_turns_are_exclusive(diarize, home, tmp_path):
    weights = SEGMENTERS["segmentation-3.0"].find_weights()
    if weights is None:
        pytest.skip("no weights of segmentation-3.0")
    out = tmp_path / "out"
    # By the path of the weights, for the detection of speech as well.
    status, said = diarize(out, segmentation=weights)
    assert status == 1
    assert "'silent': " in said
    assert "no speech found" in said
    assert "diarized 1 recording, 2 speakers" in said
    turns = read_rttm(out / "rttm").turns["call"]
    assert max(turn.end for turn in turns) <= 15
    # In Python as well.
    call, model = home / "calls" / "call.wav", home / "tiny"
    found = ssahc.diarize_audio(call, model, segmentation=weights)
    ssahc.write_rttm(tmp_path / "rttm", found)
    assert (tmp_path / "rttm").read_text() == (out / "rttm").read_text()
    assert len(found.turns) > len(found.exclusive_turns)
    with pytest.raises(ssahc.UsageError, match="leave out overlap"):
        ssahc.diarize_audio(call, model, segmentation=weights, overlap=[(1, 2)])
    # Again in the same folder, from the x-vectors and the options that are there.
    options = ("--exclusive", "--config", out / "config.toml")
    status, said = diarize(out, *options, segmentation=None)
    assert "already done: 1 recording" in said
    alone = read_rttm(out / "rttm").turns["call"]
    assert all(a.end <= b.start + 0.002 for a, b in pairwise(alone))

    def speech(turns):
        return [list(span) for span in unite((t.start, t.end) for t in turns)]

    np.testing.assert_allclose(speech(alone), speech(turns), atol=0.002)
    # What was chosen by the user is: one speaker, although two were found.
    diarize(tmp_path / "one", "--num-speakers", 1)
    turns = read_rttm(tmp_path / "one" / "rttm").turns["call"]
    assert {turn.speaker for turn in turns} == {"1"}


def test_what_segmentation_needs_is_named(diarize, ssahc_here, tmp_path, monkeypatch):
    out, other = tmp_path / "out", tmp_path / "other.bin"
    torch.save({"state_dict": {"classifier.bias": torch.zeros(4)}}, other)
    for name in ("damaged", "newer"):
        (tmp_path / name).mkdir()
    (tmp_path / "damaged" / "segmentation.npz").write_bytes(other.read_bytes())
    write_checkpoint(tmp_path / "newer" / "segmentation.npz", {}, '{"format": "2"}')
    monkeypatch.setattr(installed, "find_spec", lambda module: None)
    monkeypatch.setattr(
        installed.InstallableModel, "installed_version", lambda model: None
    )
    for model, fault in (
        ("nothing", "a segmentation model that is not known"),
        (other, "a checkpoint of another network for `--segmentation`"),
        (tmp_path / "damaged", "a damaged network for `--segmentation`"),
        (tmp_path / "newer", "a network of another version for `--segmentation`"),
        ("segmentation-3.0", "weights that are not installed"),
    ):
        # The detection of speech by energy needs no weights.
        status, said = diarize(out, "--vad", "energy", segmentation=model)
        assert (status, PAGE[fault].is_said_in(said)) == (2, True), said
    for options, fault in (
        (("--segmentation", "nothing"), "`--segmentation` beside x-vectors"),
        (("--exclusive",), "`--exclusive` without `--segmentation`"),
        (("--no-cannot-link",), "`--no-cannot-link` without `--segmentation`"),
    ):
        done = ssahc_here("diarize", tmp_path, out, *options)
        assert (done.returncode, PAGE[fault].is_said_in(done.stderr)) == (2, True)
    assert not out.exists()
