"""Readers of Kaldi's objects, models and checkpoints."""

from math import isfinite
from unittest.mock import patch

import numpy as np
import torch
from checks import (
    as_written,
    check_array,
    check_finite,
    check_key,
    check_same,
    require,
    same,
)

from ssahc.backend.embedding_net import weights_of
from ssahc.cli.training import load_checkpoint
from ssahc.core.errors import FormatError
from ssahc.io.ark import (
    ArchiveWriter,
    index_table,
    read_archive,
    read_entries,
    read_single,
    write_single,
)
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.io.embedding_net import read_metric, write_metric
from ssahc.io.model import read_model, read_model_dir, write_model_dir
from ssahc.io.objects import as_double
from ssahc.io.plda import read_plda, write_plda
from ssahc.io.scp import read_scp
from ssahc.learning.checkpoint import TrainingState
from ssahc.learning.embedding_training import EmbeddingEpoch

_RANKS = {"vector": 1, "matrix": 2}


def read_vectors(folder, size):
    """Read an archive of vectors in every way there is."""
    _read_archive(folder, "vector", size)


def read_matrices(folder, size):
    """Read an archive of matrices in every way there is."""
    _read_archive(folder, "matrix", size)


def _read_archive(folder, kind, size):
    path = folder / "x.ark"
    found, fault, lost = {}, None, None
    try:
        for key, value in read_archive(path, kind):
            check_key(key)
            if isinstance(value, FormatError):
                fault = value
            else:
                check_array(value, _RANKS[kind], size)
            found.setdefault(key, value)
    except FormatError as error:
        fault = lost = error
    if found or fault is None:
        entries, rest = index_table(path, kind)
        read = dict(read_entries(entries.values(), kind))
        if rest is not None and rest.key is not None:
            read.setdefault(rest.key, rest)
        require((lost is None) == (rest is None or rest.key is not None), f"{rest}")
        check_same(found, read)
        good = {k: v for k, v in found.items() if not isinstance(v, FormatError)}
        _write_again(folder, kind, good)
    if fault is not None:
        raise fault


def _write_again(folder, kind, found):
    """Check that archive and scp survive a round trip."""
    again = folder / "again"
    again.mkdir()
    with ArchiveWriter(again / "x.ark", again / "x.scp") as writer:
        for key, value in found.items():
            writer.write(key, value)
    check_same(found, dict(read_archive(again / "x.ark", kind)))
    scp = read_scp(again / "x.scp")
    check_same(found, dict(read_entries(scp.values(), kind)))


def read_singles(folder, size):
    """Read a vector, or a matrix; not both may be there."""
    path, found, faults = folder / "x", [], []
    for kind, rank in _RANKS.items():
        try:
            value = read_single(path, kind)
        except FormatError as error:
            faults.append(error)
            continue
        check_array(value, rank, size)
        write_single(folder / "y", value)
        require(same(read_single(folder / "y", kind), value), "binary differs")
        write_single(folder / "y", value, binary=False)
        # Seven digits.
        text = read_single(folder / "y", kind)
        require(text.shape == value.shape, "text of another shape")
        close = np.allclose(text, as_double(value), 1e-6, 0, equal_nan=True)
        require(close, "text differs")
        found.append(kind)
    if not found:
        raise faults[0]
    # Text of one row may be both.
    binary = path.read_bytes().startswith(b"\0B")
    require(len(found) == 1 or not binary, "both a vector and a matrix")


def read_scps(folder, size):
    """Read an scp of vectors, and of matrices, all at once and one by one."""
    scp = folder / "x.scp"
    entries = read_scp(scp, with_rows=True)
    for key in entries:
        check_key(key)
    faults = []
    for kind, rank in _RANKS.items():
        found = dict(read_entries(entries.values(), kind))
        require(len(found) == len(entries), "an entry is lost")
        # One by one, without the short cut for vectors like the one before.
        alone = dict(pair for e in entries.values() for pair in read_entries([e], kind))
        check_same(dict(sorted(found.items())), dict(sorted(alone.items())))
        values = [v for v in found.values() if not isinstance(v, FormatError)]
        for value in values:
            check_array(value, rank, size)
        if len(values) == len(found):
            return
        faults += [v for v in found.values() if isinstance(v, FormatError)]
    raise faults[0]


def read_pldas(folder, size):
    """Read a PLDA."""
    path = folder / "plda"
    plda = read_plda(path)
    dim = len(plda.mean)
    shapes = plda.mean.shape, plda.transform.shape, plda.psi.shape
    require(shapes == ((dim,), (dim, dim), (dim,)), f"shapes {shapes}")
    for part in (plda.mean, plda.transform, plda.psi):
        check_array(part, part.ndim, size)
        check_finite(part)
    require((plda.psi >= 0).all(), "psi is negative")
    write_plda(folder / "again.plda", plda)
    again = read_plda(folder / "again.plda")
    check_same(vars(plda), vars(again))


def read_metrics(folder, size):
    """Read a metric."""
    metric = read_metric(folder / "metric.ark")
    _check_metric(metric, size)
    write_metric(folder / "again.ark", metric)
    again = weights_of(read_metric(folder / "again.ark"))
    for one, other in zip(weights_of(metric), again, strict=True):
        require(np.array_equal(one.astype("f4"), other), "a layer differs")


def _check_metric(metric, size):
    for layer in weights_of(metric):
        check_array(layer, 2, size)
        check_finite(layer)
        require(layer.size, "a layer is empty")


def read_models(folder, size):
    """Read a model folder, of which parts may be missing."""
    model = read_model_dir(folder)
    dim = len(model.mean)
    rows, columns = model.transform.shape
    require(rows <= dim and columns in (dim, dim + 1), "transform's shape")
    require(dim and model.transform.any(), "nothing is left of x-vectors")
    for part, rank in ((model.mean, 1), (model.transform, 2)):
        check_array(part, rank, size)
        check_finite(part)
    require(model.plda is None or len(model.plda.mean) == rows, "the PLDA's dimension")
    if model.metric is not None:
        _check_metric(model.metric, size)
        columns = model.metric.whitening.shape[1]
        require(columns in (dim, dim + 1), "the metric's dimension")
    # What is too small for float32 is written as zero.
    if model.transform.astype("f4").any():
        write_model_dir(folder / "again", model)
        again = read_model_dir(folder / "again")
        require(same(again.transform, as_written(model.transform)), "transform differs")
        read_model(mean=folder / "again" / "mean.vec")


def read_checkpoints(folder, size):
    """Read a checkpoint and restore its state."""
    # Checksums would keep fuzzing from what is inside.
    with patch("zipfile.ZipExtFile._update_crc"):
        path = folder / "checkpoint.npz"
        arrays, record = read_checkpoint(path)
        checkpoint = load_checkpoint(path, EmbeddingEpoch)
    for array in arrays.values():
        check_array(array, array.ndim, size)
    require(len(record) <= size, "a record longer than the file")
    write_checkpoint(folder / "again.npz", arrays, record)
    again, text = read_checkpoint(folder / "again.npz")
    check_same(arrays, again)
    require(text == record, f"record {record!r} became {text!r}")
    for epoch in checkpoint.epochs:
        numbers = [value for value in vars(epoch).values() if value is not None]
        require(all(map(isfinite, numbers)), f"{epoch}")
    state = make_state()
    shapes = {name: array.shape for name, array in state.checkpoint().arrays.items()}
    state.restore(checkpoint)
    kept = state.checkpoint()
    require(kept.epochs == checkpoint.epochs, "epochs")
    for name, array in kept.arrays.items():
        require(array.shape == shapes.get(name, ()), f"shape of {name}")
        require(same(array, checkpoint.arrays[name]), name)
    state.generator.standard_normal()


def make_state():
    """Return what is trained, as small as can be, after one step."""
    from ssahc.learning.embedding_training import EmbeddingEpoch

    layers = [torch.eye(2, requires_grad=True), torch.ones(1, 2, requires_grad=True)]
    parameters = [torch.zeros(1, requires_grad=True)]
    state = TrainingState(layers, parameters, np.random.default_rng(0), lr=0.1)
    state.end_epoch(EmbeddingEpoch(0))
    state.step((layers[1] @ layers[0]).sum() * parameters[0])
    state.end_epoch(EmbeddingEpoch(1, loss=0.5, eer=0.25, min_dcf=1.0))
    return state
