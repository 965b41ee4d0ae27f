"""Principal directions of a recording that stand out from noise.

Gavish & Donoho, "Optimal shrinkage of singular values", IEEE Transactions on
Information Theory 63 (2017). In a matrix with few directions of signal plus white
noise, the singular values of noise alone end at an edge that depends only on the shape
of the matrix. Singular values beyond the edge, and their directions, are biased by a
known amount; scaling each direction by one factor gives the matrix nearest the signal.
"""

import numpy as np

from ssahc.backend.preprocess import leading_pca
from ssahc.core.types import FloatArray

# Steps of the numerical integration of the Marchenko-Pastur density.
_STEPS = 1000


def shrunk_directions(vectors: FloatArray) -> FloatArray:
    """Return the directions (d, D) above the noise, scaled by their share of signal.

    There are no parameters: the variance of the noise, which is the same in all
    directions of the vectors (N, D), follows from the median energy. Rows have lengths
    of 0 to 1, the strongest first. Like those of `recording_pca`, they are applied
    without centring.
    """
    energies, directions = leading_pca(vectors)
    shape = sorted((len(vectors) - 1, vectors.shape[1]))
    energies = energies[: shape[0]]
    # If most energies are rounding errors, there is no noise to stand out from.
    rounding = np.finfo(float).eps * shape[1] * energies[:1].sum()
    if shape[0] == 0 or np.median(energies) <= rounding:
        return directions[:0]
    ratio = shape[0] / shape[1]
    energies = energies * (_median_noise_energy(ratio) / np.median(energies))
    signal = energies[energies > (1 + np.sqrt(ratio)) ** 2]
    # The paper's shrinker for the Frobenius loss. At the edge, rounding can make the
    # difference negative.
    squares = np.maximum((signal - ratio - 1) ** 2 - 4 * ratio, 0.0)
    return directions[: len(signal)] * (np.sqrt(squares) / signal)[:, None]


def _median_noise_energy(ratio: float) -> float:
    """Return the median of the Marchenko-Pastur distribution of unit variance."""
    # The support is 1 + ratio +- 2 sqrt(ratio). In terms of an angle the density has no
    # steep ends; midpoint rule.
    angles = np.arange(1, 2 * _STEPS + 1) * np.pi / (2 * _STEPS)
    energies = 1 + ratio - 2 * np.sqrt(ratio) * np.cos(angles)
    shares = np.cumsum(np.sin(angles[::2]) ** 2 / energies[::2])
    return float(np.interp(0.5 * shares[-1], shares, energies[1::2]))
