"""Faults while it runs: each is brought about, and as docs/faults.md says."""

import errno
import fcntl
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
import torch

from ssahc import compiled, pipeline
from ssahc.cli import diarize, unfinished
from ssahc.cluster import linkage
from ssahc.io.folders import lock_folder
from ssahc.nn import train

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
FILES = ("rttm", "labels", "scores.ark", "scores.scp", "config.toml")
RESUME = "holds a run that was interrupted; go on with --resume"
# The exit status, where the page does not give it.
STATUS = {
    "everything": 0,
    "all other recordings": 1,
    "what was done": 2,
    "nothing is written": 2,
}


def read_page():
    """Return fault: (messages, exit status, what survives)."""
    rows = {}
    section = PAGE.read_text().partition("## While it runs\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith(("| fault", "| :--")):
            fault, seen, survives = line.strip("| ").split(" | ")
            status = re.search(r"exit status (\d+)", seen)
            number = int(status[1]) if status else STATUS[survives]
            messages = [m for m in re.findall("`(.*?)`", seen) if m != "--resume"]
            rows[fault] = messages, number, survives
    return rows


ROWS, CASES = read_page(), {}


def fault(name):
    """Note what brings a fault about: what it returns is looked at."""

    def note(function):
        CASES[name] = function
        return function

    return note


@pytest.fixture
def here(folder, ssahc_here, monkeypatch):
    """Return what the faults work with: a folder, and a way to diarize it."""
    options = ("--system", "plda", "--write-scores", "--max-speakers", 4)

    def run(*more, out="out", options=options):
        model = ("--model-dir", folder / "model")
        return ssahc_here(
            "diarize", folder / "x", folder / out, *model, *options, *more
        )

    @contextmanager
    def after(count, act):
        """Do something when so many recordings are done."""
        add = unfinished.Unfinished.add

        def add_and_act(self, *arguments):
            add(self, *arguments)
            if len(self.labels) == count:
                act()

        with monkeypatch.context() as patch:
            patch.setattr(unfinished.Unfinished, "add", add_and_act)
            yield

    return SimpleNamespace(
        folder=folder, out=folder / "out", run=run, after=after, patch=monkeypatch
    )


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_is_as_the_page_says(here, name):
    messages, status, survives = ROWS[name]
    learning = "GPU" in name or "cuda" in name
    options = {"options": ("--system", "ssahc")} if learning else {}
    whole = here.run(out="whole", **options)
    assert whole.returncode == 0
    with here.patch.context() as patch:
        here.patch = patch
        result = CASES[name](here)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    assert result.returncode == status, result.stderr
    for message in messages:
        pattern = re.escape(message).replace(r"\.\.\.", ".+")
        assert re.search(pattern, result.stderr), result.stderr
    if not messages:
        assert "error" not in result.stderr
        assert result.stderr in ("", whole.stderr)
    CHECKS[survives](here)
    assert multiprocessing.active_children() == []


def test_every_fault_has_a_row_and_every_row_a_fault():
    assert CASES.keys() == ROWS.keys()


# ---- what survives -----------------------------------------------------------------


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def same_turns(out, whole, *, but=None):
    texts = [(folder / "rttm").read_text().splitlines() for folder in (out, whole)]
    assert texts[0] == [line for line in texts[1] if line.split()[1] not in (but or ())]


def everything(here):
    assert contents(here.out) == contents(here.folder / "whole")


def what_was_done(here):
    """A run with --resume goes on from there, and does no recording again."""
    kept = (here.out / ".unfinished" / "config.toml").exists()
    if not kept:
        # It has been resumed already.
        everything(here)
        return
    assert {path.name for path in here.out.iterdir()} == {".unfinished"}
    assert RESUME in here.run().stderr
    (here.out / ".unfinished" / "config.toml").touch()
    resumed = here.run("--resume")
    assert resumed.returncode == 0
    assert re.search("[1-3] recordings were done before", resumed.stderr)
    everything(here)


def nothing_is_written(here):
    """A run that was there is as it was; a folder that was not is not."""
    if here.out.is_dir():
        assert {path.name for path in here.out.iterdir()} <= {"rttm"}
    else:
        assert not here.out.exists() or here.out.read_text() == "mine"


def all_other_recordings(here):
    lines = (here.out / "labels").read_text().splitlines()
    theirs = (here.folder / "whole" / "labels").read_text().splitlines()
    assert 0 < len(lines) < len(theirs)
    assert lines == [line for line in theirs if line in set(lines)]
    assert not (here.out / ".unfinished").exists()


CHECKS = {
    "everything": everything,
    "what was done": what_was_done,
    "nothing is written": nothing_is_written,
    "all other recordings": all_other_recordings,
}


# ---- disks and folders -------------------------------------------------------------


@contextmanager
def largest_file(size):
    """Have files end at a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(size):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@fault("the disk is full when the run begins")
def _(here):
    with largest_file(0):
        return here.run()


@fault("the disk is full in the middle")
def _(here):
    def fill_up():
        fill((here.out / ".unfinished" / "scores.0").stat().st_size + 100)

    with largest_file(resource.RLIM_INFINITY), here.after(1, fill_up):
        return here.run()


@fault("the disk is full at the end")
def _(here):
    with largest_file(resource.RLIM_INFINITY), here.after(3, lambda: fill(100)):
        return here.run()


@fault("the disk of compiled code is full")
def _(here):
    def nowhere(*, cache=False, **options):
        if cache:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return lambda function: function

    here.patch.setattr(numba, "njit", nowhere)
    anew = compiled.compiled(linkage._merge_best.__wrapped__)
    here.patch.setattr(linkage, "_merge_best", anew)
    return here.run()


@fault("an output folder that cannot be written to")
def _(here):
    # Not even root may write there.
    return here.run(out="/proc/out")


@fault("a file in place of the output folder")
def _(here):
    here.out.write_text("mine")
    return here.run()


@fault("a folder in place of a file")
def _(here):
    (here.out / "rttm").mkdir(parents=True)
    return here.run()


@fault("the output folder is removed")
def _(here):
    with here.after(1, lambda: shutil.rmtree(here.out)):
        return here.run()


@fault("another run writes to the output folder")
def _(here):
    with lock_folder(here.out):
        return here.run()


@fault("the lock of a process that is gone")
def _(here):
    (here.out / ".unfinished").mkdir(parents=True)
    lock = here.out / ".unfinished" / "lock"
    lock.write_text("process 1 on elsewhere since 2001-01-01 00:00:00\n")
    return here.run()


@fault("a file system without locks")
def _(here):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    here.patch.setattr(fcntl, "flock", flock)
    return here.run()


# ---- stopped -----------------------------------------------------------------------


def send(number):
    os.kill(os.getpid(), number)


def kill(here, after):
    """Diarize in a process that is killed after so many recordings."""
    options = ("--system", "plda", "--write-scores", "--max-speakers", 4)
    model = ("--model-dir", here.folder / "model")
    command = ("ssahc", "diarize", here.folder / "x", here.out, *model, *options)
    code = (
        "import os, sys\n"
        "from ssahc.cli import unfinished\n"
        "add = unfinished.Unfinished.add\n"
        "def add_and_die(self, *arguments):\n"
        "    add(self, *arguments)\n"
        f"    if len(self.labels) == {after}: os.kill(os.getpid(), 9)\n"
        "unfinished.Unfinished.add = add_and_die\n"
        f"sys.argv = {[str(part) for part in command]!r}\n"
        "import ssahc.__main__"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL


@fault("killed (SIGKILL), and started again")
def _(here):
    kill(here, 2)
    return here.run()


@fault("interrupted (Ctrl-C)")
def _(here):
    with here.after(1, lambda: send(signal.SIGINT)):
        return here.run("--nj", 2)


@fault("interrupted, again and again")
def _(here):
    keep = unfinished._keep

    def interrupt_and_keep(*arguments):
        send(signal.SIGINT)
        keep(*arguments)
        send(signal.SIGINT)

    here.patch.setattr(unfinished, "_keep", interrupt_and_keep)
    with here.after(1, lambda: send(signal.SIGINT)):
        return here.run()


@fault("stopped by a batch system (SIGTERM)")
def _(here):
    with here.after(1, lambda: send(signal.SIGTERM)):
        return here.run("--nj", 2)


@fault("the terminal is closed (SIGHUP)")
def _(here):
    with here.after(1, lambda: send(signal.SIGHUP)):
        return here.run()


@fault("the terminal is closed, under nohup")
def _(here):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with here.after(1, lambda: send(signal.SIGHUP)):
            return here.run()
    finally:
        signal.signal(signal.SIGHUP, before)


@fault("interrupted before a recording is done")
def _(here):
    here.patch.setattr(diarize, "read_recordings", lambda *_, **__: send(signal.SIGINT))
    return here.run()


@fault("the power fails")
def _(here):
    with here.after(3, lambda: send(signal.SIGTERM)):
        here.run()
    # What was written last may not have reached the disk; a file may end in zeros.
    for name, lost in (("labels.0", 40), ("scores.0", 100)):
        path = here.out / ".unfinished" / name
        path.write_bytes(path.read_bytes()[:-lost] + bytes(lost))
    result = here.run("--resume")
    return SimpleNamespace(stderr=result.stderr, returncode=2 + result.returncode)


# ---- memory ------------------------------------------------------------------------


class Killed:
    """In place of processes: whoever gets one of these recordings is killed."""

    def __init__(self, wanted):
        self.wanted = wanted

    def __call__(self, count, context, initializer, initargs):
        self.work = initargs[0]
        return self

    def submit(self, function, batch, settings):
        future = Future()
        if any(self.wanted(recording.id) for recording in batch):
            future.set_exception(BrokenProcessPool("killed"))
        else:
            future.set_result(SimpleNamespace(results=self.work(batch), log=[]))
        return future

    def shutdown(self, **_):
        pass


@fault("a process runs out of memory and is killed")
def _(here):
    times = iter(["a001"])
    pool = Killed(lambda name: name == "a001" and next(times, None) is not None)
    here.patch.setattr("ssahc.parallel.ProcessPoolExecutor", pool)
    return here.run("--nj", 2)


@fault("a recording that every process is killed by")
def _(here):
    pool = Killed("a001".__eq__)
    here.patch.setattr("ssahc.parallel.ProcessPoolExecutor", pool)
    return here.run("--nj", 2)


@fault("a recording too large for the memory")
def _(here):
    steps = pipeline.diarize_steps

    async def run_out(recording, *arguments, **options):
        if recording.id == "a001":
            raise MemoryError("Unable to allocate 6.71 GiB")
        return await steps(recording, *arguments, **options)

    here.patch.setattr("ssahc.cli.inputs.diarize_steps", run_out)
    return here.run()


def on_gpu(here, too_much, *options):
    """Diarize on what passes for a GPU, where it is full for some recordings."""
    together = train.train_side_by_side

    def run_out(jobs, place=None):
        if place is not None and too_much([len(job.learner.inputs) for job in jobs]):
            raise torch.cuda.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"
            )
        return together(jobs)

    here.patch.setattr(train, "train_side_by_side", run_out)
    here.patch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    for module in (train, diarize):
        here.patch.setattr(module, "has_gpu", lambda device: device != "cpu")
    return here.run(*options, options=("--system", "ssahc"))


def length_of(here, recording):
    lines = (here.folder / "x" / "utt2spk").read_text().splitlines()
    return sum(line.split()[1] == recording for line in lines)


@fault("recordings together too large for the GPU")
def _(here):
    return on_gpu(here, lambda lengths: len(lengths) > 1)


@fault("a recording too large for the GPU")
def _(here):
    length = length_of(here, "a000")
    return on_gpu(here, lambda lengths: length in lengths)


@fault("the same, with `--device cuda`")
def _(here):
    length = length_of(here, "a000")
    return on_gpu(here, lambda lengths: length in lengths, "--device", "cuda")


# ---- what is read and printed ------------------------------------------------------


def second_archive(here):
    """Have the last recording's x-vectors in an archive of their own; return it."""
    archive = here.folder / "x" / "xvector.ark"
    shutil.copy(archive, archive.with_name("other.ark"))
    scp = archive.with_suffix(".scp")
    lines = scp.read_text().splitlines(keepends=True)
    moved = [
        line.replace("xvector", "other") if "a002" in line else line for line in lines
    ]
    scp.write_text("".join(moved))
    return archive.with_name("other.ark")


@fault("an archive is removed")
def _(here):
    with here.after(1, second_archive(here).unlink):
        return here.run()


@fault("an archive is cut off")
def _(here):
    archive = second_archive(here)
    with here.after(1, lambda: os.truncate(archive, archive.stat().st_size - 20)):
        return here.run()


def interrupt(here):
    with here.after(1, lambda: send(signal.SIGTERM)):
        here.run()


@fault("an input changes before `--resume`")
def _(here):
    interrupt(here)
    (here.folder / "x" / "segments").touch()
    return here.run("--resume")


@fault("an older file takes an input's place before `--resume`")
def _(here):
    older = here.folder / "older"
    shutil.copy(here.folder / "x" / "segments", older)
    os.utime(older, (1, 1))
    interrupt(here)
    older.rename(here.folder / "x" / "segments")
    return here.run("--resume")


@fault("the clock is set back before a run")
def _(here):
    future = (here.folder / "x" / "segments").stat().st_mtime + 1e6
    os.utime(here.folder / "x" / "segments", (future, future))
    interrupt(here)
    result = here.run("--resume")
    assert "1 recordings were done before" in result.stderr
    return SimpleNamespace(stderr="", returncode=2 + result.returncode)


def score(here, **streams):
    """Score in a process of its own; what it prints goes elsewhere."""
    shutil.copytree(here.folder / "whole", here.out)
    rttm = here.out / "rttm"
    command = [Path(sys.executable).with_name("ssahc"), "score", rttm, rttm]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, **streams)


@fault("nobody reads what is printed")
def _(here):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        return score(here, stdout=stdout)


@fault("what is printed goes to a full disk")
def _(here):
    with open("/dev/full", "w") as stdout:
        return score(here, stdout=stdout)


def log_to(here, **streams):
    options = ("--system", "plda", "--write-scores", "--max-speakers", "4")
    model = ("--model-dir", here.folder / "model")
    script = Path(sys.executable).with_name("ssahc")
    command = (script, "diarize", here.folder / "x", here.out, *model, *options)
    result = subprocess.run(list(map(str, command)), check=False, **streams)
    return SimpleNamespace(stderr="", returncode=result.returncode)


@fault("the log goes to a full disk")
def _(here):
    with open("/dev/full", "w") as stderr:
        return log_to(here, stderr=stderr)


@fault("standard error is closed")
def _(here):
    return log_to(here, preexec_fn=lambda: os.close(2))
