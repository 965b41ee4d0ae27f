"""Affinities between the windows of a recording.

An affinity is a similarity: larger means more likely the same speaker. All that ssahc
computes have the form ``A[i, j] = z_i . z_j + b_i + b_j + c``, so that the average
affinity of two clusters follows from the clusters' sums, and a weighted sum of two
affinities has the same form again. Only scores that are read from a file are a matrix
from the start.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import LARGEST_AFFINITY, Float32Array, FloatArray

# Entries that are computed at once where all of them are looked at.
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
        """Return the (N, K) sums of affinities to the windows of K clusters.

        Parameters
        ----------
        member : (N, K) array
            One-hot clusters.
        """

    @abstractmethod
    def diagonal(self) -> FloatArray:
        """Return the (N,) affinities of windows with themselves."""

    @abstractmethod
    def rescaled(self, scale: float, shift: float = 0.0) -> Self:
        """Return ``scale * A + shift``; the scale is not negative."""

    @abstractmethod
    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation over pairs of different windows."""

    @abstractmethod
    def largest(self) -> float:
        """Return the largest absolute value over pairs of different windows."""


@dataclass(frozen=True, eq=False)
class FactoredAffinity(Affinity):
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
        """Return the (N, N) matrix in float32."""
        return self._rows(slice(None)).astype(np.float32)

    def sums_to(self, member: FloatArray) -> FloatArray:
        """Return the (N, K) sums of affinities to clusters, from their sums."""
        sums = self.features @ (self.features.T @ member)
        sums += (self.bias + self.constant)[:, None] * member.sum(axis=0)
        sums += self.bias @ member
        return np.asarray(sums)

    def diagonal(self) -> FloatArray:
        """Return the (N,) affinities of windows with themselves."""
        squares = (self.features**2).sum(axis=1)
        return np.asarray(squares + 2 * self.bias + self.constant)

    def rescaled(self, scale: float, shift: float = 0.0) -> "FactoredAffinity":
        """Return ``scale * A + shift``; the scale is not negative."""
        return FactoredAffinity(
            np.sqrt(scale) * self.features,
            scale * self.bias,
            scale * self.constant + shift,
        )

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation over pairs, from sums in O(N d^2)."""
        pairs = len(self) * (len(self) - 1)
        if pairs == 0:
            return 0.0, 0.0
        # Around their centre terms are as small as the spread of their sums, so that
        # little cancels.
        centered = self.centered()
        mean = centered._sums()[0] / pairs
        squares = centered.rescaled(1.0, -mean)._sums()[1]
        return mean, float(np.sqrt(max(squares, 0.0) / pairs))

    def largest(self) -> float:
        """Return the largest absolute value over pairs, a block of rows at a time."""
        count, largest = len(self), 0.0
        step = _BLOCK // count + 1
        for begin in range(0, count, step):
            rows = np.arange(begin, min(begin + step, count))
            block = np.abs(self._rows(slice(begin, begin + step)))
            block[rows - begin, rows] = 0.0
            largest = max(largest, float(block.max()))
        return largest

    def centered(self) -> "FactoredAffinity":
        """Return the same affinities, features and bias without their means."""
        middle = self.features.mean(axis=0)
        features = self.features - middle
        bias = self.bias + features @ middle
        constant = self.constant + middle @ middle + 2 * bias.mean()
        return FactoredAffinity(features, bias - bias.mean(), float(constant))

    def _rows(self, rows: slice) -> FloatArray:
        matrix = self.features[rows] @ self.features.T
        matrix += self.bias[rows, None] + self.constant
        matrix += self.bias
        return matrix

    def _sums(self) -> tuple[float, float]:
        """Return the sum and the sum of squares over pairs of different windows."""
        # A = left @ right.T, so that both follow from (d + 2) x (d + 2) products.
        one = np.ones(len(self))
        left = np.column_stack([self.features, self.bias + self.constant, one])
        right = np.column_stack([self.features, one, self.bias])
        diagonal = (left * right).sum(axis=1)
        total = left.sum(axis=0) @ right.sum(axis=0)
        squares = ((left.T @ left) * (right.T @ right)).sum()
        return float(total - diagonal.sum()), float(squares - diagonal @ diagonal)


@dataclass(frozen=True, eq=False)
class ScoreMatrix(Affinity):
    """Scores that were computed elsewhere; the upper triangle gives the statistics.

    Parameters
    ----------
    matrix : (N, N) array

    Raises
    ------
    DataError
        If the matrix is not square or not finite.
    """

    matrix: Float32Array | FloatArray

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[0] != self.matrix.shape[1]:
            raise DataError(
                f"scores must be a square matrix, found shape {self.matrix.shape}"
            )
        if not (np.abs(self.matrix) < LARGEST_AFFINITY).all():
            raise DataError(
                f"scores hold NaN, infinity or a value beyond {LARGEST_AFFINITY:g}; "
                "compute them again"
            )

    def __len__(self) -> int:
        return len(self.matrix)

    def dense(self) -> Float32Array:
        """Return the (N, N) matrix in float32."""
        return self.matrix.astype(np.float32, copy=False)

    def sums_to(self, member: FloatArray) -> FloatArray:
        """Return the (N, K) sums of affinities to clusters."""
        # In float32 if the scores are: a copy in float64 would be as large again.
        sums = self.matrix @ member.astype(self.matrix.dtype)
        return np.asarray(sums, np.float64)

    def diagonal(self) -> FloatArray:
        """Return the (N,) affinities of windows with themselves."""
        return np.asarray(np.diagonal(self.matrix), np.float64)

    def rescaled(self, scale: float, shift: float = 0.0) -> "ScoreMatrix":
        """Return ``scale * A + shift``; the scale is not negative."""
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


def cosine_affinity(vectors: FloatArray) -> FactoredAffinity:
    """Cosine of the angle between rows; a row of zeros has affinity 0 with all.

    Parameters
    ----------
    vectors : (N, d) array
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    return FactoredAffinity(unit, np.zeros(len(vectors)))


def weighted_sum(first: Affinity, second: Affinity, weight: float) -> Affinity:
    """Return ``weight * first + (1 - weight) * second``, entry by entry.

    Parameters
    ----------
    first, second : Affinity
        Of the same N windows.
    weight : float
        0 to 1.

    Returns
    -------
    Affinity
        Factored if both are, else a matrix.

    Raises
    ------
    UsageError
        If the weight is not from 0 to 1.
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
