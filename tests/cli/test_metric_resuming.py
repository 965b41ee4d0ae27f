"""Training of metrics that is interrupted and resumed; checkpoints that are broken."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

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


@pytest.fixture
def whole(train, tmp_path):
    """What a run leaves that is not interrupted."""
    assert train(out="whole")[0] == 0
    return contents(tmp_path / "whole")


def contents(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {*FILES, "config.toml"}
    return {name: (folder / name).read_bytes() for name in FILES}


DIE = """
import os, signal, sys
from ssahc.cli import train_metric
tell = train_metric._tell
def tell_and_die(epoch):
    tell(epoch)
    if epoch.number == 1: os.kill(os.getpid(), signal.SIGKILL)
train_metric._tell = tell_and_die
sys.argv = {arguments!r}
import ssahc.__main__
"""


@pytest.fixture(scope="module")
def killed(source):
    """A folder that a run has left that was killed after its first epoch."""
    out = source.parent / "killed"
    arguments = ("ssahc", "train-metric", source, out, *OPTIONS)
    code = DIE.format(arguments=[str(argument) for argument in arguments])
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert "epoch 1: loss" in process.stderr
    return out


@pytest.fixture
def unfinished(killed, tmp_path):
    """A copy of it, where `train` writes to."""
    shutil.copytree(killed, tmp_path / "out")
    return tmp_path / "out" / ".unfinished"


def test_a_killed_run_is_resumed(train, unfinished, whole, tmp_path):
    status, errors = train()
    assert status == 2
    assert "holds a run that was interrupted; go on with --resume, or" in errors[-1]
    status, errors = train("--resume")
    assert status == 0
    assert errors[0] == "ssahc: epoch 1 was reached before"
    assert "ssahc: epoch 2: loss" in errors[1]
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("last", ["mean.vec", "plda", "training.csv"])
def test_a_run_that_was_killed_at_its_end_is_resumed(
    train, unfinished, whole, tmp_path, last
):
    """As moving the files one by one has left it."""
    names = [*MODEL_FILES, "training.csv"]
    for name in names[: names.index(last) + 1]:
        shutil.copy(tmp_path / "whole" / name, tmp_path / "out")
    assert "go on with --resume" in train()[1][-1]
    assert train("--resume")[0] == 0
    assert contents(tmp_path / "out") == whole


def test_a_finished_run_is_left_as_it_is(train, unfinished, whole, tmp_path):
    assert train("--resume")[0] == 0
    status, errors = train("--resume")
    assert status == 0
    assert errors == [f"ssahc: {tmp_path / 'out'}: the run was finished before"]
    assert contents(tmp_path / "out") == whole
    status, errors = train("--resume", "--lr", 0.1)
    assert status == 2
    assert "lr is 0.01 there and 0.1 now" in errors[-1]


def test_other_options_are_not_mixed(train, unfinished, whole, tmp_path):
    for option, message in (
        (("--lr", 0.1), "lr is 0.01 there and 0.1 now"),
        (("--loss", "ge2e"), "loss is aam-softmax there and ge2e now"),
        (("--margin-size", 0.1), "margin_size is not given there and 0.1 now"),
    ):
        status, errors = train("--resume", *option)
        assert status == 2
        assert len(errors) == 1
        assert message in errors[0]
    assert train("--resume")[0] == 0
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("name", ["xvector.ark", "xvector.scp", "utt2spk"])
def test_other_inputs_are_not_mixed(train, killed, unfinished, source, name):
    path = source / name
    before = path.stat()
    later = time.time() + 1
    os.utime(path, (later, later))
    status, errors = train("--resume")
    # As one puts an older file in its place: its own time does not tell.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert train("--resume") == (status, errors)
    (killed / ".unfinished" / "config.toml").touch()
    assert status == 2
    assert f"{path}: has changed since the run" in errors[-1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "is broken, or no ch"),
        (lambda path: path.write_bytes(b""), "is broken, or no checkpoint of ssahc"),
        (lambda path: path.write_text("no zip"), "is broken, or no checkpoint of ssah"),
        (lambda path: np.savez(path, layer0=np.eye(2)), "is broken, or no checkpoint"),
        (lambda path: write_checkpoint(path, {}, "{}"), "of this version of ssahc"),
        (
            lambda path: write_checkpoint(path, {}, '{"epochs": [], "generator": ""}'),
            "no checkpoint of this version of ssahc; remove its folder to start anew",
        ),
        (
            lambda path: write_checkpoint(path, {}, read_checkpoint(path)[1]),
            "the checkpoint is broken, or of another network",
        ),
    ],
)
def test_a_broken_checkpoint_is_one_line(train, unfinished, spoil, message):
    spoil(unfinished / "checkpoint.npz")
    status, errors = train("--resume")
    assert status == 2
    assert sum(message in line for line in errors) == 1
    assert errors[-1].startswith("ssahc: error: ")


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_pickled_is_read(train, unfinished, tmp_path):
    path = unfinished / "checkpoint.npz"
    arrays, record = read_checkpoint(path)
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    for stored in (
        {"record": np.array(record), **arrays, "layer0": trap},
        {"record": trap, **arrays},
        {"record": np.array(record), **arrays, "unused": trap},
    ):
        np.savez(path, allow_pickle=True, **stored)
        status, errors = train("--resume")
        assert status == 2
        assert f"{path}: is broken, or no checkpoint of ssahc" in errors[-1]
    path.write_bytes(trap.dumps())
    assert train("--resume")[0] == 2
    assert not (tmp_path / "sprung").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "sprung").exists(), "the trap is one"


def test_a_run_killed_before_it_learned_begins_anew(train, unfinished, whole):
    (unfinished / "checkpoint.npz").unlink()
    status, errors = train("--resume")
    assert status == 0
    assert errors[0].startswith("ssahc: epoch 0: ")
    assert contents(unfinished.parent) == whole


def test_what_lies_there_without_options_is_not_taken(train, unfinished, monkeypatch):
    (unfinished / "config.toml").unlink()

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssahc.learning.embedding_training.train_metric", stop)
    assert train()[0] == 130
    assert not unfinished.exists(), "no later run may take it for its own"


def test_a_run_that_diverged_leaves_nothing(train, tmp_path):
    status, errors = train("--lr", 1e25, "--loss", "softmax")
    assert status == 2
    assert "train with a smaller --lr" in errors[-1]
    assert not any("--resume" in line for line in errors)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_says_what_it_has(train, tmp_path, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ssahc.cli.train_metric._tell", stop)
        status, errors = train()
    assert status == 130
    assert any("the same command with --resume goes on from" in line for line in errors)
    assert train("--resume")[0] == 0
    contents(tmp_path / "out")
