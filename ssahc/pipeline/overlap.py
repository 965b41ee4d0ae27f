"""Two speakers at once: local speakers of chunks beside windows, or instead of them.

Bredin: pyannote.audio 2.1 speaker diarization pipeline (Interspeech 2023): local
speakers of overlapping chunks are embedded and clustered; the number of speakers who
speak at a time, agreed on by all chunks, decides how many of the most active speakers
have it. Windows with one speaker each are clustered with less confusion; they get
second speakers where chunks have found overlap, as in VBx and Kaldi
(``local/make_rttm.py`` of its overlap-aware recipes).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from ssahc.backend.preprocess import unit_rows
from ssahc.clustering.constrained_linkage import assign_groups, constrained_linkage
from ssahc.clustering.stopping import Stop
from ssahc.core.options import Options
from ssahc.core.turns import list_speakers
from ssahc.core.types import Float32Array, FloatArray, IntArray, Turn
from ssahc.core.validation import Interval
from ssahc.frontend.segmentation.chunks import (
    Segmentation,
    find_regions,
)
from ssahc.frontend.segmentation.local_speakers import LocalSpeakers
from ssahc.frontend.segmentation.powerset import BoolArray
from ssahc.frontend.vad import RegionOptions, smooth_regions
from ssahc.scoring.regions import unite

# Seconds of speech without overlap that make an embedding reliable enough to decide
# which speakers there are.
_RELIABLE = 1.0
# Share of the chunks with speech that must have a number of speakers.
_AGREED = 0.2
# Local speakers that are clustered; of more, some, and the others go to the nearest.
_MOST = 4000
# Least average cosine of local speakers who are the same, for CAM++.
THRESHOLD = 0.4
# Above what any sum of cosines of one chunk may differ by.
_DECIDED = 100.0


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


def fewest_speakers(speakers: LocalSpeakers) -> int:
    """Return how many speakers a recording has at least.

    It is the largest number of local speakers who speak alone, for long enough to be
    told apart, in one chunk of five of those with speech. A single chunk may take a
    change of one voice for another speaker.
    """
    alone = np.bincount(speakers.chunks[speakers.seconds >= _RELIABLE])
    numbers = np.sort(alone[alone > 0])[::-1]
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
        labels = assign_groups(shared, np.zeros(len(shared), np.int64))
        known = labels >= 0
        rows = slice(*np.searchsorted(lacking, [begin, begin + len(chunk)]))
        activity[rows, labels[known]] += probabilities[lacking[rows] - begin][:, known]
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


# ---- without windows ---------------------------------------------------------------


def diarize_chunks(
    segmentation: Segmentation,
    speakers: LocalSpeakers,
    embeddings: Float32Array,
    stop: Stop,
    *,
    exclusive: bool = False,
) -> list[Turn]:
    """Return the turns of a recording, from its chunks.

    Parameters
    ----------
    segmentation : Segmentation
    speakers : LocalSpeakers
        Of the chunks; see `ssahc.frontend.segmentation.local_speakers`.
    embeddings : (N, D) array
        Of the local speakers.
    stop : Stop
        Speakers, or the least average cosine of local speakers who are the same.
    exclusive : bool
        Give each time to one speaker, the most active.
    """
    labels = cluster_local_speakers(speakers, embeddings, stop)
    return reconstruct_turns(segmentation, speakers, labels, exclusive=exclusive)


def cluster_local_speakers(
    speakers: LocalSpeakers, embeddings: Float32Array, stop: Stop
) -> IntArray:
    """Return the speaker (N,) of each local speaker; -1 for none.

    Those who speak alone for long enough are clustered by their average cosine, those
    of one chunk never together. The others go to the nearest of these clusters, those
    of one chunk to different ones.
    """
    if len(speakers) == 0:
        return np.zeros(0, np.int64)
    vectors = unit_rows(embeddings.astype(np.float64))
    reliable = np.flatnonzero(speakers.seconds >= _RELIABLE)
    if len(reliable) == 0:
        reliable = np.arange(len(speakers))
    reliable = reliable[:: -(-len(reliable) // _MOST)]
    chosen = vectors[reliable]
    different = speakers.cannot_link()[np.ix_(reliable, reliable)]
    found = constrained_linkage(chosen @ chosen.T, different, stop)
    centroids = unit_rows(np.eye(found.max() + 1)[found].T @ chosen)
    cosines = vectors @ centroids.T
    # Those that were clustered keep their cluster.
    cosines[reliable, found] += _DECIDED
    labels = assign_groups(cosines, speakers.chunks)
    labels[reliable] = found
    return labels


def reconstruct_turns(
    segmentation: Segmentation,
    speakers: LocalSpeakers,
    labels: IntArray,
    *,
    exclusive: bool = False,
) -> list[Turn]:
    """Return turns of speakers "1", "2", ..., in order of time.

    In each frame, as many speakers are active as the chunks agree on, the most probable
    ones.
    """
    if (labels < 0).all():
        return []
    activity = _activity(segmentation, speakers, labels)
    counts = segmentation.counts
    if exclusive:
        counts = np.minimum(counts, 1)
    active = _most_active(activity, counts)
    return sorted(
        Turn(start, end, str(speaker + 1))
        for speaker, frames in enumerate(active.T)
        for start, end in find_regions(frames, segmentation.edges).tolist()
    )


def _activity(
    segmentation: Segmentation, speakers: LocalSpeakers, labels: IntArray
) -> FloatArray:
    """Return how active speakers (F, S) are in each frame, summed over chunks."""
    activity = np.zeros((len(segmentation.counts), labels.max() + 1))
    frames = segmentation.frames()
    for chunk, index, label in zip(
        speakers.chunks, speakers.indices, labels, strict=True
    ):
        if label >= 0:
            activity[frames[chunk], label] += segmentation.probabilities[
                chunk, :, index
            ]
    return activity


def _most_active(activity: FloatArray, counts: IntArray) -> BoolArray:
    """Return which speakers (F, S) are the `counts` (F,) most active, if at all."""
    order = np.argsort(-activity, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return (ranks < counts[:, None]) & (activity > 0)
