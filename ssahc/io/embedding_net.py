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


def read_metric(path: Path) -> EmbeddingNet:
    """Read a network; FormatError if matrices are missing or their shapes disagree."""
    layers: dict[str, FloatArray] = {}
    for key, matrix in read_archive(path, "matrix"):
        if isinstance(matrix, FormatError):
            raise matrix
        if key in layers:
            raise FormatError("duplicate key; train again", path=path, key=key)
        layers[key] = _checked(matrix, path, key)
    keys = _keys(max(len(layers) - 2, 0) // 2)
    if list(layers) != keys:
        raise FormatError(
            f"expected the matrices {keys[0]}, hidden1.inner, hidden1.outer, ... "
            f"and {keys[-1]}, found {', '.join(layers) or 'none'}; train again",
            path=path,
        )
    whitening, *between, projection = layers.values()
    hidden = tuple(zip(between[::2], between[1::2], strict=True))
    dim = len(whitening)
    columns = max(whitening.shape[1], dim)
    allowed = [[(dim, columns)]]
    for inner, _ in hidden:
        allowed += [[(len(inner), dim + 1)], [(dim, len(inner))]]
    allowed.append([(len(projection), dim)])
    for (key, matrix), shapes in zip(layers.items(), allowed, strict=True):
        if matrix.shape not in shapes:
            raise FormatError(
                f"expected {' or '.join(f'{r} x {c}' for r, c in shapes)}, found "
                f"{' x '.join(map(str, matrix.shape))}; train again",
                path=path,
                key=key,
            )
    return EmbeddingNet(whitening, hidden, projection)


def write_metric(path: Path, metric: EmbeddingNet) -> None:
    """Write a network as a binary archive in float32."""
    hidden = [matrix for layer in metric.hidden for matrix in layer]
    matrices = [metric.whitening, *hidden, metric.projection]
    with atomic_write(path, "wb") as file:
        for key, matrix in zip(_keys(len(metric.hidden)), matrices, strict=True):
            write_entry(file, key, matrix.astype(np.float32))


def _keys(depth: int) -> list[str]:
    """Return the keys of a network with so many hidden layers, in order."""
    numbers = range(1, depth + 1)
    hidden = [f"hidden{n}.{part}" for n in numbers for part in ("inner", "outer")]
    return ["whitening", *hidden, "projection"]


def _checked(matrix: Array, path: Path, key: str) -> FloatArray:
    if matrix.size == 0 or not (np.abs(matrix) < LARGEST).all():
        raise FormatError(
            f"is empty, or holds NaN, infinity or a value beyond {LARGEST:g}; train "
            "again",
            path=path,
            key=key,
        )
    return matrix.astype(np.float64)
