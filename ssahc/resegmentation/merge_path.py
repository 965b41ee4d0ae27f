"""An answer for every number of speakers, and what speaks for it.

From more clusters than there can be speakers, inference
(`ssahc.resegmentation.vbhmm`) and the merging of speakers take turns, down to a
single one. The evidence of what is found on the way is in nats, and means the same in
every recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from ssahc.clustering.labels import close_gaps
from ssahc.clustering.stopping import Stop
from ssahc.core.types import FloatArray, IntArray
from ssahc.resegmentation.vbhmm import (
    Observations,
    Posterior,
    infer,
    lasting_noise,
    merge_gains,
)

# Iterations after a merge.
_ITERATIONS = 2
# Of more speakers than this, one iteration after a merge is enough, and one in so many
# is merged at a time.
_MANY = 40


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One answer, with so many speakers.

    Attributes
    ----------
    labels : (N,) int array
        0..K-1, all of them there.
    evidence : float
        In nats, up to a constant of the recording.
    inflation : float
        By how much noise that lasts makes the variance of a speaker's mean larger.
    """

    labels: IntArray
    evidence: float = -inf
    inflation: float = 1.0

    @classmethod
    def of(cls, posterior: Posterior) -> "Hypothesis":
        """Return the most likely speaker of every window, without those of none."""
        labels = close_gaps(posterior.labels, len(posterior.priors))
        return cls(labels, posterior.evidence)

    @cached_property
    def num_speakers(self) -> int:
        """K, the number of speakers."""
        return int(self.labels.max()) + 1

    @property
    def responsibilities(self) -> FloatArray:
        """The labels as probabilities (N, K), for inference to go on from."""
        return np.eye(self.num_speakers)[self.labels]

    def weigh(self, threshold: float) -> float:
        """Return the evidence with what a threshold in nats gives each speaker."""
        return self.evidence + threshold * self.num_speakers


# An answer for every number of speakers that was passed, the largest first.
Hypotheses = tuple[Hypothesis, ...]


def count_speakers(path: Hypotheses, stop: Stop) -> int:
    """Return the number of speakers at a stop.

    A threshold is one on the evidence, in nats: the number K is taken that has the
    largest sum of evidence and threshold x K. Bounds hold; beyond the numbers on the
    path, the nearest that there are windows for.

    Parameters
    ----------
    path : Hypotheses
        The largest first, down to one speaker.
    stop : Stop

    Returns
    -------
    int
        A known number as it is, but for no more speakers than windows.
    """
    num_windows = len(path[0].labels)
    if stop.num_speakers is not None:
        return min(stop.num_speakers, num_windows)
    threshold = stop.threshold
    if threshold is None:
        raise AssertionError("a stop has a number of speakers or a threshold")
    most = num_windows if stop.max_speakers is None else stop.max_speakers
    within = [
        answer for answer in path if stop.min_speakers <= answer.num_speakers <= most
    ]
    if not within:
        fewest = min(stop.min_speakers, num_windows)
        return min(max(path[0].num_speakers, fewest), most)
    if abs(threshold) == inf:
        return within[0 if threshold > 0 else -1].num_speakers
    return max(within, key=lambda answer: answer.weigh(threshold)).num_speakers


def merge_to_one(
    observations: Observations, start: Posterior, goals: Sequence[int]
) -> Hypotheses:
    """Merge speakers until one is left; return an answer for the numbers passed.

    Parameters
    ----------
    observations : Observations
    start : Posterior
        Of more speakers than there can be.
    goals : sequence of int
        Numbers of speakers, the largest first, at which the merging of many at once
        halts. Below the last, they are merged one by one.

    Returns
    -------
    Hypotheses
        The largest first, down to one speaker.
    """
    posterior = infer(observations, start.responsibilities, _ITERATIONS, start.priors)
    path: list[Hypothesis] = []
    while True:
        posterior = _without_silent(posterior)
        path.append(Hypothesis.of(posterior))
        left = len(posterior.priors)
        if left == 1:
            return tuple(path)
        goal = next((goal for goal in goals if goal < left), left - 1)
        merges = max(1, min(left // 2, left - goal))
        merged, priors = _merge_best(observations, posterior, merges)
        iterations = _ITERATIONS if left <= _MANY else 1
        posterior = infer(observations, merged, iterations, priors)


def _merge_best(
    observations: Observations, posterior: Posterior, merges: int
) -> tuple[FloatArray, FloatArray]:
    """Merge the best pair, and others that raise the evidence, each speaker once.

    Of many speakers, one in `_MANY` is merged at least.
    """
    gains = merge_gains(observations, posterior)
    responsibilities, priors = (
        posterior.responsibilities.copy(),
        posterior.priors.copy(),
    )
    gone: list[int] = []
    for merge in range(merges):
        low, high = np.unravel_index(gains.argmax(), gains.shape)
        if gains[low, high] <= 0 and merge >= max(1, len(gains) // _MANY):
            break
        responsibilities[:, low] += responsibilities[:, high]
        priors[low] += priors[high]
        gone.append(int(high))
        gains[[low, high]] = gains[:, [low, high]] = -inf
    return np.delete(responsibilities, gone, 1), np.delete(priors, gone)


def _without_silent(posterior: Posterior) -> Posterior:
    """Drop speakers to whom no window is given."""
    speaking = np.bincount(posterior.labels, minlength=len(posterior.priors)) > 0
    if speaking.all():
        return posterior
    responsibilities = posterior.responsibilities[:, speaking]
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    priors = posterior.priors[speaking]
    return Posterior(responsibilities, priors / priors.sum(), posterior.evidence)


def explain_lasting_noise(
    path: Hypotheses, observations: Observations, blocks: IntArray
) -> Hypotheses:
    """Add to the evidence what noise that lasts explains better than speakers.

    Parameters
    ----------
    path : Hypotheses
    observations : Observations
        That the path was found with.
    blocks : (N,) int array
        In which block of time each window is, 0..B-1.

    Returns
    -------
    Hypotheses
        With the same labels, and with their inflation.
    """
    most = max(path, key=lambda answer: answer.evidence)
    # Still more speakers are made of noise that lasts, not of what it leaves: they are
    # given what those with the most evidence are.
    common = lasting_noise(observations, most.labels, blocks)

    def explain(answer: Hypothesis) -> Hypothesis:
        gain, inflation = common
        if answer.num_speakers < most.num_speakers:
            gain, inflation = lasting_noise(observations, answer.labels, blocks)
        return Hypothesis(answer.labels, answer.evidence + gain, inflation)

    return tuple(map(explain, path))
