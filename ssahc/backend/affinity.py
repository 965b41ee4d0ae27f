"""Affinities between the windows of a recording.

An affinity is a similarity: larger means more likely the same speaker. All affinities
that ssahc computes have the form ``A[i, j] = z_i . z_j + b_i + b_j + c``
(`FactoredAffinity`). The average affinity of two clusters then follows from sums over
the clusters, and a weighted sum of two affinities has the same form again. Only scores
that are read from a file are stored as a matrix (`ScoreMatrix`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from ssahc.backend.preprocess import unit_rows
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import LARGEST_AFFINITY, BriefRepr, Float32Array, FloatArray

# Number of entries that are computed at once in `FactoredAffinity.largest`.
_BLOCK = 1 << 22


class Affinity(ABC):
    """Similarities of all pairs of the N windows of a recording."""

    @abstractmethod
    def __len__(self) -> int:
        """Return N."""

    @abstractmethod
    def dense(self) -> Float32Array:
        """Return the (N, N) matrix in float32, the precision Kaldi clusters in."""

    @abstractmethod
    def sums_to(self, member: FloatArray) -> FloatArray:
        """Return the sums (N, K) of affinities to the windows of one-hot clusters."""

    @abstractmethod
    def diagonal(self) -> FloatArray:
        """Return the (N,) affinities of windows with themselves."""

    @abstractmethod
    def rescaled(self, scale: float, shift: float = 0.0) -> Self:
        """Return ``scale * A + shift``; the scale must not be negative."""

    @abstractmethod
    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation over pairs of different windows."""

    @abstractmethod
    def largest(self) -> float:
        """Return the largest absolute value over pairs of different windows."""


@dataclass(frozen=True, eq=False, repr=False)
class FactoredAffinity(BriefRepr, Affinity):
    """``A[i, j] = features[i] . features[j] + bias[i] + bias[j] + constant``.

    Features are (N, d), biases (N,).
    """

    features: FloatArray
    bias: FloatArray
    constant: float = 0.0

    def __len__(self) -> int:
        return len(self.features)

    def dense(self) -> Float32Array:
        """Return the (N, N) matrix in float32."""
        return self._rows(slice(None)).astype(np.float32)

    def sums_to(self, member: FloatArray) -> FloatArray:
        """Return the (N, K) sums of affinities, computed from sums of features."""
        sums = self.features @ (self.features.T @ member)
        sums += (self.bias + self.constant)[:, None] * member.sum(axis=0)
        sums += self.bias @ member
        return np.asarray(sums)

    def diagonal(self) -> FloatArray:
        """Return the (N,) affinities of windows with themselves."""
        squares = (self.features**2).sum(axis=1)
        return np.asarray(squares + 2 * self.bias + self.constant)

    def rescaled(self, scale: float, shift: float = 0.0) -> "FactoredAffinity":
        """Return ``scale * A + shift``; the scale must not be negative."""
        return FactoredAffinity(
            np.sqrt(scale) * self.features,
            scale * self.bias,
            scale * self.constant + shift,
        )

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation over pairs, in O(N d^2)."""
        pairs = len(self) * (len(self) - 1)
        if pairs == 0:
            return 0.0, 0.0
        # Centring first avoids cancellation of large terms.
        centered = self.centered()
        mean = centered._sums()[0] / pairs
        squares = centered.rescaled(1.0, -mean)._sums()[1]
        return mean, float(np.sqrt(max(squares, 0.0) / pairs))

    def largest(self) -> float:
        """Return the largest absolute value over pairs, block by block of rows."""
        count, largest = len(self), 0.0
        step = _BLOCK // count + 1
        for begin in range(0, count, step):
            rows = np.arange(begin, min(begin + step, count))
            block = np.abs(self._rows(slice(begin, begin + step)))
            block[rows - begin, rows] = 0.0
            largest = max(largest, float(block.max()))
        return largest

    def centered(self) -> "FactoredAffinity":
        """Return the same affinities with features and bias of zero mean."""
        mean = self.features.mean(axis=0)
        features = self.features - mean
        bias = self.bias + features @ mean
        constant = self.constant + mean @ mean + 2 * bias.mean()
        return FactoredAffinity(features, bias - bias.mean(), float(constant))

    def _rows(self, rows: slice) -> FloatArray:
        matrix = self.features[rows] @ self.features.T
        matrix += self.bias[rows, None] + self.constant
        matrix += self.bias
        return matrix

    def _sums(self) -> tuple[float, float]:
        """Return the sum and the sum of squares over pairs of different windows."""
        # A = left @ right.T, so both sums follow from (d + 2) x (d + 2) matrices.
        one = np.ones(len(self))
        left = np.column_stack([self.features, self.bias + self.constant, one])
        right = np.column_stack([self.features, one, self.bias])
        diagonal = (left * right).sum(axis=1)
        total = left.sum(axis=0) @ right.sum(axis=0)
        squares = ((left.T @ left) * (right.T @ right)).sum()
        return float(total - diagonal.sum()), float(squares - diagonal @ diagonal)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreMatrix(BriefRepr, Affinity):
    """Scores (N, N) that were computed elsewhere; `check_matrix` must accept them.

    Statistics are those of the upper triangle. Raises a DataError unless the matrix is
    square and finite.
    """

    matrix: Float32Array | FloatArray

    def __post_init__(self) -> None:
        check_matrix(self.matrix, "scores")

    def __len__(self) -> int:
        return len(self.matrix)

    def dense(self) -> Float32Array:
        """Return the (N, N) matrix in float32."""
        return self.matrix.astype(np.float32, copy=False)

    def sums_to(self, member: FloatArray) -> FloatArray:
        """Return the (N, K) sums of affinities to clusters."""
        # Stay in float32 if the scores are: a float64 copy would double the memory.
        sums = self.matrix @ member.astype(self.matrix.dtype)
        return np.asarray(sums, np.float64)

    def diagonal(self) -> FloatArray:
        """Return the (N,) affinities of windows with themselves."""
        return np.asarray(np.diagonal(self.matrix), np.float64)

    def rescaled(self, scale: float, shift: float = 0.0) -> "ScoreMatrix":
        """Return ``scale * A + shift``; the scale must not be negative."""
        return ScoreMatrix(scale * self.matrix + shift)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation over pairs of different windows."""
        pairs = self._pairs()
        if len(pairs) == 0:
            return 0.0, 0.0
        return float(pairs.mean()), float(pairs.std())

    def largest(self) -> float:
        """Return the largest absolute value over pairs of different windows."""
        return float(np.abs(self._pairs()).max(initial=0.0))

    def _pairs(self) -> FloatArray:
        return self.matrix[np.triu_indices(len(self), 1)].astype(np.float64)


def check_range(size: float | FloatArray | Float32Array, what: str) -> None:
    """Raise a DataError unless absolute values are finite and not too large to sum."""
    if not np.all(size < LARGEST_AFFINITY):
        raise DataError(
            f"{what} hold NaN, infinity or a value beyond {LARGEST_AFFINITY:g}; "
            "compute them again"
        )


def check_matrix(matrix: FloatArray | Float32Array, what: str = "affinities") -> None:
    """Raise a DataError unless a matrix is square and passes `check_range`."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"{what} must be a square matrix, found shape {matrix.shape}")
    check_range(np.abs(matrix), what)


def symmetrize(matrix: FloatArray | Float32Array) -> Float32Array:
    """Mirror the upper triangle in float32, with 0 on the diagonal.

    Raises a DataError unless the matrix passes `check_matrix`.
    """
    check_matrix(matrix)
    upper = np.triu(matrix.astype(np.float32, copy=False), 1)
    return upper + upper.T


def cosine_affinity(vectors: FloatArray) -> FactoredAffinity:
    """Return the cosines between rows (N, d); those of a zero row are 0."""
    return FactoredAffinity(unit_rows(vectors), np.zeros(len(vectors)))


def weighted_sum(first: Affinity, second: Affinity, weight: float) -> Affinity:
    """Return ``weight * first + (1 - weight) * second``, entry by entry.

    The result is a `FactoredAffinity` if both are, else a `ScoreMatrix`. Raises a
    UsageError for a weight outside 0 to 1.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"the weight must be between 0 and 1, found {weight:g}")
    first, second = first.rescaled(weight), second.rescaled(1.0 - weight)
    if isinstance(first, FactoredAffinity) and isinstance(second, FactoredAffinity):
        return FactoredAffinity(
            np.hstack([first.features, second.features]),
            first.bias + second.bias,
            first.constant + second.constant,
        )
    return ScoreMatrix(first.dense() + second.dense())
