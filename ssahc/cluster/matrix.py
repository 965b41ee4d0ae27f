"""The matrix that is clustered."""

import numpy as np

from ssahc.affinity import Affinity
from ssahc.errors import DataError
from ssahc.types import LARGEST_AFFINITY, Float32Array, FloatArray

# Of a matrix in float64 and in float32, and its symmetric copy in the making.
BYTES_A_PAIR = 20


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


def all_pairs(affinity: Affinity, max_bytes: float) -> Float32Array:
    """Return the (N, N) matrix of affinities.

    Parameters
    ----------
    affinity : Affinity
    max_bytes : float
        What work on the matrix may take.

    Raises
    ------
    DataError
        If it takes more.
    """
    check_memory(len(affinity), max_bytes)
    return affinity.dense()


def check_memory(count: int, max_bytes: float) -> None:
    """Refuse a matrix of all pairs that is too large to be worked on.

    Parameters
    ----------
    count : int
        Windows or clusters.
    max_bytes : float

    Raises
    ------
    DataError
    """
    needed = BYTES_A_PAIR * count**2
    if needed > max_bytes:
        raise DataError(
            f"the matrix of all pairs of {count} windows or clusters takes "
            f"{needed / 2**20:,.1f} MiB, and --max-memory allows "
            f"{max_bytes / 2**20:,.1f}; allow more, or do without what needs it: "
            "scores from or to files, spectral clustering, --lambda, Kaldi's further "
            "options"
        )
