"""Second speakers in regions of overlap that are known, for example from a detector.

Each stretch of overlap in a turn goes to the speaker of the nearest other turn as well
(Otterson & Ostendorf, "Efficient use of overlap information in speaker diarization",
ASRU 2007). The second most probable speaker of a VB-HMM (Bullock, Bredin &
Garcia-Perera, "Overlap-aware diarization", ICASSP 2020, and Kaldi's
``diarization/VB_resegmentation.sh``) was wrong more often: windows of 1.5 s tell little
of a second voice (docs/results/audio.md).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ssahc.core.errors import DataError
from ssahc.core.turns import list_speakers
from ssahc.core.types import FloatArray, Turn, as_matrix
from ssahc.scoring.regions import Span, Spans, intersect, unite


def add_second_speakers(turns: Sequence[Turn], regions: Iterable[Span]) -> list[Turn]:
    """Return turns in order, with second speakers where regions are within turns.

    Parameters
    ----------
    turns : sequence of Turn
        They do not overlap.
    regions : iterable of (start, end)
        Where two or more speak, in seconds and in any order. Beyond the turns, and if
        there is only one speaker, nothing is added.
    """
    regions = list(regions)
    if not regions:
        return list(turns)
    names = list_speakers(turns)
    spans = {
        name: unite((turn.start, turn.end) for turn in turns if turn.speaker == name)
        for name in names
    }
    times = {name: np.array(spans[name]) for name in names}
    added: dict[str, list[Span]] = {name: [] for name in names}
    for name in names:
        others = [other for other in names if other != name]
        for stretch in intersect(regions, spans[name]) if others else ():
            # Of several at the same distance the first.
            nearest = min(others, key=lambda other: _gap(stretch, times[other]))
            added[nearest].append(stretch)
    return sorted(
        Turn(start, end, name)
        for name in names
        for start, end in unite([*spans[name], *added[name]])
    )


def _gap(stretch: Span, spans: FloatArray) -> float:
    """Return the seconds between a stretch and the nearest of disjoint spans (M, 2)."""
    start, end = stretch
    after = int(np.searchsorted(spans[:, 0], end))
    gap = np.inf
    if after < len(spans):
        gap = spans[after, 0] - end
    if after > 0:
        gap = min(gap, start - spans[after - 1, 1])
    return float(gap)


def check_regions(regions: ArrayLike) -> Spans:
    """Return regions (M, 2) in seconds; DataError unless 0 <= start <= end."""
    if np.size(regions) == 0:
        return []
    times = as_matrix(regions, "regions of overlap")
    if times.shape[1] != 2:
        raise DataError(
            "regions of overlap need start and end, an array (M, 2), found shape "
            f"{times.shape}"
        )
    starts, ends = times.T
    is_sound = (starts >= 0) & (starts <= ends) & (ends < np.inf)
    if not is_sound.all():
        start, end = times[np.argmin(is_sound)]
        raise DataError(
            "regions of overlap need 0 <= start <= end in seconds, found start "
            f"{start:g} and end {end:g}; is the end a duration?"
        )
    return [(start, end) for start, end in times.tolist()]
