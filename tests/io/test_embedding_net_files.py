"""Files of a trained metric and checkpoints: what is broken in them is said."""

import numpy as np
import pytest

from ssahc.backend.embedding_net import weights_of
from ssahc.core.errors import FormatError
from ssahc.core.types import EmbeddingNet
from ssahc.io.ark import write_entry
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.io.embedding_net import read_metric, write_metric


def archive(*keyed):
    def write(path):
        with path.open("wb") as file:
            for key, matrix in keyed:
                write_entry(file, key, np.asarray(matrix, np.float32))

    return write


WHITENING, PROJECTION = ("whitening", np.eye(4)), ("projection", np.eye(2, 4))
INNER, OUTER = ("hidden1.inner", np.ones((3, 5))), ("hidden1.outer", np.ones((4, 3)))
MISSPELT = "expected the matrices whitening, hidden1.inner, hidden1.outer, ... and"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "found none; train again"),
        (
            lambda path: path.write_bytes(b"\xff\x00" * 2500),
            "is this a Kaldi archive, and all of it?",
        ),
        (
            lambda path: path.write_bytes(b"whitening " + b"\xff\x00" * 2500),
            "key 'whitening': expected a Kaldi matrix",
        ),
        (archive(WHITENING), f"{MISSPELT} projection, found whitening; train again"),
        (archive(PROJECTION, WHITENING), "found projection, whitening"),
        (
            archive(WHITENING, ("scaling", np.eye(4)), PROJECTION),
            "found whitening, sca",
        ),
        (archive(WHITENING, INNER, PROJECTION), "found whitening, hidden1.inner, proj"),
        (archive(WHITENING, OUTER, INNER, PROJECTION), "found whitening, hidden1.out"),
        (archive(WHITENING, WHITENING, PROJECTION), "stands there twice"),
        (archive(("whitening", np.ones(4)), PROJECTION), "expected a matrix"),
        (
            archive(("whitening", np.eye(4, 6)), PROJECTION),
            "expected 4 x 4 or 4 x 5, fo",
        ),
        (
            archive(WHITENING, ("projection", np.eye(2, 3))),
            "expected 2 x 4, found 2 x 3",
        ),
        (
            archive(WHITENING, ("hidden1.inner", np.ones((3, 4))), OUTER, PROJECTION),
            "key 'hidden1.inner': expected 3 x 5, found 3 x 4",
        ),
        (
            archive(WHITENING, INNER, ("hidden1.outer", np.ones((3, 4))), PROJECTION),
            "key 'hidden1.outer': expected 4 x 3, found 3 x 4",
        ),
        (archive(("whitening", np.full((4, 4), np.nan)), PROJECTION), "or holds NaN"),
        (archive(WHITENING, ("projection", np.full((2, 4), 1e31))), "beyond 1e+30"),
        (archive(WHITENING, ("projection", np.zeros((0, 0)))), "is empty, or holds"),
    ],
)
def test_a_broken_metric_is_named(tmp_path, write, message):
    path = tmp_path / "metric.ark"
    write(path)
    with pytest.raises(FormatError) as error:
        read_metric(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_truncated_metric_is_named_wherever_it_ends(tmp_path):
    path = tmp_path / "metric.ark"
    layers = EmbeddingNet(
        np.eye(3, 4), ((np.ones((2, 4)), np.ones((3, 2))),), np.eye(3)
    )
    write_metric(path, layers)
    for ours, theirs in zip(weights_of(read_metric(path)), weights_of(layers)):
        np.testing.assert_array_equal(ours, theirs)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError, match=r"metric\.ark"):
            read_metric(path)


def test_a_damaged_checkpoint_is_refused_wherever_it_is_damaged(tmp_path):
    path = tmp_path / "checkpoint.npz"
    arrays = {"layer0": np.eye(3, dtype=np.float32), "step0": np.float32(3)}
    write_checkpoint(path, arrays, "text")
    found, record = read_checkpoint(path)
    assert record == "text"
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    whole = path.read_bytes()
    for end in range(0, len(whole), 11):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError, match="is broken, or no checkpoint of ssahc"):
            read_checkpoint(path)
    refused = 0
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except FormatError:
            refused += 1
    # Times and attributes of the files in a zip are of no account.
    assert refused > 0.7 * len(whole) / 5
    np.save(path.with_suffix(".npy"), np.eye(3))
    for other, message in ((".npy", "no checkpoint of ssahc"), (".no", "no such file")):
        with pytest.raises(FormatError, match=message):
            read_checkpoint(path.with_suffix(other))
