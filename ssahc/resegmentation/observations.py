"""The windows of a recording as the VB-HMM sees them.

Besides its x-vector, each window has a weight (`observation_weights`) and a probability
that the speaker stays until the next window (`stay_probabilities`). Both are computed
from the times of the windows alone.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ssahc.core.types import BriefRepr, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Upper bound on the probability of staying: a speaker may change between any windows.
_MOST_CERTAIN = 1 - 1e-6
# Nats by which it is less likely that two windows are one speaker's if they are of
# different ones in a chunk of audio (docs/results/audio.md).
_CONFLICT = 1.0
# Lower bound on weights, for windows of no length.
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Observations(BriefRepr):
    """The windows of one recording, in order of time.

    X-vectors `latent` (N, D) are in the latent space of a PLDA, with within-speaker
    covariance I and between-speaker variances `psi` (D,). `weights` (N,) are the
    effective numbers of independent observations, in place of the constant F_A of VBx.
    `stay`, one less, are the probabilities that the speaker stays until the next
    window. `fb` is F_B of VBx, the weight of the prior of the speakers' means. Rows
    `different` (M, 2) are pairs of windows of different speakers, each pair once.
    """

    latent: FloatArray
    psi: FloatArray
    weights: FloatArray
    stay: FloatArray
    fb: float = 1.0
    different: IntArray | None = None

    @cached_property
    def weighted(self) -> FloatArray:
        """The x-vectors (N, D), times their weights."""
        return self.latent * self.weights[:, None]

    def conflicts(self, responsibilities: FloatArray) -> FloatArray | None:
        """Return by how much each window conflicts with each speaker, in nats (N, K).

        That is the expected number of windows of the speaker that it is different from,
        by responsibilities (N, K); None if nothing is known of windows.
        """
        if self._different_from is None:
            return None
        return np.asarray(self._different_from @ responsibilities)

    @cached_property
    def _different_from(self) -> "csr_array | None":
        """By how much windows conflict, in nats: a sparse symmetric matrix (N, N)."""
        if self.different is None:
            return None
        from scipy.sparse import coo_array

        low, high = self.different.T
        rows, columns = np.append(low, high), np.append(high, low)
        shape = (len(self.latent), len(self.latent))
        return coo_array(
            (np.full(len(rows), _CONFLICT), (rows, columns)), shape
        ).tocsr()

    def rescaled(self, noise: float) -> "Observations":
        """Return the windows with weights for another variance of the noise."""
        return replace(self, weights=self.weights / noise)


def observation_weights(segments: FloatArray) -> FloatArray:
    """Return the effective number of independent observations per window (N,).

    On real x-vectors, the noise of two windows correlates by the share of time they
    have in common, and its variance grows as windows get shorter (measured). The time
    that several windows cover is therefore divided evenly among them, and what a window
    gets is measured in median window lengths. Weights are above 0 and at most 1, that
    of a non-overlapping window of at least the median length; all are 1 if the median
    length is 0. Segments (N, 2) are in seconds.
    """
    starts, ends = segments.T
    lengths = ends - starts
    usual = float(np.median(lengths))
    if usual <= 0:
        return np.ones(len(segments))
    edges = np.unique(segments)
    covering = np.searchsorted(np.sort(starts), edges[:-1], "right")
    covering -= np.searchsorted(np.sort(ends), edges[:-1], "right")
    until = np.append(0.0, np.cumsum(np.diff(edges) / np.maximum(covering, 1)))
    own = until[np.searchsorted(edges, ends)] - until[np.searchsorted(edges, starts)]
    # A window longer than the median still counts as one observation at most.
    return np.maximum(own / np.maximum(lengths, usual), _LEAST_WEIGHT)


def stay_probabilities(segments: FloatArray, loop_seconds: float) -> FloatArray:
    """Return the (N - 1,) probabilities that the speaker stays until the next window.

    For windows whose centres are t seconds apart it is ``exp(-t / loop_seconds)``;
    otherwise the next speaker is drawn anew. Segments (N, 2) are in order of time, in
    seconds.
    """
    elapsed = np.maximum(np.diff(segments.mean(axis=1)), 0.0)
    return np.minimum(np.exp(-elapsed / loop_seconds), _MOST_CERTAIN)
