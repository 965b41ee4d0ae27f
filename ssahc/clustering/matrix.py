"""The matrix that is clustered."""

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.types import LARGEST_AFFINITY, Float32Array, FloatArray


def checked_affinity(affinity: FloatArray | Float32Array) -> Float32Array:
    """Return the matrix in float32, if it is one that can be clustered.

    Raises
    ------
    DataError
        If it is not square, or holds what is not finite or too large to be summed.
    """
    if affinity.ndim != 2 or affinity.shape[0] != affinity.shape[1]:
        raise DataError(
            f"affinities must be a square matrix, found shape {affinity.shape}"
        )
    if not (np.abs(affinity) < LARGEST_AFFINITY).all():
        raise DataError(
            f"affinities hold NaN, infinity or a value beyond {LARGEST_AFFINITY:g}; "
            "compute them again"
        )
    return affinity.astype(np.float32, copy=False)


def symmetric_affinity(affinity: FloatArray | Float32Array) -> Float32Array:
    """Return the upper triangle on both sides of a diagonal of zeros.

    Raises
    ------
    DataError
        As `checked_affinity`.
    """
    upper = np.triu(checked_affinity(affinity), 1)
    return upper + upper.T
