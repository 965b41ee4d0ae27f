"""Recordings without a model: one is learned from all of them and kept by the run."""

import os
import shutil

import numpy as np
import pytest

import ssahc
from ssahc.cli import journal
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

SMALL = SimulateOptions(recordings=4, duration=40, dim=12, seed=5)


@pytest.fixture(scope="module")
def recordings():
    return [item.recording for item in simulate_corpus(SMALL)["a"].conversations]


@pytest.fixture
def corpus(tmp_path, monkeypatch, recordings):
    write_xvector_dir(tmp_path / "x", recordings)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_processes_and_python_find_the_same_labels(corpus, recordings, ssahc_here):
    result = ssahc_here("diarize", "x", "out")
    assert result.returncode == 0
    assert result.stderr.endswith(", the model it learned in out/learned_model\n")
    assert ssahc_here("diarize", "x", "parallel", "--nj", 2).returncode == 0
    once, again = contents(corpus / "out"), contents(corpus / "parallel")
    assert again == once
    model = ssahc.read_model_dir("out/learned_model")
    alone = {one.id: ssahc.diarize_recording(one, model) for one in recordings}
    ssahc.write_rttm("alone", alone)
    assert (corpus / "alone").read_bytes() == once["rttm"]
    ours = ssahc.fit_unlabelled(recordings)
    np.testing.assert_allclose(model.transform, ours.transform, atol=1e-4)


def test_a_recording_alone_equals_a_folder_of_one(corpus, recordings, ssahc_here):
    write_xvector_dir(corpus / "one", recordings[:1])
    assert ssahc_here("diarize", "one", "out").returncode == 0
    # The archive holds float32.
    read = next(ssahc.read_recordings(ssahc.open_xvector_dir("one")))
    ssahc.write_rttm("alone", ssahc.diarize_recording(read))
    assert (corpus / "alone").read_bytes() == (corpus / "out" / "rttm").read_bytes()


def test_a_resumed_run_goes_on_with_its_model(corpus, ssahc_here):
    whole = (corpus / "x" / "segments").read_text()
    (corpus / "x" / "segments").write_text(whole.split("\n", 1)[1])
    assert ssahc_here("diarize", "x", "out").returncode == 1
    before = contents(corpus / "out" / "learned_model")
    (corpus / "x" / "segments").write_text(whole)
    late = (corpus / "x" / "segments").stat().st_mtime + 10
    os.utime(corpus / "out" / "config.toml", (late, late))
    result = ssahc_here("diarize", "x", "out", "--resume")
    assert result.returncode == 0
    assert "already done: 3 recordings" in result.stderr
    assert contents(corpus / "out" / "learned_model") == before


def test_a_given_model_is_used_beside_one_that_was_learned(corpus, ssahc_here):
    assert ssahc_here("diarize", "x", "out").returncode == 0
    other = ssahc.Model(np.zeros(12), np.diag(np.arange(1.0, 13)))
    ssahc.write_model_dir("given", other)
    begun = ("diarize", "x", "out", "--model-dir", "given")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.Unfinished, "add", interrupt_after_first())
        assert ssahc_here(*begun).returncode == 130
    assert ssahc_here(*begun, "--resume").returncode == 0
    assert ssahc_here("diarize", "x", "alone", *begun[3:]).returncode == 0
    labels = [(corpus / out / "labels").read_bytes() for out in ("out", "alone")]
    assert labels[0] == labels[1]


def interrupt_after_first():
    """Return a way of keeping results that is interrupted once it has kept some."""
    add = journal.Unfinished.add

    def add_and_stop(*arguments):
        add(*arguments)
        raise KeyboardInterrupt

    return add_and_stop


def test_a_given_model_removes_the_learned_one(corpus, ssahc_here):
    assert ssahc_here("diarize", "x", "out").returncode == 0
    shutil.copytree("out/learned_model", "kept")
    result = ssahc_here("diarize", "x", "out", "--model-dir", "kept")
    assert result.returncode == 0
    assert "learned_model" not in result.stderr
    assert {path.name for path in (corpus / "out").iterdir()} == {
        *("labels", "rttm", "confidence", "speaker_posterior", "config.toml")
    }
    # A folder's own model may not be overwritten by it.
    shutil.copytree("kept", "out/learned_model")
    result = ssahc_here("diarize", "x", "out", "--model-dir", "out/learned_model")
    assert result.returncode == 2
    assert "choose another folder" in result.stderr


def test_recordings_of_another_extractor_fail_alone(corpus, recordings, ssahc_here):
    odd = ssahc.Recording.from_arrays("a", np.eye(5), np.arange(10.0).reshape(5, 2))
    write_xvector_dir(corpus / "y", [odd, *recordings])
    result = ssahc_here("diarize", "y", "out")
    assert result.returncode == 1
    # There is no model to choose.
    message = "'a': x-vectors have 5 dimensions, those that the model was learned from"
    assert f"{message} have 12; extract" in result.stderr
    assert ssahc_here("diarize", "x", "without").returncode == 0
    rttm = (corpus / "out" / "rttm").read_bytes()
    assert rttm == (corpus / "without" / "rttm").read_bytes()


@pytest.mark.parametrize("sigma", [0.5, 1, 2])
def test_three_clear_voices_are_found(sigma):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        voices = np.repeat(rng.standard_normal((3, 64)) * 3, 20, axis=0)
        xvectors = voices + sigma * rng.standard_normal(voices.shape)
        segments = 0.75 * np.arange(60)[:, None] + [0, 1.5]
        found = ssahc.diarize(xvectors, segments)
        assert found.num_speakers == 3
        known = ssahc.diarize(xvectors, segments, num_speakers=3)
        np.testing.assert_array_equal(found.labels, known.labels)


def test_a_model_of_others_is_neither_removed_nor_replaced(corpus, ssahc_here):
    assert ssahc_here("diarize", "x", "other").returncode == 0
    shutil.copytree("other/learned_model", "out/learned_model")
    before = contents(corpus / "out")
    for given in ((), ("--model-dir", "other/learned_model")):
        result = ssahc_here("diarize", "x", "out", *given)
        assert result.returncode == 2
        assert "learned_model: is not of a completed run" in result.stderr
        assert contents(corpus / "out") == before


def test_a_model_that_was_cut_off_is_learned_again(corpus, ssahc_here):
    assert ssahc_here("diarize", "x", "out").returncode == 0
    before = contents(corpus / "out")
    (corpus / "out" / "learned_model" / "plda").unlink()
    assert ssahc_here("diarize", "x", "out", "--resume").returncode == 0
    assert contents(corpus / "out") == before
