"""Output folders that another run writes to, or that hold links and old files."""

import os
import resource
import shutil
import threading
import time

import numpy as np
import pytest

from ssahc.core.errors import UsageError
from ssahc.io.folders import lock_folder, staged_output
from ssahc.io.labelled import write_labelled
from ssahc.simulation.conversations import SimulateOptions, simulate_training

MODEL = {"mean.vec", "transform.mat", "plda"}


@pytest.fixture
def verbs(folder):
    """Every verb that fills a folder, with small inputs."""
    options = SimulateOptions(train_speakers=12, train_sessions=3, dim=8)
    write_labelled(folder / "train", simulate_training(options))
    (folder / "ref.rttm").write_text("SPEAKER a000 1 0 5 <NA> <NA> x <NA> <NA>\n")
    np.savez(folder / "r.npz", xvectors=np.eye(2), segments=[[0, 1], [1, 2]])
    (folder / "scores").write_text("a  [\n 0 1\n 1 0 ]\n")
    (folder / "reco2utt").write_text("a u1 u2\n")
    out, x, ref = folder / "out", folder / "x", folder / "ref.rttm"
    return {
        "diarize": ("diarize", x, out, "--system", "cosine"),
        "train-metric": ("train-metric", folder / "train", out, "--epochs", 1),
        "fit": ("fit", folder / "train", out),
        "tune": ("tune", x, ref, out, "--system", "cosine"),
        "cluster": ("cluster", folder / "scores", folder / "reco2utt", out),
        "simulate": ("simulate", out, "--recordings", 2, "--train-speakers", 0),
        "demo": ("demo", out),
        "import": ("import", folder / "r.npz", out),
    }


VERBS = "diarize train-metric fit tune cluster simulate demo import".split()


def tree(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("verb", VERBS)
def test_a_second_run_is_refused(folder, ssahc_here, verbs, verb):
    with lock_folder(folder / "out"):
        before = tree(folder / "out")
        result = ssahc_here(*verbs[verb])
        assert tree(folder / "out") == before
    whose = f"process {os.getpid()} on {os.uname().nodename} since 20"
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"{folder / 'out'}: another run is writing there ({whose}" in result.stderr
    assert not (folder / "out").exists()


def test_files_of_a_killed_run_are_removed(folder, ssahc_here, verbs):
    unfinished = folder / "out" / ".unfinished"
    with staged_output(folder / "out", ()) as staged:
        (staged / "plda").write_text("half of")
        shutil.copytree(unfinished, folder / "left")
    shutil.copytree(folder / "left", unfinished)
    assert list(unfinished.rglob("plda"))
    assert ssahc_here(*verbs["fit"]).returncode == 0
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("verb", "name"),
    [("diarize", "labels.0"), ("fit", "staged"), ("train-metric", "checkpoint.npz")],
)
def test_links_in_the_unfinished_folder_are_not_followed(
    folder, ssahc_here, verbs, verb, name
):
    others, unfinished = folder / "others", folder / "out" / ".unfinished"
    for there in (False, True):
        if there:
            others.mkdir()
            (others / "mine").write_text("mine")
        unfinished.mkdir(parents=True)
        (unfinished / name).symlink_to(others)
        before = tree(others)
        assert ssahc_here(*verbs[verb]).returncode == 0
        assert tree(others) == before
        assert others.exists() == there


def test_the_output_folder_may_be_a_link(folder, ssahc_here, verbs):
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to(folder / "elsewhere")
    assert ssahc_here(*verbs["fit"]).returncode == 0
    assert {path.name for path in (folder / "elsewhere").iterdir()} == MODEL


def test_fit_keeps_an_interrupted_diarization(folder, ssahc_here, verbs):
    unfinished = folder / "out" / ".unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "config.toml").touch()
    assert ssahc_here(*verbs["fit"]).returncode == 0
    assert [path.name for path in unfinished.iterdir()] == ["config.toml"]


def test_the_lock_holds_on_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        with lock_folder(tmp_path), pytest.raises(UsageError, match=r"there; wait"):
            with lock_folder(tmp_path):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_runs_that_start_and_end_together_never_share_the_folder(tmp_path):
    inside, entered, wrong = [], [], []

    def run():
        for _ in range(50):
            try:
                with lock_folder(tmp_path):
                    inside.append(1)
                    entered.append(len(inside))
                    time.sleep(1e-4)
                    inside.pop()
            except UsageError:
                pass
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert set(entered) == {1}
    assert list(tmp_path.iterdir()) == []
