"""A trained embedding network (``metric.ark``) as a Kaldi archive of matrices.

The keys are ``whitening``, ``hidden1.inner`` and ``hidden1.outer`` of each layer in
between, and ``projection``.
"""

from pathlib import Path

import numpy as np

from ssahc.core.errors import FormatError
from ssahc.core.types import LARGEST, EmbeddingNet, FloatArray
from ssahc.io.ark import Array, read_archive, write_entry
from ssahc.io.files import atomic_write

_WHITENING, _PROJECTION = "whitening", "projection"


def read_metric(path: Path) -> EmbeddingNet:
    """Read a network; FormatError if matrices are missing or their shapes disagree."""
    layers: dict[str, FloatArray] = {}
    for key, matrix in read_archive(path, "matrix"):
        if isinstance(matrix, FormatError):
            raise matrix
        if key in layers:
            raise FormatError("duplicate key; train again", path=path, key=key)
        layers[key] = _checked(matrix, path, key)
    depth = max(len(layers) - 2, 0) // 2
    expected = [_WHITENING, *(k for pair in _hidden_keys(depth) for k in pair)]
    if list(layers) != [*expected, _PROJECTION]:
        raise FormatError(
            f"expected the matrices {_WHITENING}, hidden1.inner, hidden1.outer, ... "
            f"and {_PROJECTION}, found {', '.join(layers) or 'none'}; train again",
            path=path,
        )
    dim = len(layers[_WHITENING])
    shapes: dict[str, tuple[tuple[int, int], ...]] = {
        _WHITENING: ((dim, dim), (dim, dim + 1)),
        _PROJECTION: ((len(layers[_PROJECTION]), dim),),
    }
    for inner, outer in _hidden_keys(depth):
        width = len(layers[inner])
        shapes |= {inner: ((width, dim + 1),), outer: ((dim, width),)}
    for key, allowed in shapes.items():
        if layers[key].shape not in allowed:
            raise FormatError(
                f"expected {' or '.join(f'{r} x {c}' for r, c in allowed)}, found "
                f"{' x '.join(map(str, layers[key].shape))}; train again",
                path=path,
                key=key,
            )
    hidden = tuple((layers[i], layers[o]) for i, o in _hidden_keys(depth))
    return EmbeddingNet(layers[_WHITENING], hidden, layers[_PROJECTION])


def write_metric(path: Path, metric: EmbeddingNet) -> None:
    """Write a network as a binary archive in float32."""
    with atomic_write(path, "wb") as file:

        def write(key: str, matrix: FloatArray) -> None:
            write_entry(file, key, matrix.astype(np.float32))

        write(_WHITENING, metric.whitening)
        keys = _hidden_keys(len(metric.hidden))
        for (inner, outer), layer in zip(keys, metric.hidden, strict=True):
            write(inner, layer[0])
            write(outer, layer[1])
        write(_PROJECTION, metric.projection)


def _hidden_keys(depth: int) -> list[tuple[str, str]]:
    numbers = range(1, depth + 1)
    return [(f"hidden{number}.inner", f"hidden{number}.outer") for number in numbers]


def _checked(matrix: Array, path: Path, key: str) -> FloatArray:
    if matrix.size == 0 or not (np.abs(matrix) < LARGEST).all():
        raise FormatError(
            f"is empty, or holds NaN, infinity or a value beyond {LARGEST:g}; train "
            "again",
            path=path,
            key=key,
        )
    return matrix.astype(np.float64)
