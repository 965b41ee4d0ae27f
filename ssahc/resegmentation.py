"""Who speaks when, and how many speakers there are, by the evidence of a VB-HMM.

Clusters are a start. From more clusters than there can be speakers, inference
(`ssahc.variational`) and the merging of the pair that most raises the evidence take
turns, down to a single speaker. The evidence along this path says how many speakers
there are: it is in nats, and means the same in every recording. With their number
settled, two answers compete: what the path has found, and what inference makes of the
clusters of just that number. The one with the higher evidence is taken, unless there
are known to be fewer speakers than the evidence says. Then the PLDA takes something
else for a speaker, such as noise, and the path's answer must also stand no less apart
in the affinities that were clustered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isqrt
from typing import Literal

import numpy as np

from ssahc.affinity import Affinity
from ssahc.cluster.history import MergeHistory
from ssahc.cluster.silhouette import mean_silhouette
from ssahc.cluster.stop import Stop
from ssahc.errors import UsageError
from ssahc.options import check_fields
from ssahc.timing import count_observations, stay_probabilities
from ssahc.types import FloatArray, IntArray
from ssahc.variational import (
    Observations,
    Posterior,
    infer,
    lasting_noise,
    merge_gains,
    noise_variance,
)

# Iterations at the first clusters, after a merge, and of what is an answer.
_ITERATIONS_AT_FIRST, _ITERATIONS_AFTER_MERGE, _ITERATIONS_AT_LAST = 3, 2, 10
# The path starts at no fewer clusters. Many are merged at once down to this number, then
# one by one; where there are more speakers, it is walked again from more.
_FEWEST_FIRST, _ONE_BY_ONE = 40, 15
# Noise that lasts is looked for in blocks of this length, and taken into account from
# this ratio of variances on, unless after that there is so much again.
_BLOCK_SECONDS, _SLOW = 20.0, 1.3
# What a merge may cost in nats where no threshold is given: so much of what a further
# speaker gains is the choice among many windows.
DEFAULT_THRESHOLD = -2.0
# So much of the variance between speakers is taken to be alike in all directions: the
# PLDA was trained on others.
_ALIKE = 0.1
# Of the options; beyond, floats overflow.
_LARGEST = 1e6


@dataclass(frozen=True)
class ResegmentationOptions:
    """How labels are refined by a VB-HMM, which also decides how many speakers.

    Parameters
    ----------
    resegmentation : {"none", "vb"}, optional
        vb refines the labels by a VB-HMM in the PLDA's space, or that of whitened
        x-vectors. If not given: vb for ssahc and ssahc+plda where the model has a PLDA
        or a whitening transform, else none.
    fa : float
        For how many independent observations a window counts that shares its time with
        no other; one that does counts for less.
    fb : float
        Weight of the prior of the speakers' means (F_B of VBx): more finds fewer
        speakers.
    loop_seconds : float
        The probability that the speaker goes on for t seconds is exp(-t /
        loop_seconds).
    """

    resegmentation: Literal["none", "vb"] | None = None
    fa: float = 1.0
    fb: float = 1.0
    loop_seconds: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("fa", "fb", "loop_seconds"):
            if not 1 / _LARGEST <= getattr(self, name) <= _LARGEST:
                raise UsageError(
                    f"{name.replace('_', '-')} must be between {1 / _LARGEST:g} and "
                    f"{_LARGEST:g}, found {getattr(self, name):g}"
                )


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
    evidence: float
    inflation: float = 1.0

    @property
    def num_speakers(self) -> int:
        """K, the number of speakers."""
        return int(self.labels.max()) + 1

    def weigh(self, threshold: float) -> float:
        """Return the evidence with what a threshold in nats gives each speaker."""
        return self.evidence + threshold * self.num_speakers


# An answer for every number of speakers that was passed, the largest first.
Path = tuple[Hypothesis, ...]


@dataclass(frozen=True, eq=False)
class Resegmentation:
    """What the evidence says of one recording, to be cut at any stop.

    Attributes
    ----------
    path : tuple of Hypothesis
        What was found for every number of speakers, the largest first; windows in
        order of time.
    noise : float
        Variance of the windows around their speakers, where the model says 1.
    observations : Observations
        The windows in order of time, as they count with this noise.
    order : (N,) int array
        The windows in order of time, by their places in the recording.
    history : MergeHistory
        All merges of the windows, as they stand in the recording.
    affinity : Affinity
        What was clustered.
    """

    path: Path
    noise: float
    observations: Observations
    order: IntArray
    history: MergeHistory
    affinity: Affinity

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of speakers at a stop.

        A threshold is one on the evidence, in nats: the number K is taken that has the
        largest sum of evidence and threshold x K. Bounds hold; beyond the numbers on
        the path, the nearest that there are windows for.
        """
        return _count_speakers(self.path, stop, len(self.order))

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels at a stop.

        Parameters
        ----------
        stop : Stop

        Returns
        -------
        (N,) int array
            0..K-1 in order of first appearance in time; with a known number, just so
            many.
        """
        count = self.num_clusters(stop)
        doubtful = count < self.num_clusters(Stop(threshold=DEFAULT_THRESHOLD))
        clusters = self.history.cut(Stop(count))
        answer = self._refine(Hypothesis(clusters[self.order], -inf))
        for hypothesis in self.path:
            if hypothesis.num_speakers == count:
                rival = self._refine(hypothesis)
                better = rival.evidence > answer.evidence
                if better and not (doubtful and self._is_less_apart(rival, answer)):
                    answer = rival
        labels = np.empty_like(clusters)
        labels[self.order] = _by_appearance(answer.labels)
        return labels

    def _refine(self, start: Hypothesis) -> Hypothesis:
        """Return what inference makes of an answer, unless it loses a speaker."""
        found = _hypothesis(
            infer(self.observations, _one_hot(start.labels), _ITERATIONS_AT_LAST)
        )
        return found if found.num_speakers == start.num_speakers else start

    def _is_less_apart(self, first: Hypothesis, second: Hypothesis) -> bool:
        """Whether the first answer's speakers stand less apart in the affinities."""
        if first.num_speakers == 1:
            return False
        in_rows = np.argsort(self.order)
        apart = [
            mean_silhouette(self.affinity.dense(), answer.labels[in_rows])
            for answer in (first, second)
        ]
        return apart[0] < apart[1]


def resegment(
    latent: FloatArray,
    psi: FloatArray,
    segments: FloatArray,
    affinity: Affinity,
    history: MergeHistory,
    stop: Stop,
    options: ResegmentationOptions = ResegmentationOptions(),
) -> Resegmentation:
    """Weigh the evidence for every number of speakers in one recording.

    Parameters
    ----------
    latent : (N, D) array
        X-vectors in the space where a PLDA is diagonal, variance 1 within speakers.
    psi : (D,) array
        Variance between speakers along each dimension.
    segments : (N, 2) array
        Start and end of every window, in seconds.
    affinity : Affinity
        What was clustered.
    history : MergeHistory
        Its merges, from single windows to one cluster.
    stop : Stop
        Known or bounded numbers of speakers, for which the path must be long enough.
    options : ResegmentationOptions

    Returns
    -------
    Resegmentation
        To be cut at this stop; or at any threshold, if the stop is one, with the same
        bounds.
    """
    order = np.lexsort((segments[:, 1], segments[:, 0]))
    in_time = segments[order]
    observations = Observations(
        latent[order],
        (1 - _ALIKE) * psi + _ALIKE * psi.mean(),
        options.fa * count_observations(in_time),
        stay_probabilities(in_time, options.loop_seconds),
        options.fb,
    )
    since = in_time[:, 0] - in_time[0, 0]
    blocks = np.unique(since // _BLOCK_SECONDS, return_inverse=True)[1]
    known = stop.num_speakers
    singly = _ONE_BY_ONE if known else max(_ONE_BY_ONE, 2 * stop.min_speakers)
    while True:
        first = max(_FEWEST_FIRST, isqrt(len(order)), 2 * singly, 2 * (known or 0))
        clusters = history.cut(Stop(min(first, len(order))))[order]
        path, noise, heard = _search(observations, clusters, blocks, stop, singly)
        likely = _count_speakers(path, _usual(stop), len(order))
        if known or likely < singly or first >= len(order):
            return Resegmentation(path, noise, heard, order, history, affinity)
        singly = 2 * likely


def _search(
    observations: Observations,
    clusters: IntArray,
    blocks: IntArray,
    stop: Stop,
    singly: int,
) -> tuple[Path, float, Observations]:
    """Return a path from these clusters, its noise, and how windows count with it."""
    start = infer(observations, _one_hot(clusters), _ITERATIONS_AT_FIRST)
    noise = noise_variance(observations, start)
    observations = observations.rescaled(noise)
    goals = sorted({singly, max(singly, stop.num_speakers or 1)}, reverse=True)
    path = _explain(_walk(observations, start, goals), observations, blocks)
    count = _count_speakers(path, _usual(stop), len(blocks))
    slow = next((a.inflation for a in path if a.num_speakers <= count), 1.0)
    if slow < _SLOW:
        return path, noise, observations
    # How many speakers there are is settled; who speaks is asked again.
    slowed = observations.rescaled(slow)
    again = {answer.num_speakers: answer for answer in _walk(slowed, start, goals)}
    path = tuple(
        replace(answer, labels=again.get(answer.num_speakers, answer).labels)
        for answer in path
    )
    return path, noise * slow, slowed


def _explain(path: Path, observations: Observations, blocks: IntArray) -> Path:
    """Add to the evidence what noise that lasts explains."""
    most = max(path, key=lambda answer: answer.evidence)
    # To more speakers than that, noise that lasts is as likely as to these.
    common = lasting_noise(observations, most.labels, blocks)
    explained = []
    for answer in path:
        gain, inflation = common
        if answer.num_speakers < most.num_speakers:
            gain, inflation = lasting_noise(observations, answer.labels, blocks)
        evidence = answer.evidence + gain
        explained.append(Hypothesis(answer.labels, evidence, inflation))
    return tuple(explained)


def _usual(stop: Stop) -> Stop:
    """Return the stop, at the default threshold if it is one.

    What is found must be the same for all thresholds, to be cut at any.
    """
    if stop.num_speakers is not None:
        return stop
    return replace(stop, threshold=DEFAULT_THRESHOLD)


def _count_speakers(path: Path, stop: Stop, num_windows: int) -> int:
    """Return the number of speakers on a path at a stop."""
    if stop.num_speakers is not None:
        return min(stop.num_speakers, num_windows)
    threshold = stop.threshold
    if threshold is None:
        raise AssertionError("a stop has a number of speakers or a threshold")
    most = num_windows if stop.max_speakers is None else stop.max_speakers
    within = [
        hypothesis
        for hypothesis in path
        if stop.min_speakers <= hypothesis.num_speakers <= most
    ]
    if not within:
        fewest = min(stop.min_speakers, num_windows)
        return min(max(path[0].num_speakers, fewest), most)
    if abs(threshold) == inf:
        return within[0 if threshold > 0 else -1].num_speakers
    return max(within, key=lambda found: found.weigh(threshold)).num_speakers


def _walk(observations: Observations, start: Posterior, goals: Sequence[int]) -> Path:
    """Merge speakers until one is left; return an answer for the numbers passed.

    Up to half of them are merged at once down to one goal after another, the largest
    first; below the last, one by one.
    """
    posterior = infer(
        observations, start.responsibilities, _ITERATIONS_AFTER_MERGE, start.priors
    )
    path: list[Hypothesis] = []
    while True:
        posterior = _without_silent(posterior)
        path.append(_hypothesis(posterior))
        left = len(posterior.priors)
        if left == 1:
            return tuple(path)
        goal = next((goal for goal in goals if goal < left), left - 1)
        merges = max(1, min(left // 2, left - goal))
        merged, priors = _merge_best(observations, posterior, merges)
        posterior = infer(observations, merged, _ITERATIONS_AFTER_MERGE, priors)


def _merge_best(
    observations: Observations, posterior: Posterior, merges: int
) -> tuple[FloatArray, FloatArray]:
    """Merge the best pair, and others that raise the evidence, each speaker once."""
    gains = merge_gains(observations, posterior)
    responsibilities, priors = (
        posterior.responsibilities.copy(),
        posterior.priors.copy(),
    )
    gone: list[int] = []
    for _ in range(merges):
        low, high = np.unravel_index(gains.argmax(), gains.shape)
        if gone and gains[low, high] <= 0:
            break
        responsibilities[:, low] += responsibilities[:, high]
        priors[low] += priors[high]
        gone.append(int(high))
        gains[[low, high]] = gains[:, [low, high]] = -inf
    return np.delete(responsibilities, gone, 1), np.delete(priors, gone)


def _without_silent(posterior: Posterior) -> Posterior:
    """Drop speakers to whom no window is given."""
    speaking = np.unique(posterior.labels)
    if len(speaking) == len(posterior.priors):
        return posterior
    responsibilities = posterior.responsibilities[:, speaking]
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    priors = posterior.priors[speaking]
    return Posterior(responsibilities, priors / priors.sum(), posterior.evidence)


def _hypothesis(posterior: Posterior) -> Hypothesis:
    labels = np.unique(posterior.labels, return_inverse=True)[1]
    return Hypothesis(labels, posterior.evidence)


def _one_hot(labels: IntArray) -> FloatArray:
    return np.eye(labels.max() + 1)[labels]


def _by_appearance(labels: IntArray) -> IntArray:
    """Return labels numbered in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
