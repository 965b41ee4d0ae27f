"""Bad input: what the user sees, what survives, and the exit status."""

import shutil

import numpy as np
import pytest

from ssahc.io.ark import ArchiveWriter, read_table, write_single
from ssahc.io.plda import write_plda
from ssahc.types import Plda

HURT = "a001"


@pytest.fixture
def found(check, folder):
    """Check the broken folder; return what was found."""

    def run(model=True):
        options = ["--model-dir", folder / "model"] if model else []
        status, _, lines = check(folder / "x", *options)
        assert status == (2 if lines else 0)
        return "\n".join(lines)

    return run


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def drop_lines(path, part):
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if part not in line]
    assert len(kept) < len(lines)
    path.write_text("".join(kept))


def rewrite_vectors(folder, change):
    """Write all vectors anew, each through `change(key, vector)`."""
    vectors = dict(read_table(folder / "x" / "xvector.scp", "vector"))
    with ArchiveWriter(
        folder / "x" / "xvector.ark", folder / "x" / "xvector.scp"
    ) as archive:
        for key, vector in vectors.items():
            archive.write(key, np.asarray(change(key, np.array(vector))))


def first_utterance(folder):
    line = (folder / "x" / "spk2utt").read_text().splitlines()[1]
    assert line.startswith(HURT)
    return line.split()[1]


def vector_fault(value):
    def hurt(folder):
        victim = first_utterance(folder)
        rewrite_vectors(folder, lambda k, v: v * 0 + value if k == victim else v)
        return victim

    return hurt


def wrong_dimension(folder):
    victim = first_utterance(folder)
    rewrite_vectors(folder, lambda k, v: v[:-1] if k == victim else v)
    return victim


def no_segment(folder):
    victim = first_utterance(folder)
    drop_lines(folder / "x" / "segments", victim)
    return f"no segment for utterance {victim!r}"


def no_vector(folder):
    victim = first_utterance(folder)
    drop_lines(folder / "x" / "xvector.scp", victim)
    return f"no x-vector for utterance {victim!r}"


def unlisted_segment(folder):
    with (folder / "x" / "segments").open("a") as file:
        file.write(f"extra {HURT} 0.0 1.0\n")
    return "segment 'extra' has no x-vector"


def foreign_segment(folder):
    victim = first_utterance(folder)
    edit(folder / "x" / "segments", f"{victim} {HURT}", f"{victim} a000")
    return "belongs to 'a000' there"


def empty_recording(folder):
    for name in ("spk2utt", "utt2spk", "segments", "xvector.scp"):
        drop_lines(folder / "x" / name, HURT)
    with (folder / "x" / "spk2utt").open("a") as file:
        file.write(f"{HURT}\n")
    return "lists no utterance"


def wrong_key(folder):
    victim = first_utterance(folder)
    scp = folder / "x" / "xvector.scp"
    offset = next(
        line.split(":")[-1] for line in scp.read_text().splitlines() if victim in line
    )
    edit(scp, f"{victim} xvector.ark:{offset}", f"{victim} xvector.ark:30")
    return "the scp belongs to another archive"


def point_elsewhere(folder, data):
    """Make the victim's scp line name a file of its own, without an offset."""
    scp = folder / "x" / "xvector.scp"
    (folder / "x" / "single").write_bytes(data)
    victim = first_utterance(folder)
    drop_lines(scp, victim)
    with scp.open("a") as file:
        file.write(f"{victim} single\n")


def truncated_object(folder):
    point_elsewhere(folder, b"\0BFV \4\x18\0\0\0abc")
    return "truncated: a vector of 24 needs 96 bytes, 3 are left"


def archive_without_offset(folder):
    point_elsewhere(folder, b"u \0BFV \4\x01\0\0\0abcd")
    return "an archive needs its offset in the scp"


@pytest.mark.parametrize(
    "hurt",
    [
        pytest.param(vector_fault(np.nan), id="nan"),
        pytest.param(vector_fault(np.inf), id="infinite"),
        pytest.param(vector_fault(3e38), id="huge"),
        pytest.param(vector_fault(0.0), id="zero"),
        pytest.param(vector_fault(1e-40), id="denormal"),
        *(
            wrong_dimension,
            no_segment,
            no_vector,
            unlisted_segment,
            foreign_segment,
            empty_recording,
            wrong_key,
            truncated_object,
            archive_without_offset,
        ),
    ],
)
def test_one_bad_recording_costs_only_itself(folder, diarize, found, hurt):
    message = hurt(folder)
    status, errors, done = diarize()
    assert status == 1
    assert done == ["a000", "a002"]
    (line,) = errors.splitlines()
    assert line.startswith(f"ssahc: error: recording {HURT!r}: {folder}")
    assert message in line
    assert message in found()


def test_truncated_archive_costs_its_tail(folder, diarize, found):
    archive = folder / "x" / "xvector.ark"
    archive.write_bytes(archive.read_bytes()[:-10])
    status, errors, done = diarize()
    assert (status, done) == (1, ["a000", "a001"])
    (line,) = errors.splitlines()
    assert "recording 'a002'" in line
    assert "xvector.ark: key 'a002-" in line
    assert "truncated" in line
    assert line.partition("'a002': ")[2] in found()


def test_unused_vectors_are_mentioned(folder, diarize):
    scp = folder / "x" / "xvector.scp"
    first = scp.read_text().splitlines()[0]
    with scp.open("a") as file:
        file.write(first.replace(first.split()[0], "stranger") + "\n")
    status, errors, done = diarize()
    assert (status, len(done)) == (0, 3)
    assert "1 x-vectors are in no recording of spk2utt" in errors
    assert "'stranger'" in errors


def test_recording_missing_from_counts(folder, diarize, found):
    counts = folder / "x" / "reco2num_spk"
    drop_lines(counts, HURT)
    status, errors, done = diarize("--reco2num-spk", counts)
    assert (status, done) == (1, ["a000", "a002"])
    assert f"recording 'a001': {counts}: does not list this recording" in errors
    assert f"{counts}: key 'a001': does not list this recording" in found()


def spoil_scp_path(folder):
    (folder / "x" / "xvector.ark").rename(folder / "x" / "moved.ark")
    return "xvector.scp:1: archive 'xvector.ark' is neither at"


def spoil_scp_pipe(folder):
    edit(folder / "x" / "xvector.scp", "xvector.ark:", "touch pwned |")
    return "is a pipe"


def text_scp(folder):
    shutil.copy(folder / "x" / "xvector.ark", folder / "x" / "xvector.scp")
    return "expected UTF-8 text"


def text_plda(folder):
    (folder / "model" / "plda").write_text("rubbish")
    return "plda: expected a Kaldi <Plda> object"


def short_plda(folder):
    path = folder / "model" / "plda"
    path.write_bytes(path.read_bytes()[:500])
    return "plda: key 'transform': truncated"


def plda_dimension(folder):
    write_plda(folder / "model" / "plda", Plda(np.zeros(3), np.eye(3), np.ones(3)))
    return "is for 3 dimensions, but"


def mean_dimension(folder):
    write_single(folder / "model" / "mean.vec", np.zeros(5), binary=False)
    return "is for 24 dimensions, but"


def transform_shape(folder):
    write_single(folder / "model" / "transform.mat", np.zeros((24, 20)))
    return "transform.mat: expected a square matrix"


def nan_mean(folder):
    write_single(folder / "model" / "mean.vec", np.full(24, np.nan))
    return "mean.vec: holds NaN"


def missing_file(name):
    def hurt(folder):
        (folder / name).unlink()
        return f"{folder / name}: no such file"

    return hurt


def negative_psi(folder):
    psi = np.array([2.0, 1.0, -1.0] + [0.1] * 21)
    write_plda(folder / "model" / "plda", Plda(np.zeros(24), np.eye(24), psi))
    return "plda: psi is negative"


def singular_plda(folder):
    plda = Plda(np.zeros(24), np.zeros((24, 24)), np.ones(24))
    write_plda(folder / "model" / "plda", plda)
    return "the transform singular"


def zero_transform(folder):
    write_single(folder / "model" / "transform.mat", np.zeros((24, 24)))
    return "transform.mat: is all zero"


def bad_segments(folder):
    edit(folder / "x" / "segments", " a000 ", " a000 x ")
    return "segments:1: expected 'utterance recording start end'"


def disagreement(folder):
    edit(folder / "x" / "utt2spk", " a000", " a002", 1)
    return "belongs to 'a002' here, but belongs to 'a000' in spk2utt"


def smaller_vectors(folder):
    rewrite_vectors(folder, lambda _, vector: vector[:-1])
    return "x-vectors have 23 dimensions, the model"


@pytest.mark.parametrize(
    "hurt",
    [
        spoil_scp_path,
        spoil_scp_pipe,
        text_scp,
        text_plda,
        short_plda,
        plda_dimension,
        mean_dimension,
        transform_shape,
        nan_mean,
        negative_psi,
        singular_plda,
        zero_transform,
        *(
            pytest.param(missing_file(f"x/{name}"), id=f"no {name}")
            for name in ("xvector.scp", "segments", "utt2spk", "spk2utt")
        ),
        pytest.param(missing_file("model/mean.vec"), id="no mean"),
        pytest.param(missing_file("model/transform.mat"), id="no transform"),
        bad_segments,
        disagreement,
        smaller_vectors,
    ],
)
def test_a_bad_shared_file_stops_everything(folder, diarize, found, hurt):
    message = hurt(folder)
    status, errors, _ = diarize()
    assert status == 2
    assert message in errors
    assert len(errors.splitlines()) <= 2
    assert message in found()
    assert not (folder / "out").exists()
    assert not (folder / "x" / "pwned").exists()


def test_an_archive_of_rubbish(folder, diarize, found):
    (folder / "x" / "xvector.ark").write_text("rubbish\n" * 100_000)
    status, errors, _ = diarize()
    assert status == 2
    assert "the scp belongs to another archive" in errors
    assert "no recording could be done; nothing is written" in errors
    assert "the scp belongs to another archive" in found()
    assert not (folder / "out").exists()
