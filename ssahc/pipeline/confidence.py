"""How sure the speaker of each window is.

Two things speak for the speaker of a window:

- its margin: how much closer it is, by average affinity, to the other windows of its
  speaker than to those of any other speaker, in standard deviations of the affinities;
- other solutions: how likely the window keeps its speaker if the recording has another
  number of speakers, or other ones. Solutions are compared as error rates are, by the
  mapping of speakers that agrees best: where a solution splits a speaker in two, the
  smaller part is wrong by it; where it joins two, the one with fewer windows. They are
  the candidates of a resegmentation, each as likely as its number of speakers, and cuts
  of the merges, with nearly as many clusters, which count the same.

A logistic regression on both gives the probability (docs/results/confidence.md says on
which data it was fitted).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import FloatArray, IntArray
from ssahc.pipeline.clustering import Clustering
from ssahc.resegmentation.counting import number_posterior, score_numbers
from ssahc.resegmentation.observations import observation_weights
from ssahc.resegmentation.options import DEFAULT_THRESHOLD
from ssahc.resegmentation.resegment import Resegmentation

# Clusters of the cuts that are compared, beyond those that were found.
_CUTS = (-1, 0, 1, 2)
# Less likely numbers of speakers are left out.
_UNLIKELY = 1e-3
# The largest margin, in either direction; that of a speaker without another to compare.
_LARGEST_MARGIN, _MARGIN_ALONE = 6.0, 2.5
# Probability of solutions at most, so that their log odds are finite.
_MOST_SURE = 0.98
# Log odds of a right speaker: their rise with the margin and with the log odds of
# solutions, and what is added where numbers of speakers have probabilities, where there
# are merges alone, and where there is neither.
_PER_MARGIN, _PER_LOG_ODDS = 0.95, 0.47
_WITH_NUMBERS, _WITH_CUTS, _ALONE = 0.38, -0.6, 0.3


class Evidence(NamedTuple):
    """What speaks for the speakers of windows.

    `margins` (N,) are those of `measure_margins`, `solutions` (N,) the mean log odds
    that other solutions keep the speaker, 0 where there are none; `offset` is added to
    both.
    """

    margins: FloatArray
    solutions: FloatArray
    offset: float


def estimate_confidence(
    segments: FloatArray,
    affinity: Affinity,
    clustering: Clustering,
    stop: Stop,
    posterior: Mapping[int, float],
) -> FloatArray:
    """Return the probability (N,) that the speaker of each window is right.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.
    affinity : Affinity
        Affinities that were clustered.
    clustering : Clustering
        Labels, and what they were cut from.
    stop : Stop
        Where they were cut. One speaker, if that is known, is right for certain.
    posterior : mapping of int to float
        How likely each number of speakers is; empty if that is not known.
    """
    if stop.num_speakers == 1:
        return np.ones(len(segments))
    found = weigh_evidence(segments, affinity, clustering, stop, posterior)
    log_odds = _PER_MARGIN * found.margins + _PER_LOG_ODDS * found.solutions
    return np.asarray(1 / (1 + np.exp(-log_odds - found.offset)))


def weigh_evidence(
    segments: FloatArray,
    affinity: Affinity,
    clustering: Clustering,
    stop: Stop,
    posterior: Mapping[int, float],
) -> Evidence:
    """Return what `estimate_confidence`, with the same arguments, is made of."""
    labels, found = clustering.labels, clustering.resegmentation
    weights = observation_weights(segments)
    log_odds, offset = [], _ALONE
    if clustering.history is not None:
        cuts = _cut_nearby(clustering.history, int(labels.max()) + 1)
        kept = np.mean([keeps_speaker(labels, cut, weights) for cut in cuts], axis=0)
        log_odds.append(_log_odds(kept))
        offset = _WITH_CUTS
    if isinstance(found, Resegmentation):
        kept = _share_of_numbers(found, labels, weights, stop, posterior)
        log_odds.append(_log_odds(kept))
        offset = _WITH_NUMBERS
    margins, none = measure_margins(affinity, labels), np.zeros(len(labels))
    return Evidence(margins, np.mean(log_odds, axis=0) if log_odds else none, offset)


def measure_margins(affinity: Affinity, labels: IntArray) -> FloatArray:
    """Return by how much windows are closer to their speaker than to any other (N,).

    That is the difference of average affinities, to the other windows of the speaker
    and to those of the closest other speaker, in standard deviations of the affinities
    of the recording.
    """
    member = np.eye(labels.max() + 1)[labels]
    if member.shape[1] == 1:
        return np.full(len(labels), _MARGIN_ALONE)
    sizes, windows = member.sum(axis=0), np.arange(len(labels))
    sums = affinity.sums_to(member)
    own = (sums[windows, labels] - affinity.diagonal()) / np.maximum(
        sizes[labels] - 1, 1
    )
    averages = sums / sizes
    averages[windows, labels] = -np.inf
    _, deviation = affinity.moments()
    margins = own - averages.max(axis=1)
    if deviation > 0:
        margins = margins / deviation
    return np.clip(margins, -_LARGEST_MARGIN, _LARGEST_MARGIN)


def keeps_speaker(
    labels: IntArray, solution: IntArray, weights: FloatArray
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which windows (N,) have the right label according to another solution.

    Labels of both are 0, 1, ...; those that are mapped to each other share the most
    windows in all, by weight (N,).
    """
    from scipy.optimize import linear_sum_assignment

    shape = int(labels.max()) + 1, int(solution.max()) + 1
    pairs = np.bincount(labels * shape[1] + solution, weights, shape[0] * shape[1])
    shared = pairs.reshape(shape)
    ours, theirs = linear_sum_assignment(shared, maximize=True)
    counterpart = np.full(len(shared), -1)
    counterpart[ours] = theirs
    return np.asarray(counterpart[labels] == solution)


def _cut_nearby(history: MergeHistory, count: int) -> Iterable[IntArray]:
    """Yield labels of nearly `count` clusters; as many as possible, at the limits."""
    for more in _CUTS:
        clusters = min(max(count + more, 1), history.num_leaves)
        yield history.cut(Stop(clusters))


def _share_of_numbers(
    found: Resegmentation,
    labels: IntArray,
    weights: FloatArray,
    stop: Stop,
    posterior: Mapping[int, float],
) -> FloatArray:
    """Return how likely windows keep their speaker, over numbers of speakers (N,)."""
    if stop.num_speakers is not None:
        # It is not known which voices are mixed up: as if the number were not either.
        free = replace(stop, num_speakers=None, threshold=DEFAULT_THRESHOLD)
        scores = score_numbers(found.path, free, found.observations, found.drift)
        posterior = number_posterior(scores)
    count = int(labels.max()) + 1
    solutions = {count: labels}
    for candidate in found.path:
        number = candidate.num_speakers
        if number != count and posterior.get(number, 0.0) > _UNLIKELY:
            in_place = np.empty_like(labels)
            in_place[found.order] = candidate.labels
            solutions[number] = in_place
    shares = {
        number: max(posterior.get(number, 0.0), _UNLIKELY) for number in solutions
    }
    total = sum(shares.values())
    kept = np.zeros(len(labels))
    for number, solution in solutions.items():
        kept += shares[number] / total * keeps_speaker(labels, solution, weights)
    return kept


def _log_odds(probabilities: FloatArray) -> FloatArray:
    bounded = np.clip(probabilities, 1 - _MOST_SURE, _MOST_SURE)
    return np.asarray(np.log(bounded / (1 - bounded)))
