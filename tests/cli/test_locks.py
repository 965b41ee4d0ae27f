"""Runs that write to one folder at the same time: the second is refused."""

import errno
import fcntl
import os
import resource
import shutil
import threading
import time

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
    }


VERBS = ("diarize", "train-metric", "fit", "tune", "cluster", "simulate", "demo")


def tree(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("verb", VERBS)
def test_the_second_run_is_refused(folder, ssahc_here, verbs, verb):
    with lock_folder(folder / "out"):
        before = tree(folder / "out")
        result = ssahc_here(*verbs[verb])
        assert tree(folder / "out") == before
    whose = f"process {os.getpid()} on {os.uname().nodename} since 20"
    assert result.returncode == 2
    assert result.stderr.startswith(
        f"ssahc: error: {folder / 'out'}: another run is writing there ({whose}"
    )
    assert result.stderr.endswith("; wait for it, or choose another output folder\n")
    assert result.stderr.count("\n") == 1
    assert not (folder / "out").exists()


def test_a_lock_whose_process_is_gone_keeps_nobody_out(folder, ssahc_here, verbs):
    lock = folder / "out" / ".unfinished" / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("process 1 on elsewhere since 2001-01-01 00:00:00\n")
    assert ssahc_here(*verbs["fit"]).returncode == 0
    assert {path.name for path in (folder / "out").iterdir()} == MODEL


@pytest.mark.parametrize("verb", ["fit", "diarize"])
def test_what_a_killed_run_has_left_goes(folder, ssahc_here, verbs, verb):
    unfinished = folder / "out" / ".unfinished"
    with staged_output(folder / "out", ()) as staged:
        (staged / "plda").write_text("half of")
        shutil.copytree(unfinished, folder / "left")
    shutil.copytree(folder / "left", unfinished)
    assert list(unfinished.rglob("plda"))
    assert ssahc_here(*verbs[verb]).returncode == 0
    assert not unfinished.exists()


@pytest.mark.parametrize("kind", ["link", "dangling link", "looping link", "file"])
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_not_a_folder_of_ours_is_not_written_to(
    folder, ssahc_here, verbs, verb, kind
):
    unfinished, others = folder / "out" / ".unfinished", folder / "others"
    unfinished.parent.mkdir()
    if kind == "link":
        (others / "staged").mkdir(parents=True)
        (others / "staged" / "mine").write_text("mine")
    if kind == "file":
        unfinished.write_text("mine")
    else:
        unfinished.symlink_to(unfinished if kind == "looping link" else others)
    before = tree(folder)
    result = ssahc_here(*verbs[verb])
    assert tree(folder) == before
    assert result.returncode == 2
    assert result.stderr == (
        f"ssahc: error: {unfinished}: is a {kind.split()[-1]}, expected a folder that "
        "ssahc makes; move it away\n"
    )


@pytest.mark.parametrize("name", ["lock", "staged", "labels.0", "checkpoint.npz"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_folder_is_not_followed(folder, ssahc_here, verbs, name, there):
    for verb in ("diarize", "fit", "train-metric"):
        (folder / "out" / ".unfinished").mkdir(parents=True)
        others = folder / "others"
        if there:
            others.mkdir(exist_ok=True)
            (others / "mine").write_text("mine")
        (folder / "out" / ".unfinished" / name).symlink_to(others)
        before = tree(others)
        result = ssahc_here(*verbs[verb])
        assert tree(others) == before
        assert others.exists() == there
        if name == "lock":
            assert result.returncode == 2
            assert "lock: is a link, expected a file that ssahc" in result.stderr
        else:
            assert result.returncode == 0
        shutil.rmtree(folder / "out")


def test_a_link_to_a_folder_of_outputs_is_one(folder, ssahc_here, verbs):
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to(folder / "elsewhere")
    assert ssahc_here(*verbs["fit"]).returncode == 0
    assert {path.name for path in (folder / "elsewhere").iterdir()} == MODEL


def test_an_interrupted_diarization_outlives_a_fit(folder, ssahc_here, verbs):
    unfinished = folder / "out" / ".unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "config.toml").touch()
    assert ssahc_here(*verbs["fit"]).returncode == 0
    assert [path.name for path in unfinished.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(folder, ssahc_here, verbs, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    result = ssahc_here(*verbs["fit"])
    assert result.returncode == 0
    assert (
        f"ssahc: {folder / 'out'}: cannot be locked ({os.strerror(number)}); see to it "
        "that no other run writes there\n"
    ) in result.stderr
    assert {path.name for path in (folder / "out").iterdir()} == MODEL


def test_a_full_disk_does_not_undo_a_lock(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        with lock_folder(tmp_path), pytest.raises(UsageError, match=r"there; wait"):
            with lock_folder(tmp_path):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_many_runs_that_begin_and_end_at_once(tmp_path):
    inside, entered, wrong = [], [], []

    def run():
        for _ in range(100):
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
