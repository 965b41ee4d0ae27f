"""Full disks, odd files in the output folder, stopped processes.

Each row of docs/reference/faults.md is brought about.
"""

import errno
import fcntl
import os
import re
import resource
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
from fault_table import ROWS, Faults, check_fault
from kills import killed

from ssahc.cli import diarize, journal
from ssahc.clustering import dense_linkage
from ssahc.io.folders import lock_folder
from ssahc.runtime import jit

fault = Faults()


# ---- disks and folders -------------------------------------------------------------


@contextmanager
def largest_file(size):
    """Limit the size of files, as a full disk does."""
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
    anew = jit.compiled(dense_linkage._merge_best.__wrapped__)
    here.patch.setattr(dense_linkage, "_merge_best", anew)
    return here.run()


@fault("an output folder that cannot be written to")
def _(here):
    # Root cannot write there either.
    return here.run(out="/proc/out")


@fault("a file in place of the output folder")
def _(here):
    here.out.write_text("mine")
    return here.run()


@fault("a folder in place of a file")
def _(here):
    (here.out / "rttm").mkdir(parents=True)
    return here.run()


@fault("a named pipe in place of a file")
def _(here):
    here.out.mkdir()
    os.mkfifo(here.out / "rttm")
    result = here.run()
    assert (here.out / "rttm").is_fifo()
    return result


@fault("a link to nowhere in place of the output folder")
def _(here):
    here.out.symlink_to(here.folder / "nowhere")
    result = here.run()
    assert not (here.folder / "nowhere").exists()
    return result


@fault("a link in place of `.unfinished`")
def _(here):
    # A folder of others, whatever the names in it.
    others = here.folder / "others"
    names = ("lock", "labels.0", "rttm", "deeper/file")
    for name in names:
        (others / name).parent.mkdir(parents=True, exist_ok=True)
        (others / name).write_text("mine")
    here.out.mkdir()
    (here.out / ".unfinished").symlink_to(others)
    result = here.run()
    assert [(others / name).read_text() for name in names] == ["mine"] * len(names)
    return result


@fault("a file in place of `.unfinished`")
def _(here):
    here.out.mkdir()
    (here.out / ".unfinished").write_text("mine")
    result = here.run()
    assert (here.out / ".unfinished").read_text() == "mine"
    return result


@fault("a link in place of the lock")
def _(here):
    (here.out / ".unfinished").mkdir(parents=True)
    (here.folder / "mine").write_text("mine")
    (here.out / ".unfinished" / "lock").symlink_to(here.folder / "mine")
    result = here.run()
    assert (here.folder / "mine").read_text() == "mine"
    return result


@fault("links in place of what is kept")
def _(here):
    kept = here.out / ".unfinished"
    kept.mkdir(parents=True)
    shutil.copy(here.folder / "whole" / "config.toml", kept)
    names = ("labels.0", "scores.1", "labels", "rttm", "scores.ark", "scores.scp")
    for name in names:
        (kept / name).symlink_to(here.folder / f"not {name}")
    result = here.run("--resume")
    assert list(here.folder.glob("not *")) == []
    return result


@fault("a named pipe in place of what was kept")
def _(here):
    kept = here.out / ".unfinished"
    kept.mkdir(parents=True)
    shutil.copy(here.folder / "whole" / "config.toml", kept)
    os.mkfifo(kept / "labels.0")
    return here.run("--resume")


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


@fault("killed (SIGKILL), and started again")
def _(here):
    with killed(here.out) as die, here.after(2, die):
        here.run()
    return here.run()


@fault("interrupted (Ctrl-C)")
def _(here):
    with here.after(1, lambda: send(signal.SIGINT)):
        return here.run()


@fault("interrupted, again and again")
def _(here):
    keep = journal.keep_done

    def interrupt_and_keep(*arguments):
        send(signal.SIGINT)
        keep(*arguments)
        send(signal.SIGINT)

    here.patch.setattr(journal, "keep_done", interrupt_and_keep)
    with here.after(1, lambda: send(signal.SIGINT)):
        return here.run()


@fault("stopped by a batch system (SIGTERM)")
def _(here):
    with here.after(1, lambda: send(signal.SIGTERM)):
        return here.run()


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
    # The last writes may not have reached the disk; a file may end in zeros.
    for name, lost in (("labels.0", 40), ("scores.0", 100)):
        path = here.out / ".unfinished" / name
        path.write_bytes(path.read_bytes()[:-lost] + bytes(lost))
    result = here.run("--resume")
    return SimpleNamespace(stderr=result.stderr, returncode=2 + result.returncode)


@pytest.mark.parametrize("name", fault)
def test_a_fault_while_running_is_as_documented(here, name):
    check_fault(here, name, fault[name])


def test_every_fault_is_documented_and_brought_about():
    texts = [
        path.read_text() for path in Path(__file__).parent.glob("test_faults_*.py")
    ]
    noted = [
        name for text in texts for name in re.findall(r'^@fault\("(.*)"\)', text, re.M)
    ]
    assert sorted(noted) == sorted(ROWS)
