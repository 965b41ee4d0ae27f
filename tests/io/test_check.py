"""Finding the problems of an x-vector folder (``ssahc check``)."""

import subprocess

import numpy as np
import pytest
from scipy.linalg import hadamard

from ssahc.core.errors import FormatError
from ssahc.core.types import Model, Plda
from ssahc.io.ark import ArchiveWriter, write_single
from ssahc.io.check import find_problems
from ssahc.io.model import write_model_dir
from ssahc.io.xvectors import open_xvector_dir

DIM = 4
SEGMENTS = """\
a-0 a 0 1.5
a-1 a 0.75 2.25
a-2 a 10 11.5
b-0 b 0 1.5
b-1 b 0.75 2.25
c-0 c 3 4
"""
SPK2UTT = "a a-0 a-1 a-2\nb b-0 b-1\nc c-0\n"


def write_vectors(folder, **instead):
    """Write the archive; `instead` gives other vectors, by key with _ for -."""
    with ArchiveWriter(folder / "xvector.ark", folder / "xvector.scp") as archive:
        for number, line in enumerate(SEGMENTS.splitlines()):
            key = line.split()[0]
            vector = instead.get(key.replace("-", "_"), np.full(DIM, number + 1.0))
            archive.write(key, np.asarray(vector, np.float32))


def write_folder(path):
    path.mkdir()
    rows = [line.split()[:2] for line in SEGMENTS.splitlines()]
    (path / "segments").write_text(SEGMENTS)
    (path / "spk2utt").write_text(SPK2UTT)
    (path / "utt2spk").write_text("".join(f"{u} {r}\n" for u, r in rows))
    (path / "reco2num_spk").write_text("a 2\nb 2\nc 1\n")
    write_vectors(path)
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "x")


@pytest.fixture
def model_dir(tmp_path):
    path = tmp_path / "model"
    write_model_dir(path, Model(np.zeros(DIM), np.eye(DIM)))
    return path


@pytest.fixture
def problems(folder):
    """Return the problems of the folder, without its name."""

    def find(*model):
        report = find_problems(folder, *model)
        assert report.num_problems == len(report.problems)
        return [str(problem).replace(f"{folder}/", "") for problem in report.problems]

    return find


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


# ---- sound folders -----------------------------------------------------------------


def test_sound_folder_has_no_problems(check, folder, model_dir):
    summary = "3 recordings, 6 x-vectors of 4 dimensions, 0.0 hours of speech"
    expected = (0, f"{folder}: {summary}: no problems\n", [])
    assert check(folder) == expected
    assert check(folder, "--model-dir", model_dir) == expected
    # Overlapping windows count once.
    (folder / "reco2num_spk").unlink()
    report = find_problems(folder)
    assert report.problems == []
    assert report.seconds == pytest.approx((2.25 + 1.5) + 2.25 + 1)


def test_harmless_findings_are_warnings(check, folder):
    with (folder / "xvector.scp").open("a") as scp:
        scp.write("stranger nowhere.ark:9\n")
    edit(folder / "segments", "c-0 c 3 4", "c-0 c 3 3")
    edit(folder / "reco2num_spk", "c 1", "c 2")
    status, out, warnings = check(folder)
    assert (status, out.endswith("no problems\n")) == (0, True)
    unused, no_length, speakers = warnings
    assert "ignoring 1 x-vector that spk2utt does not list" in unused
    assert "segments: 1 segment without length, the first of them 'c-0'" in no_length
    assert "reco2num_spk: recording 'c': 2 speakers, but only 1 window" in speakers
    assert "error" not in "".join(warnings)
    assert check(folder, "-q") == (0, out, [])


# ---- single problems ---------------------------------------------------------------


def test_tables_of_speakers_are_one_problem_with_a_way_out(problems, folder):
    tables = {name: (folder / name).read_text() for name in ("utt2spk", "spk2utt")}
    for name, changed in (
        ("utt2spk", tables["utt2spk"].replace(" ", " spk-")),
        ("spk2utt", "tom a-0 a-1 b-0\nann a-2 b-1 c-0\n"),
    ):
        (folder / name).write_text(changed)
        (problem,) = problems()
        assert problem.startswith(f"{name}: names speakers, such as ")
        assert "the recording of every utterance, such as 'a': awk" in problem
        with pytest.raises(FormatError, match="names speakers"):
            open_xvector_dir(folder)
        # What it says is what helps.
        subprocess.run(problem.split(": ", 2)[-1], shell=True, cwd=folder, check=True)
        assert tables == {name: (folder / name).read_text() for name in tables}


def test_bad_vector_is_one_problem(problems, folder):
    write_vectors(folder, b_0=[])
    (problem,) = problems()
    assert problem.startswith("xvector.ark: key 'b-0': the x-vector is empty")
    # Not one for each x-vector of the recording.
    write_vectors(folder, b_0=[1, 1, 1], b_1=[1, 1, 2])
    (problem,) = problems()
    assert "the x-vector of 'b-0' has 3 dimensions, that of 'a-0' has 4" in problem


def test_a_truncated_or_missing_archive_is_one_problem(problems, folder, caplog):
    archive = folder / "xvector.ark"
    archive.write_bytes(archive.read_bytes()[:-40])
    (problem,) = problems()
    assert problem.startswith("xvector.ark: key 'b-1': truncated")
    assert "2 x-vectors of 2 recordings cannot be read, from 'b-1'" in caplog.text
    archive.unlink()
    (problem,) = problems()
    assert problem.startswith("xvector.scp:1: archive 'xvector.ark' is neither at")


def test_missing_folder_is_the_only_problem(check, folder):
    path = folder.parent / "nowhere"
    status, out, (line, last) = check(path)
    assert (status, out) == (2, "")
    assert line.startswith(f"ssahc: error: {path}: no such folder; it should hold")
    assert last == "ssahc: error: 1 problem"


# ---- the model ---------------------------------------------------------------------


def test_bad_model_does_not_hide_the_folder(check, folder, model_dir):
    write_single(model_dir / "transform.mat", np.ones((4, 2)))
    (folder / "utt2spk").unlink()
    _, _, (model, table, _) = check(folder, "--model-dir", model_dir)
    assert f"{model_dir}/transform.mat: expected a matrix of no more rows" in model
    assert f"{folder}/utt2spk: no such file" in table
    _, _, (missing, *_) = check(folder, "--model-dir", folder / "nowhere")
    assert "nowhere: no such folder; expected one with mean.vec" in missing


@pytest.mark.parametrize(
    ("scales", "first", "scaled", "warns"),
    [
        ([1, 1, 1, 1], "1.00 times", None, False),
        ([0.05, 0.05, 0.05, 0.05], "400 times", "length 0.1, not sqrt(4)", False),
        ([0.3, 1.1, 1.1, 1.1], "11.1 times", None, True),
    ],
)
def test_the_energy_that_a_plda_expects_is_compared_with_that_of_the_x_vectors(
    check, folder, model_dir, scales, first, scaled, warns
):
    # All x-vectors of the folder point along the first of these directions.
    directions = hadamard(DIM)
    transform = np.sqrt(2) / np.array(scales)[:, None] * directions / 2
    plda = Plda(np.zeros(DIM), transform, np.ones(DIM))
    write_model_dir(model_dir, Model(np.zeros(DIM), np.eye(DIM), plda))
    status, out, warnings = check(folder, "--model-dir", model_dir)
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 2 if scaled is None else 3)
    assert f"{model_dir}/plda: x-vectors have {first} the energy" in lines[1]
    if scaled is not None:
        assert scaled in lines[2]
        assert lines[2].endswith("1.00 times")
    assert ("the PLDA hardly fits" in "".join(warnings)) == warns


# ---- many problems -----------------------------------------------------------------


def test_every_problem_is_listed(ssahc_here, folder, model_dir):
    write_vectors(folder, a_0=[np.nan] * 4, a_1=[0] * 4, b_0=[1] * 3)
    edit(folder / "segments", "a-2 a 10", "a-2 a ten")
    edit(folder / "segments", "b-1 b 0.75", "b-1 b 75")
    edit(folder / "segments", "c-0 c", "d-0 c 0 1\nc-0 b")
    edit(folder / "utt2spk", "a-0 a", "a-0 b")
    edit(folder / "utt2spk", "b-1 b", "b-1")
    edit(folder / "spk2utt", "c c-0", "c c-0 c-0\nd\ne e-0")
    edit(folder / "xvector.scp", "a-2 xvector.ark", "a-2 xvector.ark.gz")
    edit(folder / "xvector.scp", "b-1 xvector.ark", "b-1 moved.ark")
    (folder / "reco2num_spk").write_text("a 0\nb 9\nc\nd 1\n")
    write_model_dir(model_dir, Model(np.zeros(5), np.eye(5)))
    result = ssahc_here("check", folder, "--model-dir", model_dir)
    assert (result.returncode, result.stdout) == (2, "")
    lines = [line.replace(f"{folder}/", "") for line in result.stderr.splitlines()]
    warnings = [line for line in lines if "error" not in line]
    assert warnings == [
        "ssahc: reco2num_spk: recording 'b': 9 speakers, but only 2 windows"
    ]
    expected = [
        "xvector.scp:3: key 'a-2': 'xvector.ark.gz' is gzipped",
        "segments:3: key 'a-2': expected a number for the start",
        "segments:5: key 'b-1': expected 0 <= start <= end",
        "utt2spk:5: key 'b-1': expected 'utterance recording'",
        "utt2spk: key 'a-0': belongs to 'b' here",
        "utt2spk: key 'e-0': is missing here",
        "segments: segment 'd-0' has no x-vector",
        "spk2utt: key 'c': lists utterance 'c-0' twice",
        "segments: utterance 'c-0' belongs to 'b' here",
        "spk2utt: key 'd': lists no utterances",
        "segments: no segment for utterance 'e-0'",
        "xvector.scp: no x-vector for utterance 'e-0'",
        "reco2num_spk:1: key 'a': expected a whole number",
        "reco2num_spk:3: key 'c': expected 'recording count'",
        "reco2num_spk: key 'e': does not list this recording",
        "xvector.ark: key 'a-0': the x-vector holds NaN",
        "xvector.ark: key 'a-1': the x-vector is all zero",
        "xvector.scp:5: archive 'moved.ark' is neither",
        "xvector.ark: the x-vector of 'b-0' has 3 dimensions",
        "xvector.scp: x-vectors have 4 dimensions, the model has 5",
    ]
    errors = [line.removeprefix("ssahc: error: ") for line in lines if "error" in line]
    assert errors.pop() == f"{len(expected)} problems"
    for problem, start in zip(errors, expected, strict=True):
        assert problem.startswith(start)


def test_utterance_of_two_recordings_is_reported(problems, folder):
    edit(folder / "spk2utt", "c c-0", "c c-0 b-1")
    assert [problem.split(":")[0] for problem in problems()] == ["utt2spk", "segments"]


def test_progress_sees_every_vector_once(folder):
    passed = []

    def progress(vectors, total):
        passed.append(total)
        for key, vector in vectors:
            passed.append(key)
            yield key, vector

    assert find_problems(folder, progress=progress).problems == []
    assert passed == [6, *(line.split()[0] for line in SEGMENTS.splitlines())]
