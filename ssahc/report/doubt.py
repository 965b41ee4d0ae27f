"""Doubtful spots of a diarization, found without a reference."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssahc.core.turns import list_speakers, split_windows
from ssahc.core.types import FloatArray, IntArray, Turn

# Counts for the speaker at the centre of a window where two speak equally long.
_CENTRE = 1e-6
# Less likely speakers are doubtful.
_SURE = 0.7


class Doubt(NamedTuple):
    """A span, in seconds, whose speaker is unsure, and how likely that one is."""

    start: float
    end: float
    speaker: str
    confidence: float

    @property
    def percent(self) -> float:
        """How likely the speaker is, in percent."""
        return 100 * self.confidence


def main_speakers(segments: FloatArray, turns: Sequence[Turn]) -> IntArray:
    """Return the main speaker of each window (N, 2), counted from 1; 0 for silence."""
    column = {name: place for place, name in enumerate(list_speakers(turns), start=1)}
    order = np.argsort(segments[:, 0], kind="stable")
    starts, ends = segments[order].T
    centres = segments[order].mean(axis=1)
    # A turn meets windows in a row: the first that ends after its start, up to the last
    # that starts before its end.
    times = np.array([(turn.start, turn.end) for turn in turns]).reshape(-1, 2)
    firsts = np.searchsorted(np.maximum.accumulate(ends), times[:, 0], side="right")
    lasts = np.searchsorted(starts, times[:, 1], side="left")
    # Column 0 is silence: argmax takes the first of equal columns.
    seconds = np.zeros((len(segments), 1 + len(column)))
    for turn, first, last in zip(turns, firsts, lasts, strict=True):
        near = slice(first, last)
        shared = np.minimum(ends[near], turn.end)
        shared -= np.maximum(starts[near], turn.start)
        inside = (turn.start <= centres[near]) & (centres[near] < turn.end)
        shared = np.where(shared > 0, shared + _CENTRE * inside, 0)
        seconds[near, column[turn.speaker]] += shared
    main = np.empty(len(segments), np.int64)
    main[order] = seconds.argmax(axis=1)
    return main


def find_doubts(
    confidence: FloatArray, segments: FloatArray, turns: Sequence[Turn]
) -> list[Doubt]:
    """Return the doubtful spots of a recording, the most doubtful first.

    A window is doubtful if its speaker is right with a probability (N,) below 0.7;
    those of a speaker in a row make one spot.
    """
    speakers, owners = list_speakers(turns), main_speakers(segments, turns)
    spots: list[Doubt] = []
    for start, end, window in split_windows(segments):
        sure = float(confidence[window])
        if sure >= _SURE or not owners[window]:
            continue
        spot = Doubt(start, end, speakers[owners[window] - 1], sure)
        if spots and spots[-1].end == start and spots[-1].speaker == spot.speaker:
            spot = _join(spots.pop(), spot)
        spots.append(spot)
    return sorted(spots, key=lambda spot: (spot.confidence, spot.start))


def _join(first: Doubt, second: Doubt) -> Doubt:
    share = (second.end - second.start) / (second.end - first.start)
    mean = first.confidence + share * (second.confidence - first.confidence)
    return Doubt(first.start, second.end, first.speaker, mean)


def mean_over_windows(confidence: FloatArray, segments: FloatArray) -> float:
    """Return the mean confidence of windows, by the seconds that each keeps.

    NaN if there are none.
    """
    pieces = split_windows(segments)
    seconds = np.array([end - start for start, end, _ in pieces])
    values = confidence[[window for *_, window in pieces]]
    return float(seconds @ values / seconds.sum()) if pieces else float("nan")
