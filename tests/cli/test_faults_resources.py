"""Memory that is full, inputs that change, output that nobody reads.

Each is brought about, and is as docs/reference/faults.md says.
"""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fault_table import Faults, check_fault, contents

from ssahc.cli import diarize, diarize_task
from ssahc.io.rttm import read_rttm
from ssahc.learning import optimizer
from ssahc.pipeline import diarize as pipeline
from ssahc.runtime.pools import Pool, ProcessKilled
from ssahc.runtime.worker import Done

fault = Faults()


# ---- memory ------------------------------------------------------------------------


def killed_by(wanted):
    """Have whoever gets one of these recordings be killed, in place of processes."""

    @contextmanager
    def workers(work, count):
        def submit(batch):
            future = Future()
            if any(wanted(recording.id) for recording in batch):
                future.set_exception(ProcessKilled())
            else:
                future.set_result(Done(work(batch), []))
            return future

        yield Pool(submit, lambda: count, ProcessKilled)

    return workers


@fault("a process runs out of memory and is killed")
def _(here):
    times = iter(["a001"])
    pool = killed_by(lambda name: name == "a001" and next(times, None) is not None)
    here.patch.setattr("ssahc.runtime.executor.local_workers", pool)
    return here.run("--nj", 2)


@fault("a recording that every process is killed by")
def _(here):
    pool = killed_by("a001".__eq__)
    here.patch.setattr("ssahc.runtime.executor.local_workers", pool)
    return here.run("--nj", 2)


@fault("a recording too large for the memory")
def _(here):
    whole = pipeline.diarize_recording

    def run_out(recording, *arguments, **options):
        if recording.id == "a001":
            raise MemoryError("Unable to allocate 6.71 GiB")
        return whole(recording, *arguments, **options)

    here.patch.setattr("ssahc.cli.inputs.diarize_recording", run_out)
    return here.run()


def on_gpu(here, too_much, *options):
    """Diarize on what passes for a GPU, where it is full for some recordings."""
    together = optimizer.train_batch

    def run_out(jobs, place=None):
        if place is not None and too_much([len(job.learner.inputs) for job in jobs]):
            raise torch.cuda.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"
            )
        return together(jobs)

    here.patch.setattr(optimizer, "train_batch", run_out)
    here.patch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    for module in (optimizer, diarize, diarize_task):
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
    with here.after(1, lambda: os.kill(os.getpid(), signal.SIGTERM)):
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
    assert "already done: 1 recording" in result.stderr
    return SimpleNamespace(stderr="", returncode=2 + result.returncode)


def in_a_process(*command, **streams):
    """Run a verb in a process of its own; what it prints and says goes elsewhere."""
    script = Path(sys.executable).with_name("ssahc")
    result = subprocess.run(list(map(str, (script, *command))), check=False, **streams)
    return SimpleNamespace(stderr=result.stderr or "", returncode=result.returncode)


def check(here, **streams):
    """Check, which prints one line, as all other verbs print theirs."""
    shutil.copytree(here.folder / "whole", here.out)
    return in_a_process(
        "check", here.folder / "x", stderr=subprocess.PIPE, text=True, **streams
    )


@fault("nobody reads what is printed")
def _(here):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        return check(here, stdout=stdout)


@fault("what is printed goes to a full disk")
def _(here):
    with open("/dev/full", "w") as stdout:
        return check(here, stdout=stdout)


def resume(here, **streams):
    """Finish a run again in a process of its own: it says so, and writes its files."""
    model = ("--model-dir", here.folder / "model")
    options = ("--system", "plda", "--write-scores", "--max-speakers", "4", "--resume")
    x = here.folder / "x"
    return in_a_process("diarize", x, here.out, *model, *options, **streams)


@fault("Python leaves out assertions (`PYTHONOPTIMIZE`)")
def _(here):
    without = os.environ | {"PYTHONOPTIMIZE": "1"}
    return resume(here, env=without, stderr=subprocess.PIPE, text=True)


@fault("the log goes to a full disk")
def _(here):
    here.run()
    with open("/dev/full", "w") as stderr:
        return resume(here, stderr=stderr)


@fault("standard error is closed")
def _(here):
    here.run()
    return resume(here, preexec_fn=lambda: os.close(2))


def test_the_others_are_written_if_nobody_reads_who_failed(broken, here):
    broken.vector(lambda vector: vector * np.nan)
    assert here.run().returncode == 1
    before = contents(here.out)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stderr:
        assert resume(here, stderr=stderr).returncode == 1
    assert sorted(read_rttm(here.out / "rttm").turns) == ["a000", "a002"]
    assert contents(here.out) == before


@pytest.mark.parametrize("name", fault)
def test_a_fault_is_as_documented(here, name):
    check_fault(here, name, fault[name])
