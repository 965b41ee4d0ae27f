"""Changes of speaker where chunks hear them."""

from itertools import pairwise

import numpy as np
import pytest

from ssahc.core.types import Turn
from ssahc.frontend.segmentation.chunks import Segmentation
from ssahc.pipeline.turn_changes import move_changes

FRAMES, CHUNK, STEP, SECONDS = 500, 300, 50, 0.02
# Frames at which the speaker changes.
CHANGES = [110, 190, 305]


@pytest.fixture
def segmentation(rng):
    """Chunks that hear two people take turns, each with its own order of speakers."""
    second = np.searchsorted(CHANGES, np.arange(FRAMES), side="right") % 2 == 1
    first = np.arange(0, FRAMES - CHUNK + 1, STEP)
    active = np.zeros((len(first), CHUNK, 3), bool)
    for number, start in enumerate(first):
        one, other, _ = rng.permutation(3)
        within = second[start : start + CHUNK]
        active[number, ~within, one] = active[number, within, other] = True
    probabilities = 0.1 + 0.7 * active + 0.1 * rng.random(active.shape)
    edges = np.arange(FRAMES + 1) * SECONDS
    counts = np.ones(FRAMES, np.int64)
    return Segmentation(first, probabilities.astype(np.float16), active, counts, edges)


def _take_turns(times, speakers="abababab"):
    edges = [0.0, *times, FRAMES * SECONDS]
    return [Turn(*span) for span in zip(edges, edges[1:], speakers)]


@pytest.mark.parametrize("shift", [-0.45, -0.2, 0.0, 0.3])
def test_changes_move_to_where_chunks_hear_them(segmentation, shift):
    times = [frame * SECONDS for frame in CHANGES]
    turns = _take_turns([time + shift for time in times])
    found = move_changes(turns, segmentation)
    assert [turn.end for turn in found[:-1]] == pytest.approx(times, abs=0.021)
    assert [turn.speaker for turn in found] == [turn.speaker for turn in turns]
    assert all(a.end == b.start for a, b in pairwise(found))


def test_changes_stay_where_chunks_hear_none_or_far_away(segmentation):
    # At 3 s one voice goes on; 0.6 s are too far.
    turns = _take_turns([3.0])
    assert move_changes(turns, segmentation) == turns
    turns = _take_turns([CHANGES[0] * SECONDS - 0.6])
    (end, _) = [turn.end for turn in move_changes(turns, segmentation)]
    assert end <= turns[0].end + 0.5
    # Turns with a pause between them, or of one speaker, have no change.
    apart = [Turn(0.0, 2.0, "a"), Turn(2.4, 3.0, "b"), Turn(3.0, 4.0, "b")]
    assert move_changes(apart, segmentation) == apart


def test_turns_beyond_the_chunks_stay(segmentation):
    turns = [Turn(9.5, 10.1, "a"), Turn(10.1, 11.0, "b"), Turn(20.0, 21.0, "a")]
    assert move_changes(turns, segmentation) == turns
    assert move_changes([], segmentation) == []
