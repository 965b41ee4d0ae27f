"""Who speaks when, and how many speakers there are, by the evidence of a VB-HMM.

Clusters are a start. From many of them speakers are merged down to a single one
(`ssahc.resegmentation.merge_path`), and the evidence on this path says how many there
are. With their number settled, two answers compete: what the path has found, and what
inference makes of the clusters of just that number. The one with the higher evidence is
taken, unless fewer speakers are known to be there than the evidence says. Then the PLDA
takes something else for a speaker, such as noise, and the path's answer must also stand
no less apart in the affinities that were clustered.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.clustering.labels import by_appearance
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.silhouette import mean_silhouette
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import UsageError
from ssahc.core.types import FloatArray, IntArray
from ssahc.core.validation import check_fields
from ssahc.resegmentation.merge_path import (
    Hypotheses,
    Hypothesis,
    count_speakers,
    explain_lasting_noise,
    merge_to_one,
)
from ssahc.resegmentation.observations import count_observations, stay_probabilities
from ssahc.resegmentation.vbhmm import Observations, infer, noise_variance

# Iterations at the first clusters, and of what may be the answer.
_ITERATIONS_AT_FIRST, _ITERATIONS_AT_LAST = 3, 10
# The path starts at no fewer clusters, of which many are merged at once down to this
# number, then one by one; where there are as many speakers, it is walked from more.
_FEWEST_FIRST, _ONE_BY_ONE = 40, 15
# So many numbers of speakers are compared with what clusters give.
_COMPARED = 20
# Noise that lasts is looked for in blocks of this length; from this ratio of variances
# on, who speaks is asked again.
_BLOCK_SECONDS, _LASTING = 20.0, 1.3
# What a merge may cost in nats where no threshold is given: so much of what a further
# speaker gains is the choice among many windows.
DEFAULT_THRESHOLD = -1.0
# So much of the variance between speakers is taken to be alike in all directions: the
# PLDA was trained on others.
_ISOTROPIC_SHARE = 0.3
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
class Resegmentation:
    """What the evidence says of one recording, to be cut at any stop.

    Attributes
    ----------
    path : tuple of Hypothesis
        What was found for every number of speakers, the largest first; windows in
        order of time. The evidence is that of the first labels, where labels were found
        anew because noise lasts.
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

    path: Hypotheses
    noise: float
    observations: Observations
    order: IntArray
    history: MergeHistory
    affinity: Affinity

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of speakers at a stop (`count_speakers`)."""
        return count_speakers(self.path, stop)

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
        threshold = DEFAULT_THRESHOLD if stop.threshold is None else stop.threshold
        doubtful = count < self.num_clusters(Stop(threshold=threshold))
        clusters = self.history.cut(Stop(count))
        answer = _refine(clusters[self.order], self.observations, _ITERATIONS_AT_LAST)
        for found in self.path:
            if found.num_speakers == count:
                rival = _refine(found.labels, self.observations, _ITERATIONS_AT_LAST)
                better = rival.evidence > answer.evidence
                if better and not (doubtful and self._is_less_apart(rival, answer)):
                    answer = rival
        labels = np.empty_like(clusters)
        labels[self.order] = by_appearance(answer.labels)
        return labels

    def _is_less_apart(self, first: Hypothesis, second: Hypothesis) -> bool:
        """Whether the first answer's speakers stand less apart in the affinities."""
        if first.num_speakers == 1:
            return False
        in_rows = np.argsort(self.order)
        apart = [
            mean_silhouette(self.affinity, answer.labels[in_rows])
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
        (1 - _ISOTROPIC_SHARE) * psi + _ISOTROPIC_SHARE * psi.mean(),
        options.fa * count_observations(in_time),
        stay_probabilities(in_time, options.loop_seconds),
        options.fb,
    )
    since = in_time[:, 0] - in_time[0, 0]
    blocks = np.unique(since // _BLOCK_SECONDS, return_inverse=True)[1]

    def cluster(count: int) -> IntArray:
        return history.cut(Stop(min(count, len(order))))[order]

    known = stop.num_speakers
    if known is None:
        # What is found must be the same for all thresholds, to be cut at any.
        stop = replace(stop, threshold=DEFAULT_THRESHOLD)
    one_by_one = _ONE_BY_ONE if known else max(_ONE_BY_ONE, 2 * stop.min_speakers)
    while True:
        goals = sorted({one_by_one, max(known or 1, one_by_one)}, reverse=True)
        first = max(_FEWEST_FIRST, isqrt(len(order)), 2 * goals[0])
        start = Hypothesis(cluster(first)).responsibilities
        begun = infer(observations, start, _ITERATIONS_AT_FIRST)
        noise = noise_variance(observations, begun)
        weighed = observations.rescaled(noise)
        path = merge_to_one(weighed, begun, goals)
        path = _compare(path, cluster, weighed)
        path = explain_lasting_noise(path, weighed, blocks)
        count = count_speakers(path, stop)
        if known or count < one_by_one or first >= len(order):
            break
        one_by_one = 2 * count
    inflation = next(a.inflation for a in path if a.num_speakers <= count)
    if inflation >= _LASTING:
        # How many speakers there are is settled; who speaks is asked again.
        noise, weighed = noise * inflation, weighed.rescaled(inflation)
        path = _relabelled(path, merge_to_one(weighed, begun, goals))
    return Resegmentation(path, noise, weighed, order, history, affinity)


def _relabelled(path: Hypotheses, anew: Hypotheses) -> Hypotheses:
    """Return the path with the labels found anew for the same numbers of speakers."""
    labels = {answer.num_speakers: answer.labels for answer in anew}
    return tuple(
        replace(answer, labels=labels.get(answer.num_speakers, answer.labels))
        for answer in path
    )


def _compare(
    path: Hypotheses, cluster: Callable[[int], IntArray], observations: Observations
) -> Hypotheses:
    """Put what inference makes of the clusters where it has more evidence.

    That is asked for about as many speakers as there seem to be, and fewer.
    """
    most = max(path, key=lambda answer: answer.evidence).num_speakers + 1
    compared = []
    for answer in path:
        if max(1, most - _COMPARED) < answer.num_speakers <= most:
            clusters = cluster(answer.num_speakers)
            rival = _refine(clusters, observations, _ITERATIONS_AT_FIRST)
            if rival.evidence > answer.evidence:
                answer = rival
        compared.append(answer)
    return tuple(compared)


def _refine(
    labels: IntArray, observations: Observations, iterations: int
) -> Hypothesis:
    """Return what inference makes of labels; if that loses a speaker, the labels."""
    start = Hypothesis(labels)
    found = Hypothesis.of(infer(observations, start.responsibilities, iterations))
    if found.num_speakers == start.num_speakers:
        return found
    evidence = infer(observations, start.responsibilities, 1).evidence
    return replace(start, evidence=evidence)
