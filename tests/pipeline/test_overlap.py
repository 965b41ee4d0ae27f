"""Second speakers where chunks have found overlap."""

from dataclasses import replace

import numpy as np
import pytest

from ssahc.core.types import Turn
from ssahc.frontend.segmentation.chunks import Segmentation, find_regions
from ssahc.frontend.segmentation.local_speakers import seconds_alone
from ssahc.pipeline.overlap import (
    SecondSpeakerOptions,
    add_overlap,
    fewest_speakers,
)

FRAMES, CHUNK, STEP = 600, 100, 25


@pytest.fixture
def conversation(rng):
    """Who of three speakers is active (F, 3), two at once at most, and chunks of it.

    With each chunk's own order of speakers; the last column of chunks is empty where
    one is silent.
    """
    active = np.zeros((FRAMES, 3), bool)
    for start in range(0, FRAMES, 50):
        active[start : start + 60, (start // 50) % 3] = True
    active[280:300] = False
    first = np.arange(0, FRAMES - CHUNK + 1, STEP)
    orders = np.array([rng.permutation(3) for _ in first])
    chunks = np.stack(
        [active[at : at + CHUNK][:, order] for at, order in zip(first, orders)]
    )
    edges = np.arange(FRAMES + 1) * 0.04
    probabilities = (0.1 + 0.8 * chunks).astype(np.float16)
    counts = active.sum(axis=1)
    return (
        active,
        Segmentation(first, probabilities, chunks, counts, edges),
        orders,
    )


def _turns(active, edges):
    regions = [find_regions(frames, edges).tolist() for frames in active.T]
    return sorted(
        (*span, speaker) for speaker, own in enumerate(regions) for span in own
    )


def test_silence_has_no_turns(conversation):
    _, segmentation, _ = conversation
    silent = replace(
        segmentation,
        active=np.zeros_like(segmentation.active),
        counts=np.zeros_like(segmentation.counts),
    )
    assert fewest_speakers(seconds_alone(silent)) == 0
    turns = [Turn(0.0, 1.0, "a"), Turn(2.0, 3.0, "b")]
    assert add_overlap(turns, silent) == turns


def _first_speakers(active, edges):
    """Return the turns of one speaker at a time."""
    alone = active & (np.cumsum(active, axis=1) == 1)
    return [Turn(start, end, "abc"[who]) for start, end, who in _turns(alone, edges)]


def test_second_speakers_are_added_where_speech_overlaps(conversation):
    active, segmentation, _ = conversation
    names = "abc"
    turns = _first_speakers(active, segmentation.edges)
    found = add_overlap(turns, segmentation)
    assert [(t.start, t.end, names.index(t.speaker)) for t in found] == [
        pytest.approx(span) for span in _turns(active, segmentation.edges)
    ]
    # Nothing is added outside of turns, and nobody who has none.
    found = add_overlap(turns[:1], segmentation)
    assert found == turns[:1]


def test_brief_second_speakers_are_dropped_and_their_short_gaps_closed(conversation):
    active, segmentation, _ = conversation
    turns = _first_speakers(active, segmentation.edges)
    found = add_overlap(turns, segmentation)
    # They speak for ten frames, 0.4 s.
    kept = SecondSpeakerOptions(min_duration_on=0.4)
    assert add_overlap(turns, segmentation, kept) == found
    dropped = SecondSpeakerOptions(min_duration_on=0.41)
    alone = [(turn.speaker, pytest.approx((turn.start, turn.end))) for turn in turns]
    left = add_overlap(turns, segmentation, dropped)
    assert [(turn.speaker, (turn.start, turn.end)) for turn in left] == alone
    # Two frames of overlap less, 0.08 s.
    overlapping = np.flatnonzero(segmentation.counts == 2)
    counts = segmentation.counts.copy()
    counts[overlapping[4:6]] = 1
    cut = replace(segmentation, counts=counts)
    assert add_overlap(turns, cut) == found
    split = add_overlap(turns, cut, SecondSpeakerOptions(min_duration_off=0))
    assert len(split) == len(found) + 1


def test_a_recording_has_as_many_speakers_as_a_fifth_of_its_chunks(conversation):
    _, segmentation, _ = conversation
    alone = seconds_alone(segmentation)
    # All three speak in some chunks, but one of them for less than a second.
    assert fewest_speakers(alone) == 2
    assert fewest_speakers(np.minimum(alone, 0.9)) == 0
    # One chunk of twenty-one has all three.
    few = np.zeros_like(alone)
    few[0] = 2.0
    assert fewest_speakers(few) == 3
    few[:, 0] = 2.0
    assert fewest_speakers(few) == 1


def test_only_speech_counts_where_it_is_known(conversation):
    active, segmentation, _ = conversation
    edges = segmentation.edges
    # The first turn alone.
    end = float(edges[np.flatnonzero(active[:, 1])[0]])
    alone = seconds_alone(segmentation, np.array([[0.0, end]]))
    assert fewest_speakers(alone) == 1
    assert not alone[2:].any()
    assert alone[0].max() == alone[0].sum() == pytest.approx(end)
