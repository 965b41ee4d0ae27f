"""Affinities between the windows of a recording.

An affinity is a similarity: larger means more likely the same speaker. All that ssahc
computes have the form ``A[i, j] = z_i . z_j + b_i + b_j + c``, so that the average
affinity of two clusters follows from the clusters' sums, and a weighted sum of two
affinities has the same form again.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.errors import UsageError
from ssahc.types import Float32Array, FloatArray


@dataclass(frozen=True, eq=False)
class Affinity:
    """``A[i, j] = features[i] . features[j] + bias[i] + bias[j] + constant``.

    Parameters
    ----------
    features : (N, d) array
        One row a window.
    bias : (N,) array
        What a window adds to its affinities with all others.
    constant : float
        What is added to every entry.
    """

    features: FloatArray
    bias: FloatArray
    constant: float = 0.0

    def __len__(self) -> int:
        return len(self.features)

    def dense(self) -> Float32Array:
        """Return the (N, N) matrix in float32, the precision Kaldi clusters in."""
        matrix = self.features @ self.features.T
        matrix += self.bias[:, None] + self.constant
        matrix += self.bias
        return matrix.astype(np.float32)


def cosine_affinity(vectors: FloatArray) -> Affinity:
    """Cosine of the angle between rows; a row of zeros has affinity 0 with all.

    Parameters
    ----------
    vectors : (N, d) array
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    return Affinity(unit, np.zeros(len(vectors)))


def weighted_sum(first: Affinity, second: Affinity, weight: float) -> Affinity:
    """Return ``weight * first + (1 - weight) * second``, entry by entry.

    Parameters
    ----------
    first, second : Affinity
        Of the same N windows.
    weight : float
        0 to 1.

    Raises
    ------
    UsageError
        If the weight is not.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"the weight must be between 0 and 1, found {weight:g}")
    rest = 1.0 - weight
    return Affinity(
        np.hstack([np.sqrt(weight) * first.features, np.sqrt(rest) * second.features]),
        weight * first.bias + rest * second.bias,
        weight * first.constant + rest * second.constant,
    )
