"""Calibration: arithmetic as by loops, and what counts as right as for md-eval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc import ScoringOptions, score_recording
from ssahc.core.types import Turn
from ssahc.scoring.calibration import Calibration, calibrate, pool_calibrations

NO_COLLAR = ScoringOptions(collar=0.0)
stretches = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 4)), min_size=1
)


@given(stretches)
@settings(max_examples=60, deadline=None)
def test_error_and_least_certain_tenth_as_by_loops(rows):
    sure = np.array([row[0] / 20 for row in rows])
    seconds = np.array([float(row[1]) for row in rows])
    right = seconds * [row[2] / 4 for row in rows]
    found = Calibration(sure, seconds, right)
    error = 0.0
    for low in range(10):
        inside = [i for i, p in enumerate(sure) if low == min(int(p * 10), 9)]
        gap = sum(sure[i] * seconds[i] - right[i] for i in inside)
        error += abs(gap) / seconds.sum()
    assert found.error == pytest.approx(error)
    # Second by second, in tiny steps; equal confidence is spread evenly.
    left, held = 0.1 * seconds.sum(), 0.0
    for level in sorted(set(sure)):
        time = seconds[sure == level].sum()
        wrong = (seconds - right)[sure == level].sum()
        taken = min(left, time)
        held, left = held + wrong * taken / time, left - taken
    wrong = (seconds - right).sum()
    if wrong > 0:
        assert found.worst_holds == pytest.approx(held / wrong)
    else:
        assert np.isnan(found.worst_holds)


def test_only_time_of_one_speaker_counts_and_speakers_are_mapped():
    reference = [Turn(0, 10, "ann"), Turn(8, 20, "bob")]
    hypothesis = [
        Turn(0, 9, "1", 0.9),
        Turn(9, 14, "2", 0.6),
        Turn(14, 16, "1", 0.2),
        Turn(16, 25, "2", None),
    ]
    found = calibrate(reference, hypothesis, NO_COLLAR)
    assert found.confidence.tolist() == [0.9, 0.6, 0.2]
    assert found.seconds.tolist() == [8, 4, 2]
    assert found.right.tolist() == [8, 4, 0]
    score = score_recording(reference, hypothesis, NO_COLLAR)
    assert score.confusion == (found.seconds - found.right).sum()
    both = pool_calibrations([found, found])
    assert both.accuracy == pytest.approx(12 / 14)
    assert np.isnan(pool_calibrations([]).error)


def test_time_with_two_found_speakers_is_not_judged():
    hypothesis = [Turn(0, 4, "1", 0.5), Turn(2, 4, "2", 0.7)]
    found = calibrate([Turn(0, 4, "ann")], hypothesis, NO_COLLAR)
    assert found.seconds.tolist() == [2, 0]
    assert found.right.tolist() == [2, 0]
