"""Doubtful spots are found where windows are close to two speakers."""

import numpy as np

from ssahc.backend.affinity import ScoreMatrix, cosine_affinity
from ssahc.core.types import Turn
from ssahc.report.doubt import find_doubts, main_speakers

A, B, BETWEEN = [1.0, 0.0], [0.0, 1.0], [1.0, 1.2]


def windows(count):
    return 0.75 * np.arange(count)[:, None] + [0, 1.5]


def test_windows_between_two_speakers_are_doubtful_and_joined():
    vectors = np.array([A, A, A, BETWEEN, BETWEEN, B, B, B, A, B])
    turns = [Turn(0, 4.125, "ann"), Turn(4.125, 9, "bob")]
    affinity = cosine_affinity(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    found = find_doubts(affinity, windows(10), turns)
    # The window of ann within bob's turn is the worst.
    assert found == [(6, 7.5, "bob", "ann"), (2.25, 4.5, "ann", "bob")]
    # Scores that are read from a file give the same.
    assert find_doubts(ScoreMatrix(affinity.dense()), windows(10), turns) == found


def test_sure_and_single_speakers_leave_no_doubt():
    affinity = cosine_affinity(np.array([A, A, B, B]))
    both = [Turn(0, 1.75, "ann"), Turn(1.75, 4, "bob")]
    for turns in (both, [Turn(0, 4, "ann")], [], [Turn(0, 0.5, "ann")]):
        assert find_doubts(affinity, windows(4), turns) == []


def test_the_speaker_at_the_centre_has_a_window_that_two_share():
    turns = [Turn(0, 1.125, "a"), Turn(1.125, 1.875, "b"), Turn(1.875, 3, "a")]
    assert main_speakers(windows(3), turns).tolist() == [1, 2, 1]
    assert main_speakers(np.array([[7.0, 8.0], [1.0, 1.0]]), turns).tolist() == [0, 0]


def test_main_speakers_are_found_for_windows_in_any_order_and_nested():
    random = np.random.default_rng(0)
    starts = random.uniform(0, 20, 60)
    segments = np.column_stack([starts, starts + random.choice([0.5, 1.5, 9.0], 60)])
    turns = [
        Turn(start, start + length, str(speaker))
        for start, length, speaker in zip(
            random.uniform(0, 20, 40),
            random.uniform(0, 3, 40),
            random.integers(4, size=40),
        )
    ]
    names = sorted({turn.speaker for turn in turns})
    for (start, end), found in zip(segments, main_speakers(segments, turns)):
        seconds = [0.0] * (1 + len(names))
        for turn in turns:
            shared = min(end, turn.end) - max(start, turn.start)
            seconds[1 + names.index(turn.speaker)] += max(shared, 0.0)
        assert seconds[found] >= max(seconds) - 1e-4
