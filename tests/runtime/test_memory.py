"""``--max-memory`` is a promise: what would break it is refused before it happens."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssahc.api import DataError, UsageError, diarize_recording, make_options
from ssahc.core.types import Recording
from ssahc.io.ark import ArchiveWriter, read_table, write_single
from ssahc.io.xvectors import open_xvector_dir, read_recordings, write_xvector_dir
from ssahc.pipeline.memory_model import working_set
from ssahc.runtime.memory import check_room, limited_memory, memory_taken

SSAHC = Path(sys.executable).with_name("ssahc")
MIB = 2**20


def test_what_is_taken_is_what_the_system_says():
    before = memory_taken()
    block = np.ones(50 * MIB, np.uint8)
    assert 45 * MIB < memory_taken() - before < 55 * MIB
    assert block.all()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert memory_taken() <= peak + MIB


def test_room_is_what_is_left():
    check_room(1e18, np.inf, "this")
    check_room(MIB, memory_taken() + 20 * MIB, "this")
    with pytest.raises(DataError, match=r"this needs about 1,024 MiB of memory beside"):
        check_room(1024 * MIB, memory_taken() + 500 * MIB, "this")


def test_a_limit_is_kept_and_taken_back():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited_memory(memory_taken() + 100 * MIB):
        with pytest.raises(MemoryError, match="Unable to allocate 200"):
            np.ones(200 * MIB, np.uint8)
        assert np.ones(50 * MIB, np.uint8).all()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert np.ones(200 * MIB, np.uint8).all()


def test_a_limit_of_the_user_stays(monkeypatch):
    given = (2**40, resource.getrlimit(resource.RLIMIT_DATA)[1])
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, given)
    try:
        with limited_memory(2.0**41):
            assert resource.getrlimit(resource.RLIMIT_DATA) == given
        assert resource.getrlimit(resource.RLIMIT_DATA) == given
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def test_a_limit_that_the_system_cannot_be_told_is_none():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited_memory(2.0**64):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_limit_below_what_is_taken_is_refused():
    with (
        pytest.raises(UsageError, match="are taken by Python and libraries before"),
        limited_memory(memory_taken() + 10 * MIB),
    ):
        raise AssertionError("there was no room")


def simulated(name, count, dim=24):
    """Return a recording of two speakers, one after the other."""
    times = 0.75 * np.arange(count)
    vectors = np.random.default_rng(0).normal(size=(count, dim))
    vectors[: count // 2] += 3
    return Recording(
        name,
        tuple(f"{name}-{number:05d}" for number in range(count)),
        np.column_stack([times, times + 1.5]),
        vectors,
    )


@pytest.mark.parametrize(
    "values",
    [
        {"system": "spectral"},
        {"system": "cosine", "first_pass_max_utterances": 2000},
        {"system": "ssahc", "triplets": "sampled", "num_speakers": 2},
    ],
)
def test_a_recording_too_large_is_refused_at_once(values):
    options = make_options(max_memory="3G", **values)
    with pytest.raises(DataError, match="the work on 20000 windows needs about"):
        diarize_recording(simulated("r", 20_000, 2), options=options)


def test_ready_made_scores_and_short_recordings_are_matrices():
    options = make_options(system="plda")
    assert working_set(1000, 8, options) > 20 * 1000**2
    assert working_set(5000, 8, options) < 5000**2
    assert working_set(5000, 8, options, has_scores=True) > 20 * 5000**2


# ---- the page ----------------------------------------------------------------------


def long_recording(count):
    """Return what adds a recording of so many windows to a folder."""

    def add(x):
        recordings = [*read_recordings(open_xvector_dir(x)), simulated("long", count)]
        write_xvector_dir(x, recordings)

    return add


def many_vectors(x):
    """One vector, and eight hundred names for it, which together would not fit."""
    names = [f"huge-{number:03d}" for number in range(800)]
    write_single(x / "one", np.ones(200_000, np.float32))
    for table, form in (
        ("xvector.scp", "{0} one\n"),
        ("segments", "{0} huge 0 1\n"),
        ("utt2spk", "{0} huge\n"),
    ):
        with (x / table).open("a") as file:
            file.writelines(form.format(name) for name in names)
    with (x / "spk2utt").open("a") as file:
        file.write(f"huge {' '.join(names)}\n")


def many_segments(x):
    with (x / "segments").open("a") as file:
        file.writelines(f"other-{number:07d} other 0 1\n" for number in range(400_000))


# What is done to the folder, MiB beyond what is taken, and options.
SPECTRAL = ("--system", "spectral")
MANY_CLUSTERS = ("--system", "ssahc", "--lambda", "0.1", "--init-threshold", "0.999")
FAULTS = {
    "a limit below what the libraries take": (None, None, ()),
    "a recording that needs more than is left": (long_recording(1500), 90, SPECTRAL),
    "x-vectors that take more than is left": (many_vectors, 300, ()),
    "an allocation that nobody foresaw": (long_recording(4000), 120, MANY_CLUSTERS),
    "tables that take more than is left": (many_segments, 66, ()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_page_is_true_of_memory(faults_page, folder, diarize, fault):
    row = faults_page["Memory"][fault]
    spoil, room, options = FAULTS[fault]
    # What the libraries take is taken before the limit is set.
    diarize(*options, "--max-memory", "1T", out="before")
    if spoil is not None:
        spoil(folder / "x")
    limit = 10 if room is None else memory_taken() // MIB + room
    status, errors, done = diarize(*options, "--max-memory", f"{limit}M")
    assert row.is_said_in(errors), errors
    assert "Traceback" not in errors
    if row.survives == "nothing is written":
        assert (status, done) == (2, [])
        assert not (folder / "out").exists()
    else:
        assert (status, done) == (1, ["a000", "a001", "a002"])


def test_the_page_has_a_row_for_every_fault_of_memory(faults_page):
    assert list(faults_page["Memory"]) == list(FAULTS)


@pytest.mark.parametrize("name", ["scores.ark", "scores.scp"])
def test_a_matrix_of_scores_costs_its_recording_alone(folder, diarize, name):
    diarize("--write-scores", "--max-memory", "1T", out="before")
    matrices = dict(read_table(folder / "before" / "scores.scp", "matrix"))
    with ArchiveWriter(folder / "scores.ark", folder / "scores.scp") as archive:
        for recording, matrix in matrices.items():
            too_large = np.zeros((6000, 6000), np.float32)
            archive.write(recording, too_large if recording == "a001" else matrix)
    del too_large
    limit = f"{memory_taken() // MIB + 80}M"
    scores = ("--plda-scores", folder / name, "--max-memory", limit)
    status, errors, done = diarize(*scores)
    assert "recording 'a001'" in errors
    assert "key 'a001': not enough memory" in errors
    assert (status, done) == (1, ["a000", "a002"])


# ---- whole processes ---------------------------------------------------------------


def run(folder, *options):
    """Diarize in a process of its own; return status, stderr and its peak memory."""
    arguments = [SSAHC, "diarize", folder / "x", folder / "out", *options]
    code = (
        "import resource, subprocess, sys\n"
        f"done = subprocess.run({list(map(str, arguments))!r})\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(done.returncode, used.ru_maxrss * 1024)\n"
    )
    # Of a small process: a process starts with the peak of the one that started it.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    status, peak = map(int, done.stdout.split())
    return status, done.stderr, peak


@pytest.mark.parametrize("more", [(), ("--nj", "2")], ids=["here", "in processes"])
def test_the_promise_is_kept(tmp_path, more):
    recordings = [simulated("long", 10_000, 256), simulated("short", 40, 256)]
    write_xvector_dir(tmp_path / "x", recordings)
    options = ("--max-memory", "240M", "--system", "ssahc", *more)
    status, errors, peak = run(tmp_path, *options)
    assert status == 1, errors
    (line,) = [line for line in errors.splitlines() if "error" in line]
    assert line.startswith("ssahc: error: recording 'long': ")
    # It may be too large to be sent to another process at all.
    assert "work on 10000 windows needs about" in line or (more and "sent" in line)
    assert (tmp_path / "out" / "rttm").read_text().split()[1] == "short"
    assert peak < 1.1 * 240 * MIB
