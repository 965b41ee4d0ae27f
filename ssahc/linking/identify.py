"""Which speakers of recordings are people whose voices are known.

Log-likelihood ratios of enrolled people and speakers depend on more than on who they
are. All speakers of a recording were heard in one room or over one line, and enrolled
people often by one microphone: what each of these groups has in common is estimated
and taken out first. How much the ratios of different people still vary is then learned
from the recordings themselves. Each person is one speaker of a recording at most, and
each speaker one person, so that nearly all pairs are of different people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import FloatArray, IntArray
from ssahc.linking.options import LinkOptions
from ssahc.linking.voices import Voices, log_ratios

BoolArray = NDArray[np.bool_]

# So often, a speaker who is not enrolled gets a name if scores of different people
# follow Student's t with so many degrees of freedom: some pairs of people sound alike
# more often than normal scores would (docs/results/names.md, also for what follows).
_CHANCE, _TAIL = 2e-3, 15
# Variance of deviations of different people before any is seen, around 0, and how many
# pairs that is worth. The model expects 1; extractors were measured at 2 to 7.
_PRIOR_VARIANCE, _PRIOR_PAIRS = 4.0, 10


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


@dataclass(frozen=True, eq=False)
class PairScores:
    """How alike M speakers and E people are.

    Attributes
    ----------
    ratios : (M, E) array
        Log-likelihood ratios, in nats, of the two being one person.
    scores : (M, E) array
        The same in standard deviations above what they are for different people.
    """

    ratios: FloatArray
    scores: FloatArray


def default_threshold(num_people: int) -> float:
    """Return the score that few speakers have by chance with one of so many people."""
    from scipy.special import stdtrit

    return float(-stdtrit(_TAIL, _CHANCE / num_people))


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
    found = score_voices(speakers, recordings, people)
    is_same = _assign(found.scores, _group(recordings), threshold)
    is_named = np.asarray(is_same.any(axis=1))
    best = np.where(is_named, is_same.argmax(axis=1), found.scores.argmax(axis=1))
    pairs = np.arange(len(best)), best
    return Identities(
        best, is_named, found.ratios[pairs], found.scores[pairs], threshold
    )


def score_voices(
    speakers: Voices, recordings: Sequence[str], people: Voices
) -> PairScores:
    """Score all pairs of speakers and people, as `identify_voices` does.

    Different people are all pairs but the best ones of each recording, one to one.
    """
    groups = _group(recordings)
    session_variance = LinkOptions().session_variance
    rooms = np.unique(recordings, return_inverse=True)[1]
    ratios, deviations = _compare(
        speakers.without_shifts(rooms, session_variance),
        people.without_shifts(np.zeros(len(people), np.int64), session_variance),
    )
    different = deviations[~_assign(deviations, groups, -np.inf)]
    count = _PRIOR_PAIRS + len(different)
    mean = different.sum() / count
    squares = ((different - mean) ** 2).sum()
    variance = (_PRIOR_PAIRS * _PRIOR_VARIANCE + squares) / count
    return PairScores(ratios, (deviations - mean) / np.sqrt(variance))


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
