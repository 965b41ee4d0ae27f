"""Files of embedding networks and checkpoints of their training."""

import numpy as np
import pytest

from ssahc.backend.embedding_net import weights_of
from ssahc.core.errors import FormatError
from ssahc.core.types import EmbeddingNet
from ssahc.io.ark import write_entry
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.io.embedding_net import read_metric, write_metric

WHITENING, PROJECTION = ("whitening", np.eye(4)), ("projection", np.eye(2, 4))
INNER, OUTER = ("hidden1.inner", np.ones((3, 5))), ("hidden1.outer", np.ones((4, 3)))


def test_malformed_network_is_refused(tmp_path):
    path = tmp_path / "metric.ark"
    turned = ("hidden1.outer", np.ones((3, 4)))
    for keyed, message in (
        ([], "found none; train again"),
        ([PROJECTION, WHITENING], "found projection, whitening"),
        ([WHITENING, INNER, PROJECTION], "found whitening, hidden1.inner, projection"),
        ([WHITENING, OUTER, INNER, PROJECTION], "found whitening, hidden1.outer, hidd"),
        ([WHITENING, WHITENING, PROJECTION], "key 'whitening': duplicate key"),
        ([("whitening", np.ones(4)), PROJECTION], "expected a matrix"),
        ([("whitening", np.eye(6, 4)), PROJECTION], "expected 6 x 6, found 6 x 4"),
        ([WHITENING, ("projection", np.eye(2, 3))], "expected 2 x 4, found 2 x 3"),
        ([WHITENING, INNER, turned, PROJECTION], "outer': expected 4 x 3, found 3 x 4"),
        ([("whitening", np.full((4, 4), np.nan)), PROJECTION], "or holds NaN"),
        ([WHITENING, ("projection", np.zeros((0, 0)))], "is empty, or holds"),
    ):
        with path.open("wb") as file:
            for key, matrix in keyed:
                write_entry(file, key, np.asarray(matrix, np.float32))
        with pytest.raises(FormatError) as error:
            read_metric(path)
        assert str(error.value).startswith(str(path))
        assert message in str(error.value)


def test_network_survives_a_file(tmp_path):
    path = tmp_path / "metric.ark"
    layers = ((np.ones((2, 4)), np.ones((3, 2))),)
    net = EmbeddingNet(np.eye(3, 4), layers, np.eye(3))
    write_metric(path, net)
    for ours, theirs in zip(weights_of(read_metric(path)), weights_of(net)):
        np.testing.assert_array_equal(ours, theirs)


def test_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    arrays = {"layer0": np.eye(3, dtype=np.float32), "step0": np.float32(3)}
    write_checkpoint(path, arrays, "text")
    found, record = read_checkpoint(path)
    assert record == "text"
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    whole = path.read_bytes()
    for end in range(0, len(whole), 31):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError, match="is broken, or no checkpoint of ssahc"):
            read_checkpoint(path)
    np.save(path.with_suffix(".npy"), np.eye(3))
    for other, message in ((".npy", "no checkpoint of ssahc"), (".no", "no such file")):
        with pytest.raises(FormatError, match=message):
            read_checkpoint(path.with_suffix(other))
