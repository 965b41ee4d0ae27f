"""Which speakers of recordings are people whose voices are known.

Log-likelihood ratios of enrolled people and speakers depend on more than on who they
are: rooms and lines move all ratios of a speaker, and few recordings are like those
that a model was trained on. What they are for different people is therefore learned
from the recordings themselves. Each person is one speaker of a recording at most, and
each speaker one person, so that nearly all pairs are of different people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import FloatArray, IntArray
from ssahc.linking.options import LinkOptions
from ssahc.linking.voices import Voices, log_ratios

BoolArray = NDArray[np.bool_]

# If scores were normal, a speaker who is not enrolled would get a name so often. Real
# ones have longer tails (docs/results/names.md).
_CHANCE = 1e-3
# What the model expects of pairs of different people is worth so many pairs, and as to
# the mean of one speaker or person, so many of theirs.
_PRIOR_PAIRS, _PRIOR_MEAN = 10, 1
_ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class Identities:
    """Who the speakers of recordings are.

    Attributes
    ----------
    people : (M,) int array
        The person that each speaker is, or else is most like.
    is_named : (M,) bool array
        Whether the speaker is taken for that person.
    ratios : (M,) array
        Log-likelihood ratio, in nats, of the two being one person.
    scores : (M,) array
        That ratio, in standard deviations above what it is for different people.
    threshold : float
        Score above which a speaker is taken for a person.
    """

    people: IntArray
    is_named: BoolArray
    ratios: FloatArray
    scores: FloatArray
    threshold: float


class _Calibrated(NamedTuple):
    """Scores (M, E), and the pairs (M, E) that are taken for one person."""

    scores: FloatArray
    is_same: BoolArray


def default_threshold(num_people: int) -> float:
    """Return the score that few speakers have by chance with one of so many people."""
    from scipy.special import ndtri

    return float(-ndtri(_CHANCE / num_people))


def identify_voices(
    speakers: Voices,
    recordings: Sequence[str],
    people: Voices,
    threshold: float | None = None,
) -> Identities:
    """Find out which speakers of recordings are which people.

    Parameters
    ----------
    speakers : Voices
        Of M speakers.
    recordings : sequence of M str
        Where each of them was heard; those of one recording are different people.
    people : Voices
        Of E people, different ones, 1 or more.
    threshold : float, optional
        By default the `default_threshold`.

    Returns
    -------
    Identities
    """
    if threshold is None:
        threshold = default_threshold(len(people))
    ratios, deviations = _compare(speakers, people)
    groups = _group(recordings)
    scores, is_same = _calibrate(deviations, groups, threshold)
    is_named = np.asarray(is_same.any(axis=1))
    best = np.where(is_named, is_same.argmax(axis=1), scores.argmax(axis=1))
    rows = np.arange(len(best))
    return Identities(best, is_named, ratios[rows, best], scores[rows, best], threshold)


def measure_voices(
    latent: FloatArray, num_windows: FloatArray, psi: FloatArray
) -> Voices:
    """Return what means of windows (M, d) tell, as in linking."""
    return Voices.measure(latent, num_windows, psi, LinkOptions().session_variance)


def _group(recordings: Sequence[str]) -> list[IntArray]:
    """Return the rows of each recording."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(recordings):
        rows.setdefault(name, []).append(row)
    return [np.array(group) for group in rows.values()]


def _compare(speakers: Voices, people: Voices) -> tuple[FloatArray, FloatArray]:
    """Return log ratios (M, E), and the same in units of what the model expects.

    Positions of different people have variances a and b and are independent; their
    lengths are fixed. With ``r = psi^2 / (a b)`` in each dimension, the ratio then has
    mean ``-log(1 - r) / 2 - r / (1 - r)`` and variance ``r / (1 - r)^2``, summed.
    """
    ratios = np.empty((len(speakers), len(people)))
    deviations = np.empty_like(ratios)
    variances = speakers.variances()
    for person in range(len(people)):
        one = people[np.array([person])]
        share = speakers.psi**2 / (variances * one.variances())
        mean = (-np.log1p(-share) / 2 - share / (1 - share)).sum(axis=1)
        spread = np.sqrt((share / (1 - share) ** 2).sum(axis=1))
        ratios[:, person] = log_ratios(speakers, one)
        deviations[:, person] = (ratios[:, person] - mean) / np.where(spread, spread, 1)
    return ratios, deviations


def _calibrate(
    deviations: FloatArray, groups: Sequence[IntArray], threshold: float
) -> _Calibrated:
    """Measure what pairs of different people are like, and score all pairs by it.

    Those are all pairs but the best ones of each recording, one to one.
    """
    best = _assign(deviations, groups, -np.inf)
    scores = _standardize(deviations, ~best)
    return _Calibrated(scores, _assign(scores, groups, threshold))


def _assign(
    scores: FloatArray, groups: Sequence[IntArray], threshold: float
) -> BoolArray:
    """Return the pairs (M, E) above a threshold, one to one in each recording.

    Their sum above the threshold is the largest possible.
    """
    from scipy.optimize import linear_sum_assignment

    gains = scores - (scores.min(initial=0) if np.isinf(threshold) else threshold)
    chosen = np.zeros(scores.shape, bool)
    for rows in groups:
        own, people = linear_sum_assignment(np.maximum(gains[rows], 0), maximize=True)
        chosen[rows[own], people] = True
    return chosen & (scores > threshold)


def _standardize(deviations: FloatArray, is_different: BoolArray) -> FloatArray:
    """Score pairs by the mean and variance of those of different people.

    The mean is a sum: one of all pairs, one of each speaker, and one of each person.
    Those of few pairs are drawn towards zero, and are less certain.
    """
    rows, columns = (
        is_different.sum(axis=axis, keepdims=True) + _PRIOR_MEAN for axis in (1, 0)
    )
    total = is_different.sum() + _PRIOR_MEAN
    common, speaker, person = 0.0, np.zeros(rows.shape), np.zeros(columns.shape)

    def rest(mean: FloatArray | float) -> FloatArray:
        return np.where(is_different, deviations - mean, 0.0)

    for _ in range(_ITERATIONS):
        common = rest(speaker + person).sum() / total
        speaker = rest(common + person).sum(axis=1, keepdims=True) / rows
        person = rest(common + speaker).sum(axis=0, keepdims=True) / columns
    mean = common + speaker + person
    squares = (rest(mean) ** 2).sum()
    variance = (_PRIOR_PAIRS + squares) / (_PRIOR_PAIRS + is_different.sum())
    scores: FloatArray = (deviations - mean) / np.sqrt(
        variance * (1 + 1 / rows + 1 / columns)
    )
    return scores
