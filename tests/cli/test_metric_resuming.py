"""``ssahc train-metric`` interrupted and resumed; broken checkpoints."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from ssahc.cli import cli
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
    """Train a network; return exit status and lines on standard error."""

    def run(*options, out="out"):
        arguments = ("train-metric", source, tmp_path / out, *OPTIONS, *options)
        result = ssahc_here(*arguments)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr.splitlines()

    return run


@pytest.fixture(scope="module")
def whole(source):
    """The output folder of a run that is not interrupted."""
    out = source.parent / "whole"
    arguments = ["train-metric", source, out, *OPTIONS]
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return out


def contents(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {*FILES, "config.toml"}
    return {name: (folder / name).read_bytes() for name in FILES}


DIE = """
import os, signal, sys
from ssahc.cli import train_metric
log = train_metric._log_epoch
def log_and_die(epoch):
    log(epoch)
    if epoch.number == 1: os.kill(os.getpid(), signal.SIGKILL)
train_metric._log_epoch = log_and_die
sys.argv = {arguments!r}
import ssahc.__main__
"""


@pytest.fixture(scope="module")
def killed(source):
    """The output folder of a run that was killed after its first epoch."""
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


def test_a_killed_run_is_resumed_with_the_same_result(
    train, unfinished, whole, tmp_path
):
    status, errors = train()
    assert status == 2
    assert "--resume" in errors[-1]
    # Other options are not mixed with those of the run.
    for option, message in (
        (("--lr", 0.1), "lr is 0.01 there and 0.1 now"),
        (("--loss", "ge2e"), "loss is aam-softmax there and ge2e now"),
        (("--margin-size", 0.1), "margin_size is not given there and 0.1 now"),
    ):
        status, errors = train("--resume", *option)
        assert (status, len(errors)) == (2, 1)
        assert message in errors[0]
    status, errors = train("--resume")
    assert status == 0
    assert errors[0] == "ssahc: resuming after epoch 1"
    assert "ssahc: epoch 2: loss" in errors[1]
    assert contents(tmp_path / "out") == contents(whole)
    # A finished run is left unchanged.
    status, errors = train("--resume")
    assert status == 0
    assert errors == [f"ssahc: {tmp_path / 'out'}: the run is already finished"]
    assert contents(tmp_path / "out") == contents(whole)
    status, errors = train("--resume", "--lr", 0.1)
    assert status == 2
    assert "lr is 0.01 there and 0.1 now" in errors[-1]


@pytest.mark.parametrize("last", ["mean.vec", "plda", "training.csv"])
def test_a_run_killed_while_moving_its_files_is_resumed(
    train, unfinished, whole, tmp_path, last
):
    names = [*MODEL_FILES, "training.csv"]
    for name in names[: names.index(last) + 1]:
        shutil.copy(whole / name, tmp_path / "out")
    assert "--resume" in train()[1][-1]
    assert train("--resume")[0] == 0
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize("name", ["xvector.ark", "xvector.scp", "utt2spk"])
def test_changed_inputs_are_not_mixed(train, killed, unfinished, source, name):
    path = source / name
    before = path.stat()
    later = time.time() + 1
    os.utime(path, (later, later))
    status, errors = train("--resume")
    # An older file put in its place does not show its own time.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert train("--resume") == (status, errors)
    (killed / ".unfinished" / "config.toml").touch()
    assert status == 2
    assert f"{path}: has changed since the run" in errors[-1]


def test_broken_checkpoints_are_one_line(train, unfinished):
    path = unfinished / "checkpoint.npz"
    data = path.read_bytes()
    for spoil in (
        lambda: path.write_bytes(data[:-40]),
        lambda: path.write_bytes(b""),
        lambda: np.savez(path, layer0=np.eye(2)),
        lambda: write_checkpoint(path, {}, "{}"),
        lambda: write_checkpoint(path, {}, read_checkpoint(path)[1]),
    ):
        path.write_bytes(data)
        spoil()
        status, errors = train("--resume")
        assert status == 2
        assert errors[-1].startswith("ssahc: error: ")
        assert "checkpoint" in errors[-1]
        assert "anew" in errors[-1]
        # A run that fails on its checkpoint keeps it.
        assert path.exists()


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_objects_are_not_read(train, unfinished, tmp_path):
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
        assert str(path) in errors[-1]
    path.write_bytes(trap.dumps())
    assert train("--resume")[0] == 2
    assert not (tmp_path / "sprung").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "sprung").exists(), "the trap works"


def test_a_run_killed_before_its_first_epoch_starts_anew(train, unfinished, whole):
    (unfinished / "checkpoint.npz").unlink()
    status, errors = train("--resume")
    assert status == 0
    assert errors[0].startswith("ssahc: epoch 0: ")
    assert contents(unfinished.parent) == contents(whole)


def test_files_without_options_are_removed(train, unfinished, monkeypatch):
    (unfinished / "config.toml").unlink()

    def stop(*_, **__):
        raise KeyboardInterrupt

    train_net = "ssahc.learning.embedding_training.train_embedding_net"
    monkeypatch.setattr(train_net, stop)
    assert train()[0] == 130
    assert not unfinished.exists(), "no later run may resume it"


def test_a_diverged_run_leaves_nothing(train, tmp_path):
    status, errors = train("--lr", 1e25, "--loss", "softmax")
    assert status == 2
    assert "train with a smaller --lr" in errors[-1]
    assert not any("--resume" in line for line in errors)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_says_how_to_continue(train, tmp_path, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ssahc.cli.train_metric._log_epoch", stop)
        status, errors = train()
    assert status == 130
    assert any("--resume" in line for line in errors)
    assert train("--resume")[0] == 0
    contents(tmp_path / "out")
