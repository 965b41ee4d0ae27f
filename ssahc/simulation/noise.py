"""Noise of simulated x-vectors, and what changes slowly in them."""

from math import inf

import numpy as np

from ssahc.core.types import FloatArray
from ssahc.simulation.options import SimulateOptions
from ssahc.simulation.turns import WINDOW

# Log-normal spread of the noise variances over dimensions, drawn for each recording.
_NOISE_SPREAD = 0.35
# Number of directions along which the noise of a recording is stronger, and by what
# share of its variance.
_NOISE_DIRECTIONS, _NOISE_DIRECTION_SHARE = 3, 2 / 3
# Correlation of the noise between windows that overlap by half.
_NOISE_CORRELATION = 0.45


def draw_noise(
    segments: FloatArray, options: SimulateOptions, generator: np.random.Generator
) -> FloatArray:
    """Draw the noise (N, dim) of the windows (N, 2) of one recording.

    Its covariance differs from recording to recording. Windows that share speech are
    correlated, and short windows have more noise.
    """
    dim, dof = options.latent_dim, options.noise_dof
    slow_share, slow_seconds = options.slow_noise, options.slow_seconds
    # A child generator, so that corpora that differ in their noise have the same turns.
    child = generator.spawn(1)[0]
    count = len(segments)
    # Overlapping windows share the noise of the half they have in common.
    shared = generator.standard_normal((count + 1, dim))
    new_stretch = np.flatnonzero(segments[1:, 0] >= segments[:-1, 1]) + 1
    left, right = shared[:-1].copy(), shared[1:]
    left[new_stretch] = generator.standard_normal((len(new_stretch), dim))
    noise = np.sqrt(_NOISE_CORRELATION) * (left + right)
    noise += np.sqrt(1 - 2 * _NOISE_CORRELATION) * generator.standard_normal(
        (count, dim)
    )
    noise *= np.sqrt(1 - slow_share)
    noise += np.sqrt(slow_share) * draw_process(segments, dim, slow_seconds, child)
    directions = generator.standard_normal((_NOISE_DIRECTIONS, dim)) / np.sqrt(dim)
    along = noise @ directions.T
    noise *= np.sqrt(options.noise) * np.exp(
        0.5 * _NOISE_SPREAD * generator.standard_normal(dim)
    )
    noise += np.sqrt(options.noise * _NOISE_DIRECTION_SHARE) * along @ directions
    length = np.diff(segments, axis=1)
    noise *= np.sqrt(np.minimum(WINDOW / length, 4.0))
    if dof < inf:
        # A scale mixture of Gaussians is Student's t; (dof - 2) keeps the variance.
        chi_square = child.chisquare(dof, (count, 1))
        noise *= np.sqrt((dof - 2) / chi_square)
    return noise


def draw_process(
    segments: FloatArray, dim: int, seconds: float, generator: np.random.Generator
) -> FloatArray:
    """Draw an Ornstein-Uhlenbeck process of unit variance at windows (N, 2).

    Its correlation falls to 1/e in `seconds`; returns (N, dim).
    """
    slow = generator.standard_normal((len(segments), dim))
    gaps = np.diff(segments.mean(axis=1))
    with np.errstate(over="ignore"):
        correlations = np.exp(-gaps / seconds)
    for row, correlation in enumerate(correlations, start=1):
        slow[row] *= np.sqrt(1 - correlation**2)
        slow[row] += correlation * slow[row - 1]
    return slow
