"""Second speakers, where chunks of the audio have found two at once.

Windows have one speaker each. They are clustered with less confusion than the local
speakers of chunks are, and get second speakers where chunks have found overlap, as in
VBx and Kaldi (``local/make_rttm.py`` of its overlap-aware recipes). The number of
speakers who speak at a time, agreed on by all chunks, decides how many there are, as in
Bredin: pyannote.audio 2.1 speaker diarization pipeline (Interspeech 2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from ssahc.core.options import Options
from ssahc.core.turns import list_speakers
from ssahc.core.types import FloatArray, IntArray, Turn
from ssahc.core.validation import Interval
from ssahc.frontend.segmentation.chunks import Segmentation, find_regions
from ssahc.frontend.segmentation.powerset import BoolArray
from ssahc.frontend.vad import RegionOptions, smooth_regions
from ssahc.scoring.regions import unite

# Seconds of speech without overlap that make a local speaker reliable.
_RELIABLE = 1.0
# Share of the chunks with speech that must have a number of speakers.
_AGREED = 0.2


@dataclass(frozen=True)
class SecondSpeakerOptions(Options, group="Audio"):
    """How long second speakers speak at least, and how long they pause.

    Parameters
    ----------
    min_duration_on : float
        Shorter stretches of a second speaker are dropped, in seconds.
    min_duration_off : float
        Shorter gaps in the turns of a speaker are closed, in seconds, before any
        stretches are dropped.
    """

    min_duration_on: Annotated[float, Interval(ge=0, le=3600)] = 0.1
    min_duration_off: Annotated[float, Interval(ge=0, le=3600)] = 0.1


def fewest_speakers(alone: FloatArray) -> int:
    """Return how many speakers a recording has at least.

    It is the largest number of local speakers who speak alone, for long enough to be
    told apart, in one chunk of five of those with speech. A single chunk may take a
    change of one voice for another speaker.

    Parameters
    ----------
    alone : (B, K) array
        Seconds that each local speaker of a chunk speaks alone.
    """
    reliable = (alone >= _RELIABLE).sum(axis=1)
    numbers = np.sort(reliable[reliable > 0])[::-1]
    if len(numbers) == 0:
        return 0
    return int(numbers[int(np.ceil(_AGREED * len(numbers))) - 1])


def add_overlap(
    turns: Sequence[Turn],
    segmentation: Segmentation,
    options: SecondSpeakerOptions = SecondSpeakerOptions(),
) -> list[Turn]:
    """Return turns with second speakers where chunks have found overlap.

    Local speakers are the speakers of the turns with whom they share most time, those
    of one chunk different ones. Where the chunks agree on more speakers than have a
    turn, the most probable others are added; all turns keep their time.
    """
    from scipy.optimize import linear_sum_assignment

    names = list_speakers(turns)
    edges = segmentation.edges
    centres = (edges[1:] + edges[:-1]) / 2
    has_turn = np.zeros((len(centres), len(names)), bool)
    for turn in turns:
        first, last = np.searchsorted(centres, [turn.start, turn.end])
        has_turn[first:last, names.index(turn.speaker)] = True
    missing = segmentation.counts - has_turn.sum(axis=1)
    # Beyond the turns is what was not taken for speech.
    missing[~has_turn.any(axis=1)] = 0
    # Of hours of audio with many speakers, all frames would take gigabytes.
    lacking = np.flatnonzero(missing > 0)
    activity = np.zeros((len(lacking), len(names)))
    for begin, chunk in zip(
        segmentation.first.tolist(), segmentation.probabilities, strict=True
    ):
        inside = slice(begin, begin + len(chunk))
        probabilities = chunk.astype(np.float64)
        shared = probabilities.T @ has_turn[inside]
        local, known = linear_sum_assignment(shared, maximize=True)
        rows = slice(*np.searchsorted(lacking, [begin, begin + len(chunk)]))
        activity[rows, known] += probabilities[lacking[rows] - begin][:, local]
    activity[has_turn[lacking]] = 0
    added = np.zeros_like(has_turn)
    added[lacking] = _most_active(activity, missing[lacking])
    gaps = RegionOptions(
        min_silence=options.min_duration_off, min_speech=0, speech_padding=0
    )
    durations = replace(gaps, min_speech=options.min_duration_on)
    together: list[Turn] = []
    for number, name in enumerate(names):
        spans = [(turn.start, turn.end) for turn in turns if turn.speaker == name]
        regions = find_regions(added[:, number], edges)
        regions = smooth_regions(regions, edges[-1], durations)
        united = np.array(unite([*spans, *map(tuple, regions.tolist())]))
        # Where a turn ends within a frame, it goes on with the next one.
        regions = smooth_regions(united, np.inf, gaps)
        together += [Turn(start, end, name) for start, end in regions.tolist()]
    return sorted(together)


def _most_active(activity: FloatArray, counts: IntArray) -> BoolArray:
    """Return which speakers (F, S) are the `counts` (F,) most active, if at all."""
    order = np.argsort(-activity, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return (ranks < counts[:, None]) & (activity > 0)
