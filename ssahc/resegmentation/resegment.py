"""Resegmentation: refinement of speaker labels by the evidence of a VB-HMM.

`resegment` computes candidates for all numbers of speakers from x-vectors, times of
windows and AHC merges; `Resegmentation.cut` returns the labels at a stop:

1. Windows become `Observations`; AHC clusters, more than there can be speakers, start
   inference. On no more of them than there are independent windows, it also measures
   the noise.
2. Merging down to one speaker gives the path of candidates (`merge_to_one`). Refined
   AHC clusters of the same number replace candidates with less evidence.
3. The evidence, corrected for noise that lasts, decides the number of speakers; what
   differs by no more than one speaker drifts counts once
   (`ssahc.resegmentation.counting`).
4. For that number, the refined candidate of the path and the refined AHC clusters
   compete, and the one with more evidence is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import isqrt

import numpy as np

from ssahc.clustering.labels import by_appearance
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.constraints import CannotLink
from ssahc.core.types import BriefRepr, FloatArray, IntArray
from ssahc.resegmentation.counting import (
    count_steady_speakers,
    number_posterior,
    score_numbers,
)
from ssahc.resegmentation.merge_path import (
    Candidate,
    MergePath,
    count_speakers,
    merge_to_one,
)
from ssahc.resegmentation.noise import add_lasting_noise, noise_variance
from ssahc.resegmentation.observations import (
    Observations,
    observation_weights,
    stay_probabilities,
)
from ssahc.resegmentation.options import DEFAULT_THRESHOLD, ResegmentationOptions
from ssahc.resegmentation.vbhmm import Posterior, infer

# Iterations of inference on initial clusters, and on final labels.
_ITERATIONS_AT_FIRST, _ITERATIONS_AT_LAST = 3, 10
# The path starts with at least _FEWEST_FIRST clusters. Many speakers are merged at once
# down to _ONE_BY_ONE, then one by one; if as many are found, a longer path is computed.
_FEWEST_FIRST, _ONE_BY_ONE = 40, 15
# Numbers of speakers for which the path is compared with refined AHC clusters.
_COMPARED = 20
# Length of the blocks of lasting noise, and the variance inflation from which on labels
# are computed anew.
_BLOCK_SECONDS, _LASTING = 20.0, 1.3
# Share of the between-speaker variance that is made equal in all directions, since the
# PLDA was trained on other speakers.
_ISOTROPIC_SHARE = 0.3


@dataclass(frozen=True, eq=False, repr=False)
class Resegmentation(BriefRepr):
    """Candidates for all numbers of speakers of one recording, to be cut at any stop.

    `path` has one candidate for each number of speakers, the largest first; it is
    merged from `start`, and one by one from the number `one_by_one` on. `noise` is the
    variance of the windows around their speakers' means, 1 in the model; the weights of
    `observations` are for this noise, and `drift` is that of the options. Path and
    observations are in order of time, into which `order` (N,) sorts the windows;
    `history` is in that of the recording. `start` returns the posterior anew, since it
    takes much memory, and few recordings need it twice.
    """

    path: MergePath
    noise: float
    observations: Observations
    order: IntArray
    history: MergeHistory
    start: Callable[[], Posterior] = field(repr=False)
    one_by_one: int = field(repr=False)
    drift: float = 0.0

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of speakers at a stop (`count_steady_speakers`)."""
        return count_steady_speakers(self.path, stop, self.observations, self.drift)

    def speaker_posterior(self, stop: Stop) -> dict[int, float]:
        """Return the probability of each number of speakers at a stop."""
        return number_posterior(
            score_numbers(self.path, stop, self.observations, self.drift)
        )

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels (N,) at a stop, 0..K-1 in order of appearance in time.

        K is a known number of speakers exactly. The labels depend on K alone.
        """
        count = self.num_clusters(stop)
        path, observations = self._for_lasting_noise(count)
        clusters = self.history.cut(Stop(count))
        best = _refine(clusters[self.order], observations, _ITERATIONS_AT_LAST)
        for candidate in path:
            if candidate.num_speakers == count:
                rival = _refine(candidate.labels, observations, _ITERATIONS_AT_LAST)
                best = max(best, rival, key=lambda candidate: candidate.evidence)
        labels = np.empty_like(clusters)
        labels[self.order] = by_appearance(best.labels)
        return labels

    def _for_lasting_noise(self, count: int) -> tuple[MergePath, Observations]:
        """Return path and observations, computed anew if there is noise that lasts."""
        inflation = next(c.inflation for c in self.path if c.num_speakers <= count)
        if inflation < _LASTING:
            return self.path, self.observations
        observations = self.observations.rescaled(inflation)
        anew = merge_to_one(observations, self.start(), (self.one_by_one,), self.drift)
        return _relabel(self.path, anew), observations


def resegment(
    latent: FloatArray,
    psi: FloatArray,
    segments: FloatArray,
    history: MergeHistory,
    stop: Stop,
    options: ResegmentationOptions = ResegmentationOptions(),
    *,
    cannot_link: CannotLink | None = None,
) -> Resegmentation:
    """Compute candidates and their evidence for all numbers of speakers.

    X-vectors (N, D) are in the latent space of a PLDA, with within-speaker covariance I
    and between-speaker variances psi (D,); segments (N, 2) are in seconds; the history
    has all merges of the AHC; `cannot_link` has windows that are different speakers,
    which inference avoids to join. The result is to be cut at this stop, whose known
    number or bounds determine how long the path must be; if it is a threshold, at any
    other threshold with the same bounds.
    """
    order = np.lexsort((segments[:, 1], segments[:, 0]))
    in_time = segments[order]
    observations = replace(
        make_observations(latent[order], psi, in_time, options),
        different=None if cannot_link is None else cannot_link.reordered(order).pairs,
    )
    elapsed = in_time[:, 0] - in_time[0, 0]
    blocks = np.unique(elapsed // _BLOCK_SECONDS, return_inverse=True)[1]

    def cluster(count: int) -> IntArray:
        return history.cut(Stop(min(count, len(order))))[order]

    def begin(count: int) -> Posterior:
        clusters = Candidate(cluster(count))
        return infer(observations, clusters.responsibilities, _ITERATIONS_AT_FIRST)

    def compute_path(first: int, one_by_one: int) -> tuple[float, MergePath]:
        start = begin(first)
        independent = max(1, round(observations.weights.sum()))
        measured = start if first <= independent else begin(independent)
        noise = noise_variance(observations, measured)
        del measured
        rescaled = observations.rescaled(noise)
        path = merge_to_one(rescaled, start, (one_by_one,), drift)
        del start
        path = _compare_with_clusters(path, cluster, rescaled)
        return noise, add_lasting_noise(path, rescaled, blocks)

    drift = options.drift or 0.0
    known = stop.num_speakers
    if known is None:
        # The path must be the same for all thresholds, to be cut at any of them.
        stop = replace(stop, threshold=DEFAULT_THRESHOLD)
    # Twice what there may be, however that is known.
    one_by_one = _ONE_BY_ONE
    if known is None:
        one_by_one = max(one_by_one, 2 * stop.min_speakers)
    elif known >= one_by_one:
        one_by_one = 2 * known
    while True:
        first = max(_FEWEST_FIRST, isqrt(len(order)), 2 * one_by_one)
        noise, path = compute_path(first, one_by_one)
        count = count_speakers(path, stop)
        if known or count < one_by_one or first >= len(order):
            break
        one_by_one = 2 * count
    return Resegmentation(
        path,
        noise,
        observations.rescaled(noise),
        order,
        history,
        partial(begin, first),
        one_by_one,
        drift,
    )


def make_observations(
    latent: FloatArray,
    psi: FloatArray,
    segments: FloatArray,
    options: ResegmentationOptions = ResegmentationOptions(),
) -> Observations:
    """Return windows in order of time as the VB-HMM sees them (see `resegment`)."""
    return Observations(
        latent,
        (1 - _ISOTROPIC_SHARE) * psi + _ISOTROPIC_SHARE * psi.mean(),
        options.fa * observation_weights(segments),
        stay_probabilities(segments, options.loop_seconds),
        options.fb,
    )


def _compare_with_clusters(
    path: MergePath, cluster: Callable[[int], IntArray], observations: Observations
) -> MergePath:
    """Replace candidates by refined AHC clusters where these have more evidence.

    Only for up to one speaker more than the evidence says, and not for far fewer.
    """
    most = max(path, key=lambda candidate: candidate.evidence).num_speakers + 1
    compared = []
    for candidate in path:
        if max(1, most - _COMPARED) < candidate.num_speakers <= most:
            clusters = cluster(candidate.num_speakers)
            rival = _refine(clusters, observations, _ITERATIONS_AT_FIRST)
            if rival.evidence > candidate.evidence:
                candidate = rival
        compared.append(candidate)
    return tuple(compared)


def _relabel(path: MergePath, anew: MergePath) -> MergePath:
    """Return the path with the labels of another one, where the numbers agree."""
    labels = {candidate.num_speakers: candidate.labels for candidate in anew}
    return tuple(
        replace(candidate, labels=labels.get(candidate.num_speakers, candidate.labels))
        for candidate in path
    )


def _refine(labels: IntArray, observations: Observations, iterations: int) -> Candidate:
    """Refine labels by inference, or keep them if that would lose a speaker."""
    start = Candidate(labels)
    found = Candidate.of(infer(observations, start.responsibilities, iterations))
    if found.num_speakers == start.num_speakers:
        return found
    evidence = infer(observations, start.responsibilities, 1).evidence
    return replace(start, evidence=evidence)
