"""The directions of a recording that stand out from noise.

Gavish & Donoho, "Optimal shrinkage of singular values", IEEE Transactions on
Information Theory 63 (2017): of a matrix of few directions of signal and noise of one
variance, noise alone has singular values up to an edge that its shape decides; beyond
it, they and their directions are off by a known amount, and one factor for each
direction brings the matrix nearest to the signal.
"""

import numpy as np

from ssahc.backend.preprocess import leading_pca
from ssahc.core.types import FloatArray

# In so many steps the distribution of the noise's energies is summed up.
_STEPS = 1000


def shrunk_directions(vectors: FloatArray) -> FloatArray:
    """Return the directions that stand out from noise, scaled by their share of signal.

    There is nothing to choose: the variance of the noise is read off the median energy.

    Parameters
    ----------
    vectors : (N, D) array
        With noise that is alike in all directions, as in a PLDA's latent space.

    Returns
    -------
    (d, D) array
        One direction a row, of length 0 to 1, the strongest first; no row if none
        stands out. They are meant to be applied without centring, as those of
        `recording_pca`.
    """
    energies, directions = leading_pca(vectors)
    shape = sorted((len(vectors) - 1, vectors.shape[1]))
    energies = energies[: shape[0]]
    # Where most energies are rounding errors, there is no noise to stand out from.
    rounding = np.finfo(float).eps * shape[1] * energies[:1].sum()
    if shape[0] == 0 or np.median(energies) <= rounding:
        return directions[:0]
    ratio = shape[0] / shape[1]
    energies = energies * (_median_noise_energy(ratio) / np.median(energies))
    signal = energies[energies > (1 + np.sqrt(ratio)) ** 2]
    # Rounding can take an energy on the edge below it.
    squares = np.maximum((signal - ratio - 1) ** 2 - 4 * ratio, 0.0)
    return directions[: len(signal)] * (np.sqrt(squares) / signal)[:, None]


def _median_noise_energy(ratio: float) -> float:
    """Return the median of the Marchenko-Pastur distribution of noise of variance 1.

    Parameters
    ----------
    ratio : float
        Of the matrix' smaller to its larger side, above 0 to 1.
    """
    # Energies lie within 1 + ratio +- 2 sqrt(ratio); by an angle, their density has no
    # steep ends. Each step has the density of its middle.
    angles = np.arange(1, 2 * _STEPS + 1) * np.pi / (2 * _STEPS)
    energies = 1 + ratio - 2 * np.sqrt(ratio) * np.cos(angles)
    shares = np.cumsum(np.sin(angles[::2]) ** 2 / energies[::2])
    return float(np.interp(0.5 * shares[-1], shares, energies[1::2]))
