"""The section of docs/reference/faults.md on score matrices, RTTM and UEM files."""

import struct

import numpy as np
import pytest
from fault_table import PAGE

from ssahc.io.ark import ArchiveWriter

ROWS = PAGE["Score matrices and references"]
TURN = "SPEAKER {} 0 {} {} <NA> <NA> {} <NA> <NA>\n"
RATED = "SPEAKER {} 0 {} {} <NA> <NA> A {} <NA>\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Scores of two recordings, and a reference and a hypothesis of them."""
    monkeypatch.chdir(tmp_path)
    names = ("r1", "r2")
    with ArchiveWriter(tmp_path / "s.ark", tmp_path / "s.scp") as archive:
        for name in names:
            archive.write(name, np.eye(3, dtype=np.float32))
    lines = [f"{name} {name}-0 {name}-1 {name}-2\n" for name in names]
    (tmp_path / "reco2utt").write_text("".join(lines))
    segments = [f"{r}-{i} {r} {i} {i + 1}\n" for r in names for i in range(3)]
    (tmp_path / "segments").write_text("".join(segments))
    for name in ("ref", "hyp"):
        turns = [TURN.format(name, 0, 10, "A") for name in names]
        (tmp_path / name).write_text("".join(turns))
    (tmp_path / "uem").write_text("r1 0 0 10\nr2 0 0 10\n")
    return tmp_path


def edit(name, old, new):
    def hurt(files):
        text = (files / name).read_text()
        assert old in text
        (files / name).write_text(text.replace(old, new))

    return hurt


def write(name, text):
    return lambda files: (files / name).write_text(text)


def cut(share):
    def hurt(files):
        data = (files / "s.ark").read_bytes()
        (files / "s.ark").write_bytes(data[: round(len(data) * share)])

    return hurt


def huge(files):
    data = (files / "s.ark").read_bytes()
    dims = struct.pack("<bibi", 4, 3, 4, 3)
    first, _, rest = data.rpartition(dims)
    dims = struct.pack("<bibi", 4, 2**31 - 1, 4, 2**31 - 1)
    (files / "s.ark").write_bytes(first + dims + rest)


def follow(files):
    with (files / "s.ark").open("ab") as file:
        file.write(b"rubbish")


EYE = "[\n 1 0 0\n 0 1 0\n 0 0 1 ]\n"
CLUSTER = "cluster s.ark reco2utt out --segments segments --threshold 0".split()
SCORE = "score ref hyp --uem uem".split()
CALIBRATE = "score ref hyp --calibration".split()
FAULTS = {
    "matrices that are cut off": (CLUSTER, cut(0.95)),
    "matrices that are cut off between two": (CLUSTER, cut(0.51)),
    "a matrix of 2147483647 x 2147483647": (CLUSTER, huge),
    "rubbish behind the last matrix": (CLUSTER, follow),
    "a matrix of another size": (CLUSTER, edit("reco2utt", " r2-2", "")),
    "a matrix of 0 x 0": (CLUSTER, write("s.ark", f"r1 {EYE}r2  [ ]\n")),
    "a row of an utterance twice": (CLUSTER, edit("reco2utt", "r2-1", "r2-2")),
    "a row of another recording": (CLUSTER, edit("segments", "r2-1 r2", "r2-1 r1")),
    "something else in place of an RTTM": (SCORE, write("hyp", "r-0 1\n")),
    "an RTTM line with a field too few": (
        SCORE,
        write("ref", "SPEAKER r1 0 0 10 <NA> <NA> A\n"),
    ),
    "an RTTM with a negative time": (SCORE, write("ref", TURN.format("r", 0, -1, "A"))),
    "an RTTM in samples": (SCORE, write("ref", TURN.format("r", 0, 2e9, "A"))),
    "an RTTM with a time that is NaN": (
        SCORE,
        write("ref", TURN.format("r", "nan", 1, "A")),
    ),
    "a UEM with an end before its start": (SCORE, write("uem", "r1 0 5 2\n")),
    "a UEM of another channel": (SCORE, write("uem", "r1 1 0 5\n")),
    "a UEM whose ids start as comments": (SCORE, write("uem", ";;r1 0 0 5\n")),
    "a UEM of other recordings": (SCORE, write("uem", "other 0 0 5\n")),
    "a hypothesis without confidence, to be calibrated": (CALIBRATE, write("uem", "")),
    "confidence in percent": (
        CALIBRATE,
        write("hyp", RATED.format("r1", 0, 10, 0.9) + RATED.format("r2", 0, 10, 90)),
    ),
    "confidence where nothing is scored": (
        CALIBRATE,
        write("hyp", RATED.format("r1", 20, 10, 0.9)),
    ),
    "a recording that the hypothesis lacks": (
        SCORE,
        edit("hyp", "SPEAKER r2", "SPEAKER r1"),
    ),
}
SURVIVORS = {
    "everything": (0, ["r1", "r2"]),
    "everything (a warning)": (0, ["r1", "r2"]),
    "all other recordings": (1, ["r1"]),
    "nothing is written": (2, []),
}


@pytest.mark.parametrize("fault", ROWS)
def test_fault_is_handled_as_documented(ssahc_here, files, fault):
    arguments, hurt = FAULTS[fault]
    row = ROWS[fault]
    hurt(files)
    before = sorted(files.rglob("*"))
    result = ssahc_here(*arguments)
    assert row.is_said_in(result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    status, done = SURVIVORS[row.survives]
    assert result.returncode == status
    if arguments != CLUSTER:
        assert sorted(files.rglob("*")) == before
        assert bool(result.stdout) == bool(done)
        return
    assert result.stdout == ""
    labels = files / "out" / "labels"
    lines = labels.read_text().splitlines() if labels.exists() else []
    assert sorted({line[:2] for line in lines}) == done
    after = {path for path in files.rglob("*") if path.parent.name != "out"}
    assert sorted(after - {files / "out"}) == before


def test_reference_without_speech_is_refused(ssahc_here, files):
    result = ssahc_here("score", "ref", "ref", "--collar", 30)
    assert result.returncode == 2
    assert "no reference speech is left to score" in result.stderr


def test_ids_may_start_like_a_comment(ssahc_here, files):
    for name in ("ref", "hyp"):
        edit(name, " r", " ;;r")(files)
    result = ssahc_here("score", "ref", "hyp", "--format", "csv")
    assert result.returncode == 0
    assert ";;r1" in result.stdout


def test_long_lists_of_recordings_are_cut(ssahc_here, files):
    names = [f"r{number}" for number in range(8)]
    for name, kept in (("ref", names), ("hyp", names[:1])):
        turns = [TURN.format(recording, 0, 10, "A") for recording in kept]
        (files / name).write_text("".join(turns))
    warning = ssahc_here("score", "ref", "hyp").stderr.splitlines()[0]
    assert warning.endswith("counted as missed: r1, r2, r3, r4, r5 and 2 more")
