"""Doubtful spots of a diarization, found without a reference."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.core.turns import list_speakers
from ssahc.core.types import FloatArray, IntArray, Turn

# Counts for the speaker at the centre of a window where two speak equally long.
_CENTRE = 1e-6


class Doubt(NamedTuple):
    """A span, in seconds, that is closer to another speaker than to its own."""

    start: float
    end: float
    speaker: str
    other: str


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
    affinity: Affinity, segments: FloatArray, turns: Sequence[Turn]
) -> list[Doubt]:
    """Return the doubtful spots of a recording, the most doubtful first.

    The margin of a window is its average affinity to the other windows of its speaker,
    minus that to the windows of the closest other speaker. Windows with a negative
    margin are doubtful; those in a row make one spot.
    """
    speakers = list_speakers(turns)
    owners = main_speakers(segments, turns) - 1
    member = (owners[:, None] == np.arange(len(speakers))).astype(np.float64)
    sizes = member.sum(axis=0)
    # A speaker of one window has nothing to be compared with.
    rows = np.flatnonzero((owners >= 0) & (member @ sizes > 1))
    if (sizes > 0).sum() < 2 or not len(rows):
        return []
    averages = affinity.sums_to(member)[:, sizes > 0] / sizes[sizes > 0]
    column = (np.cumsum(sizes > 0) - 1)[owners]
    everyone = np.arange(len(owners))
    own = averages[everyone, column] * sizes[owners] - affinity.diagonal()
    own /= np.maximum(sizes[owners] - 1, 1)
    averages[everyone, column] = -np.inf
    margins = own - averages.max(axis=1)
    others = np.flatnonzero(sizes > 0)[averages.argmax(axis=1)]
    spots: list[tuple[float, Doubt]] = []
    rows = rows[margins[rows] < 0]
    for row in rows[np.argsort(segments[rows, 0], kind="stable")]:
        (start, end), margin = segments[row].tolist(), float(margins[row])
        spot = Doubt(start, end, speakers[owners[row]], speakers[others[row]])
        if spots and spots[-1][1].end >= start and spots[-1][1][2:] == spot[2:]:
            before, joined = spots.pop()
            spot = Doubt(joined.start, max(joined.end, end), *spot[2:])
            margin = min(before, margin)
        spots.append((margin, spot))
    return [spot for _, spot in sorted(spots)]
