"""Whether the confidence of turns is worth its name.

Only time with one speaker in the reference and one in the hypothesis is judged, within
what is scored: a turn is right there if its speaker is mapped to the one who speaks, as
for `ssahc.scoring.der`. Missed speech and false alarms say nothing about who speaks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ssahc.core.types import FloatArray, RttmObject, Turn
from ssahc.scoring.der import list_states, score_in_regions
from ssahc.scoring.regions import ScoringOptions, Spans, find_regions

NUM_BINS = 10
# Share of the time that is looked at first.
_WORST = 0.1


class Bin(NamedTuple):
    """Seconds with a confidence from `low` to `high`, its mean, and the share right."""

    low: float
    high: float
    seconds: float
    confidence: float
    right: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """Stretches of one confidence: how long they are, and for how long they are right.

    Attributes
    ----------
    confidence, seconds, right : (M,) arrays
        The latter two in seconds.
    """

    confidence: FloatArray
    seconds: FloatArray
    right: FloatArray

    @property
    def accuracy(self) -> float:
        """Share of the time in which the speaker is right; NaN without any."""
        return _ratio(self.right.sum(), self.seconds.sum())

    @property
    def mean_confidence(self) -> float:
        """Mean confidence over the time; NaN without any."""
        return _ratio(float(self.confidence @ self.seconds), self.seconds.sum())

    @property
    def error(self) -> float:
        """Expected calibration error, over 10 bins weighted by time; NaN without any.

        Source: Guo et al. (ICML 2017), Eq. 3.
        """
        gaps = [abs(one.confidence - one.right) * one.seconds for one in self.bins()]
        return _ratio(sum(gaps), self.seconds.sum())

    @property
    def worst_holds(self) -> float:
        """Share of the wrong time in the least certain tenth; NaN if nothing is wrong.

        Of stretches with the same confidence, each gives the same share.
        """
        levels, place = np.unique(self.confidence, return_inverse=True)
        seconds = np.bincount(place, self.seconds, len(levels))
        wrong = np.bincount(place, self.seconds - self.right, len(levels))
        before = np.cumsum(seconds) - seconds
        room = np.maximum(_WORST * seconds.sum() - before, 0)
        taken = np.minimum(room / np.where(seconds > 0, seconds, 1), 1)
        return _ratio(taken @ wrong, wrong.sum())

    def bins(self) -> list[Bin]:
        """Return the 10 bins that hold any time, the least certain first."""
        numbers = np.minimum((self.confidence * NUM_BINS).astype(int), NUM_BINS - 1)
        found = []
        for number in range(NUM_BINS):
            inside = numbers == number
            seconds = float(self.seconds[inside].sum())
            if seconds > 0:
                mean = float(self.confidence[inside] @ self.seconds[inside]) / seconds
                share = float(self.right[inside].sum()) / seconds
                low, high = number / NUM_BINS, (number + 1) / NUM_BINS
                found.append(Bin(low, high, seconds, mean, share))
        return found


def calibrate(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    options: ScoringOptions = ScoringOptions(),
    *,
    uem: Spans | None = None,
    objects: Sequence[RttmObject] = (),
) -> Calibration:
    """Judge the confidence of the turns of one recording.

    Parameters are those of `ssahc.scoring.der.score_recording`. Turns without a
    confidence are left out, but take part in the mapping of speakers.
    """
    regions = find_regions(reference, options, uem=uem, objects=objects)
    _, mapping = score_in_regions(reference, hypothesis, regions)
    rated = [turn for turn in hypothesis if turn.confidence is not None]
    seconds, right = np.zeros(len(rated)), np.zeros(len(rated))
    # Each turn is a speaker of its own, so that states tell them apart.
    each = [replace(turn, speaker=str(place)) for place, turn in enumerate(rated)]
    for start, end, state in list_states(reference, each, regions.scored):
        if len(state.reference) == len(state.hypothesis) == 1:
            (speaker,), (place,) = state.reference, map(int, state.hypothesis)
            seconds[place] += end - start
            is_right = mapping.get(rated[place].speaker) == speaker
            right[place] += (end - start) * is_right
    confidence = np.array([turn.confidence for turn in rated], np.float64)
    return Calibration(confidence, seconds, right)


def pool_calibrations(calibrations: Iterable[Calibration]) -> Calibration:
    """Put calibrations together, as of one long recording."""
    each = list(calibrations)
    if not each:
        return Calibration(*(np.zeros(0) for _ in range(3)))
    return Calibration(
        np.concatenate([one.confidence for one in each]),
        np.concatenate([one.seconds for one in each]),
        np.concatenate([one.right for one in each]),
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
