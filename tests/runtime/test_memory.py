"""``--max-memory`` refuses what it estimates to be too large before the work begins."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from kaldi_tables import read_table

from ssahc.api import DataError, diarize_recording, make_options
from ssahc.core.types import Recording
from ssahc.io.ark import ArchiveWriter, write_single
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.pipeline.memory_model import working_set
from ssahc.runtime.memory import check_room, memory_taken

SSAHC = Path(sys.executable).with_name("ssahc")
MIB = 2**20


def test_memory_taken_is_the_resident_set_and_a_lack_of_room_is_refused():
    before = memory_taken()
    block = np.ones(50 * MIB, np.uint8)
    assert 45 * MIB < memory_taken() - before < 55 * MIB
    assert block.all()
    check_room(1e18, np.inf, "this")
    check_room(MIB, memory_taken() + 20 * MIB, "this")
    with pytest.raises(DataError, match=r"this needs about 1,024 MiB of memory beside"):
        check_room(1024 * MIB, memory_taken() + 500 * MIB, "this")


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


def test_a_recording_too_large_is_refused_at_once():
    for values in (
        {"system": "spectral"},
        {"system": "cosine", "first_pass_max_utterances": 2000},
        {"system": "ssahc", "triplets": "sampled", "num_speakers": 2},
    ):
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


# What is done to the folder, MiB beyond what is taken, and options.
SPECTRAL = ("--system", "spectral")
FAULTS = {
    "a limit below what the libraries take": (None, None, ()),
    "a recording that needs more than is left": (long_recording(1500), 90, SPECTRAL),
    "x-vectors that take more than is left": (many_vectors, 300, ()),
}


@contextmanager
def refused_beyond(room):
    """Have the system refuse what would take this process beyond what it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    data = int(Path("/proc/self/statm").read_bytes().split()[5])
    limit = data * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_memory_fault_is_as_documented(faults_page, folder, diarize, fault):
    row = faults_page["Memory"][fault]
    spoil, room, options = FAULTS[fault]
    # What the libraries take is taken before the limit is chosen.
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


def test_a_matrix_too_large_for_the_memory_costs_its_recording_alone(
    folder, diarize, faults_page
):
    diarize("--write-scores", out="before")
    matrices = dict(read_table(folder / "before" / "scores.scp", "matrix"))
    with ArchiveWriter(folder / "scores.ark", folder / "scores.scp") as archive:
        for recording, matrix in matrices.items():
            too_large = np.zeros((6000, 6000), np.float32)
            archive.write(recording, too_large if recording == "a001" else matrix)
    del too_large
    with refused_beyond(80 * MIB):
        status, errors, done = diarize("--plda-scores", folder / "scores.scp")
    assert "recording 'a001'" in errors
    assert "key 'a001': not enough memory" in errors
    assert (status, done) == (1, ["a000", "a002"])


def test_an_allocation_that_the_system_refuses_costs_its_recording_alone(
    folder, diarize, faults_page
):
    options = ("--system=spectral",)
    diarize(*options, out="before")
    long_recording(4000)(folder / "x")
    with refused_beyond(120 * MIB):
        status, errors, done = diarize(*options)
    refused = "an allocation that the system refuses"
    assert list(faults_page["Memory"]) == [*FAULTS, refused], "every row is tested"
    assert faults_page["Memory"][refused].is_said_in(errors), errors
    assert (status, done) == (1, ["a000", "a001", "a002"])


def test_a_recording_too_large_is_skipped_and_takes_no_memory(tmp_path):
    recordings = [simulated("long", 5000, 8), simulated("short", 40, 8)]
    write_xvector_dir(tmp_path / "x", recordings)
    options = ["--max-memory=240M", "--system=spectral", "--nj=2"]
    arguments = [SSAHC, "diarize", tmp_path / "x", tmp_path / "out", *options]
    # Of a small process: a process starts with the peak of the one that started it.
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:])\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(done.returncode, used.ru_maxrss * 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    status, peak = map(int, done.stdout.split())
    assert status == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert line.startswith("ssahc: error: recording 'long': ")
    assert "work on 5000 windows needs about" in line
    assert (tmp_path / "out" / "rttm").read_text().split()[1] == "short"
    assert peak < 1.1 * 240 * MIB
