"""Doubtful spots are found where the speakers of windows are unsure."""

import numpy as np
import pytest

from ssahc.core.types import Turn
from ssahc.report.doubt import find_doubts, main_speakers, mean_over_windows


def windows(count):
    return 0.75 * np.arange(count)[:, None] + [0, 1.5]


def test_doubtful_windows_of_a_speaker_in_a_row_make_one_spot():
    turns = [Turn(0, 4.125, "ann"), Turn(4.125, 9, "bob")]
    confidence = np.array([0.9, 0.9, 0.9, 0.6, 0.4, 0.9, 0.9, 0.65, 0.2, 0.7])
    found = find_doubts(confidence, windows(10), turns)
    spans = [(spot.start, spot.end, spot.speaker) for spot in found]
    assert spans == [(5.625, 7.125, "bob"), (2.625, 4.125, "ann")]
    # By seconds: both windows of a spot keep the same time.
    assert [spot.percent for spot in found] == pytest.approx([42.5, 50])
    assert find_doubts(np.full(10, 0.7), windows(10), turns) == []
    assert find_doubts(np.zeros(10), windows(10), []) == []


def test_mean_confidence_is_by_the_time_that_windows_keep():
    segments = np.array([[0, 2.0], [1, 3.0], [5, 5.5]])
    mean = mean_over_windows(np.array([1.0, 0.5, 0.0]), segments)
    assert mean == pytest.approx((1.5 * 1 + 1.5 * 0.5) / 3.5)
    assert np.isnan(mean_over_windows(np.ones(1), np.ones((1, 2))))


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
