"""A candidate labelling for every number of speakers, with its evidence.

From more clusters than there can be speakers, VB-HMM inference
(`ssahc.resegmentation.vbhmm`) and merging of speakers alternate down to one speaker.
The evidence (ELBO, in nats) of the candidates on this path is comparable within a
recording, so that a threshold on it decides the number of speakers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from ssahc.clustering.labels import close_gaps
from ssahc.clustering.stopping import Stop
from ssahc.core.types import FloatArray, IntArray
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.vbhmm import Posterior, infer, merge_gains

# Iterations of inference after each merge.
_ITERATIONS = 2
# Drift of speakers (`ssahc.resegmentation.counting`) with which it is decided what is
# merged next, unless they drift less. Without it, pieces of a speaker who talks much
# outweigh what tells two others apart (docs/results).
LEAST_DRIFT = 0.04
# With more speakers than this, one iteration is enough, and at least one speaker in
# _MANY is merged at a time.
_MANY = 40


@dataclass(frozen=True, eq=False)
class Candidate:
    """A labelling (N,) of the windows, 0..K-1, and its evidence in nats.

    `inflation` is the variance inflation of speakers' means by noise that lasts
    (`lasting_noise`).
    """

    labels: IntArray
    evidence: float = -inf
    inflation: float = 1.0

    @classmethod
    def of(cls, posterior: Posterior) -> "Candidate":
        """Return the most likely speaker of each window; drop speakers without any."""
        labels = close_gaps(posterior.labels, len(posterior.priors))
        return cls(labels, posterior.evidence)

    @cached_property
    def num_speakers(self) -> int:
        """K, the number of speakers."""
        return int(self.labels.max()) + 1

    @property
    def responsibilities(self) -> FloatArray:
        """The labels as (N, K) one-hot rows, to start inference from."""
        return np.eye(self.num_speakers)[self.labels]


# One candidate for each number of speakers on the path, the largest number first.
MergePath = tuple[Candidate, ...]


def count_speakers(path: MergePath, stop: Stop) -> int:
    """Return the number of speakers at a stop, at most the number of windows.

    This is the K within the bounds with the largest evidence + K * threshold, in nats.
    """
    num_windows = len(path[0].labels)
    if stop.num_speakers is not None:
        return min(stop.num_speakers, num_windows)
    threshold = stop.threshold
    if threshold is None:
        raise AssertionError("a stop has a number of speakers or a threshold")
    most = num_windows if stop.max_speakers is None else stop.max_speakers
    within = [c for c in path if stop.min_speakers <= c.num_speakers <= most]
    if not within:
        fewest = min(stop.min_speakers, num_windows)
        return min(max(path[0].num_speakers, fewest), most)
    if abs(threshold) == inf:
        return within[0 if threshold > 0 else -1].num_speakers
    best = max(within, key=lambda c: c.evidence + threshold * c.num_speakers)
    return best.num_speakers


def merge_to_one(
    observations: Observations, start: Posterior, goals: Sequence[int], drift: float
) -> MergePath:
    """Merge speakers, who drift, until one is left, from more than there can be.

    Many speakers are merged at once, but each of the decreasing numbers in `goals` gets
    a candidate; below the last one, speakers are merged one by one.
    """
    posterior = infer(observations, start.responsibilities, _ITERATIONS, start.priors)
    path: list[Candidate] = []
    while True:
        posterior = _without_silent(posterior)
        path.append(Candidate.of(posterior))
        left = len(posterior.priors)
        if left == 1:
            return tuple(path)
        goal = next((goal for goal in goals if goal < left), left - 1)
        merges = max(1, min(left // 2, left - goal))
        # The unmerged responsibilities are not kept during inference.
        posterior = _merge_best(observations, posterior, merges, drift)
        iterations = _ITERATIONS if left <= _MANY else 1
        posterior = infer(
            observations, posterior.responsibilities, iterations, posterior.priors
        )


def _merge_best(
    observations: Observations, posterior: Posterior, merges: int, drift: float
) -> Posterior:
    """Merge up to `merges` disjoint pairs of speakers, in order of their gain.

    Pairs that lower the evidence are merged only for the first one in `_MANY` speakers.
    """
    gains = merge_gains(observations, posterior, min(drift, LEAST_DRIFT))
    pairs: list[tuple[np.intp, np.intp]] = []
    for merge in range(merges):
        low, high = np.unravel_index(gains.argmax(), gains.shape)
        if gains[low, high] <= 0 and merge >= max(1, len(gains) // _MANY):
            break
        pairs.append((low, high))
        gains[[low, high]] = gains[:, [low, high]] = -inf
    lows, highs = np.array(pairs).T
    left = np.delete(np.arange(len(gains)), highs)
    places = np.searchsorted(left, lows)
    responsibilities, priors = (
        posterior.responsibilities[:, left],
        posterior.priors[left],
    )
    responsibilities[:, places] += posterior.responsibilities[:, highs]
    priors[places] += posterior.priors[highs]
    return Posterior(responsibilities, priors, posterior.evidence)


def _without_silent(posterior: Posterior) -> Posterior:
    """Drop speakers that are the most likely one of no window."""
    speaking = np.bincount(posterior.labels, minlength=len(posterior.priors)) > 0
    if speaking.all():
        return posterior
    responsibilities = posterior.responsibilities[:, speaking]
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    priors = posterior.priors[speaking]
    return Posterior(responsibilities, priors / priors.sum(), posterior.evidence)
