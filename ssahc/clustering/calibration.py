"""A threshold on affinities that is found in the recording itself."""

import numpy as np

from ssahc.backend.affinity import Affinity, FactoredAffinity
from ssahc.clustering.ahc import has_factored_linkage
from ssahc.core.types import LARGEST, FloatArray

_ITERATIONS = 20
# Longer recordings are calibrated on this many of their windows, evenly spaced.
_MOST_WINDOWS = 1000
# Variances below this share of the largest square are rounding noise.
_NO_SPREAD = 1e-12


def calibrate_threshold(affinity: Affinity) -> float:
    """Return the affinity at which "same" and "different" are equally likely.

    Two Gaussians with one variance are fitted to all affinities of a recording (those
    of windows with themselves included, as in VBx) by 20 iterations of EM; the
    threshold is where their weighted densities cross.
    """
    scores, weights = _pairs(affinity)
    total = weights.sum()
    mean, square = weights @ scores / total, weights @ scores**2 / total
    variance = square - mean**2
    smallest = _NO_SPREAD * np.abs(scores).max() ** 2
    if variance <= smallest:
        return float(mean)
    low, high = mean - np.sqrt(variance), mean + np.sqrt(variance)
    share, crossing = 0.5, mean
    for _ in range(_ITERATIONS):
        # Log odds of the upper Gaussian are linear in the score.
        slope = (high - low) / variance
        odds = slope * (crossing - scores)
        upper = weights / (1 + np.exp(np.minimum(odds, 500.0)))
        share = upper.sum() / total
        if not 0 < share < 1:
            break
        high = upper @ scores / upper.sum()
        low = (mean - share * high) / (1 - share)
        variance = square - share * high**2 - (1 - share) * low**2
        if variance <= smallest or high <= low:
            return float((low + high) / 2)
        crossing = (low + high) / 2 + variance / (high - low) * np.log(
            (1 - share) / share
        )
    return float(np.clip(crossing, -LARGEST, LARGEST))


def _pairs(affinity: Affinity) -> tuple[FloatArray, FloatArray]:
    """Return affinities of pairs of windows, and how often each is in the matrix."""
    if has_factored_linkage(affinity):
        rows = np.linspace(0, len(affinity) - 1, _MOST_WINDOWS).astype(int)
        affinity = FactoredAffinity(
            affinity.features[rows], affinity.bias[rows], affinity.constant
        )
    first, second = np.triu_indices(len(affinity))
    scores = affinity.dense()[first, second].astype(np.float64)
    return scores, np.where(first == second, 1.0, 2.0)
