"""``--max-memory`` is a promise: what would break it is refused before it happens."""

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssahc.api import DataError, UsageError, diarize_recording, make_options
from ssahc.io.ark import write_single
from ssahc.io.xvectors import write_xvector_dir
from ssahc.memory import check_room, limited_memory, memory_taken
from ssahc.types import Recording
from ssahc.working_set import working_set

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


def test_a_limit_below_what_is_taken_is_refused():
    with (
        pytest.raises(UsageError, match="are taken by Python and libraries before"),
        limited_memory(memory_taken() + 10 * MIB),
    ):
        raise AssertionError("there was no room")


@pytest.mark.parametrize(
    "values",
    [
        {"system": "spectral"},
        {"system": "cosine", "first_pass_max_utterances": 2000},
        {"system": "ssahc", "triplets": "sampled", "num_speakers": 2},
    ],
)
def test_a_recording_too_large_is_refused_at_once(rng, values):
    count = 20_000
    times = np.arange(count, dtype=np.float64)
    names = tuple(map(str, range(count)))
    recording = Recording(
        "r", names, np.column_stack([times, times + 1]), rng.normal(size=(count, 2))
    )
    options = make_options(max_memory="3G", **values)
    with pytest.raises(DataError, match="the work on 20000 windows needs about"):
        diarize_recording(recording, options=options)


def test_ready_made_scores_and_short_recordings_are_matrices():
    options = make_options(system="plda")
    assert working_set(1000, 8, options) > 20 * 1000**2
    assert working_set(5000, 8, options) < 5000**2
    assert working_set(5000, 8, options, has_scores=True) > 20 * 5000**2


@pytest.fixture
def two(rng, tmp_path):
    """A folder of a short recording and one of ten thousand windows."""
    recordings = []
    for name, count in (("long", 10_000), ("short", 40)):
        times = 0.75 * np.arange(count)
        vectors = rng.normal(size=(count, 256))
        vectors[: count // 2] += 3
        recordings.append(
            Recording(
                name,
                tuple(f"{name}-{number:05d}" for number in range(count)),
                np.column_stack([times, times + 1.5]),
                vectors,
            )
        )
    write_xvector_dir(tmp_path / "x", recordings)
    return tmp_path


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
def test_the_promise_is_kept(two, more):
    status, errors, peak = run(two, "--max-memory", "240M", "--system", "ssahc", *more)
    assert status == 1, errors
    (line,) = [line for line in errors.splitlines() if "error" in line]
    assert line.startswith("ssahc: error: recording 'long': ")
    # It may be too large to be sent to another process at all.
    assert "work on 10000 windows needs about" in line or (more and "sent" in line)
    assert (two / "out" / "rttm").read_text().split()[1] == "short"
    assert peak < 1.1 * 240 * MIB


def test_what_nobody_foresaw_is_refused_by_the_system(two):
    options = ("--system", "cosine", "--write-scores", "--max-memory", "280M")
    status, errors, peak = run(two, *options)
    assert status == 1, errors
    (line,) = errors.splitlines()
    assert "recording 'long': not enough memory: Unable to allocate 763. MiB" in line
    assert "Traceback" not in errors
    assert (two / "out" / "rttm").read_text().split()[1] == "short"
    assert peak < 1.1 * 280 * MIB


def test_x_vectors_too_large_are_not_read(folder, diarize):
    """A single vector of which eight hundred would not fit."""
    count = 800
    dim = 200_000
    names = [f"huge-{number:03d}" for number in range(count)]
    write_single(folder / "x" / "one", np.ones(dim, np.float32))
    for table, form in (
        ("xvector.scp", "{0} one\n"),
        ("segments", "{0} huge 0 1\n"),
        ("utt2spk", "{0} huge\n"),
    ):
        with (folder / "x" / table).open("a") as file:
            file.writelines(form.format(name) for name in names)
    with (folder / "x" / "spk2utt").open("a") as file:
        file.write(f"huge {' '.join(names)}\n")
    status, errors, done = diarize("--max-memory", "1500M")
    assert (status, done) == (1, ["a000", "a001", "a002"])
    assert "recording 'huge': its 800 x-vectors needs about 1,831 MiB" in errors


def test_a_limit_too_low_for_anything(folder, diarize):
    status, errors, done = diarize("--max-memory", "10M")
    assert (status, done) == (2, [])
    assert "--max-memory allows 10 MiB, and" in errors
    assert not (folder / "out").exists()


def test_tables_beyond_the_limit(two):
    """Half a million lines about another recording."""
    with (two / "x" / "segments").open("a") as file:
        file.writelines(f"other-{number:07d} other 0 1\n" for number in range(500_000))
    status, errors, peak = run(two, "--max-memory", "240M", "--system", "cosine")
    assert status == 2
    (line,) = errors.splitlines()
    assert line.startswith("ssahc: error: not enough memory")
    assert "allow more where --max-memory sets a limit" in line
    assert not (two / "out").exists()
    assert peak < 1.1 * 240 * MIB


def test_a_header_of_two_to_the_62_values_takes_no_memory(folder, diarize):
    header = b"\0BFM " + struct.pack("<bibi", 4, 2**31 - 1, 4, 2**31 - 1)
    (folder / "model" / "transform.mat").write_bytes(header)
    status, errors, _ = diarize("--max-memory", "1500M")
    assert status == 2
    assert "a matrix of 2147483647 x 2147483647 needs 18446744056529682436" in errors
