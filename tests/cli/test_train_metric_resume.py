"""Metric training that is interrupted and resumed; broken checkpoints."""

import itertools
import os
import shutil
import sys
import time

import numpy as np
import pytest
from kills import killed

from ssahc.cli import main
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.io.labelled import write_labelled
from ssahc.io.model import MODEL_FILES
from ssahc.simulation.conversations import SimulateOptions, simulate_training

FILES = ("metric.ark", "training.csv", "mean.vec", "transform.mat", "plda")
OPTIONS = ("--lr", 1e-2, "--epochs", 3, "--speakers-per-batch", 8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of labelled x-vectors."""
    folder = tmp_path_factory.mktemp("train")
    options = SimulateOptions(train_speakers=30, train_sessions=4, dim=16)
    write_labelled(folder, simulate_training(options))
    return folder


@pytest.fixture
def train(ssahc_here, source, tmp_path):
    """Train a metric; return exit status and lines on standard error."""

    def run(*options, out="out"):
        arguments = ("train-metric", source, tmp_path / out, *OPTIONS, *options)
        result = ssahc_here(*arguments)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr.splitlines()

    return run


@pytest.fixture(scope="module")
def whole(source):
    """The files of a run that is not interrupted."""
    call_main("train-metric", source, source.parent / "whole", *OPTIONS)
    return contents(source.parent / "whole")


def call_main(*arguments):
    """Run the command line where `ssahc_here` cannot: for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ssahc", *map(str, arguments)])
        with pytest.raises(SystemExit):
            main()


def contents(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {*FILES, "config.toml"}
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def stopped(source):
    """The output folder of a run that was killed after its first epoch."""
    out, epochs = source.parent / "killed", itertools.count()
    with killed(out) as die, pytest.MonkeyPatch.context() as patch:

        def write_and_die(*arguments):
            write_checkpoint(*arguments)
            if next(epochs) == 1:
                die()

        patch.setattr("ssahc.cli.train_metric.write_checkpoint", write_and_die)
        call_main("train-metric", source, out, *OPTIONS)
    assert (out / ".unfinished" / "checkpoint.npz").exists()
    return out


@pytest.fixture
def unfinished(stopped, tmp_path):
    """A copy of it in the folder that `train` writes to."""
    shutil.copytree(stopped, tmp_path / "out")
    # Other tests may have touched what was read.
    (tmp_path / "out" / ".unfinished" / "config.toml").touch()
    return tmp_path / "out" / ".unfinished"


def test_a_killed_run_is_resumed(train, unfinished, whole, tmp_path):
    status, errors = train()
    assert status == 2
    assert "holds an interrupted run; continue it with --resume, or" in errors[-1]
    status, errors = train("--resume")
    assert status == 0
    assert errors[0] == "ssahc: resuming after epoch 1"
    assert "ssahc: epoch 2: loss" in errors[1]
    assert contents(tmp_path / "out") == whole
    # A finished run is left as it is.
    status, errors = train("--resume")
    assert status == 0
    assert errors == [f"ssahc: {tmp_path / 'out'}: the run is already finished"]
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("last", ["mean.vec", "training.csv"])
def test_a_run_killed_while_its_files_were_moved_is_resumed(
    train, unfinished, whole, last
):
    names = [*MODEL_FILES, "training.csv"]
    for name in names[: names.index(last) + 1]:
        (unfinished.parent / name).write_bytes(whole[name])
    assert "continue it with --resume" in train()[1][-1]
    assert train("--resume")[0] == 0
    assert contents(unfinished.parent) == whole


def test_other_options_and_changed_inputs_are_refused(train, unfinished, source):
    for option, message in (
        (("--lr", 0.1), "lr was 0.01 and is 0.1 now"),
        (("--margin-size", 0.1), "margin_size was not given and is 0.1 now"),
    ):
        status, (error,) = train("--resume", *option)
        assert status == 2
        assert message in error
    for name in ("xvector.ark", "xvector.scp", "utt2spk"):
        # What has changed so far is accepted.
        (unfinished / "config.toml").touch()
        path, later = source / name, time.time() + 1
        before = path.stat()
        os.utime(path, (later, later))
        status, errors = train("--resume")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert status == 2
        assert f"{path}: has changed since the run" in errors[-1]


def test_a_broken_checkpoint_is_refused_in_one_line(train, unfinished):
    path = unfinished / "checkpoint.npz"
    sound, (_, record) = path.read_bytes(), read_checkpoint(path)
    for spoil, message in (
        (lambda: path.write_bytes(sound[:-40]), "is broken, or no checkpoint"),
        (lambda: np.savez(path, layer0=np.eye(2)), "is broken, or no checkpoint"),
        (lambda: write_checkpoint(path, {}, "{}"), "of this version of ssahc; remove"),
        (lambda: write_checkpoint(path, {}, record), "broken, or of another network"),
    ):
        spoil()
        status, errors = train("--resume")
        assert status == 2
        assert sum(message in line for line in errors) == 1
        assert errors[-1].startswith("ssahc: error: ")


def test_a_run_killed_before_its_first_checkpoint_starts_over(train, unfinished, whole):
    (unfinished / "checkpoint.npz").unlink()
    status, errors = train("--resume")
    assert status == 0
    assert errors[0].startswith("ssahc: epoch 0: ")
    assert contents(unfinished.parent) == whole


def test_a_checkpoint_without_options_is_removed(train, unfinished, monkeypatch):
    (unfinished / "config.toml").unlink()

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssahc.learning.embedding_training.train_embedding_net", stop)
    assert train()[0] == 130
    assert not unfinished.exists()


def test_a_run_that_diverged_leaves_nothing(train, tmp_path):
    status, errors = train("--lr", 1e25, "--loss", "softmax")
    assert status == 2
    assert "train with a smaller --lr" in errors[-1]
    assert not any("--resume" in line for line in errors)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_names_resume(train, monkeypatch):
    def write_and_stop(*arguments):
        write_checkpoint(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ssahc.cli.train_metric.write_checkpoint", write_and_stop)
        status, errors = train()
    assert status == 130
    assert any("the same command with --resume" in line for line in errors)
