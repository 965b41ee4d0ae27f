"""Weights of windows and probabilities of staying, from times alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.resegmentation.observations import observation_weights, stay_probabilities


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=12)
)
@settings(max_examples=30, deadline=None)
def test_weights_equal_a_count_of_ticks(spans):
    segments = np.array([(start, start + length) for start, length in spans], float)
    usual = np.median(np.diff(segments))
    covering = np.zeros(60)
    for start, length in spans:
        covering[start : start + length] += 1
    own = [np.sum(1 / covering[start : start + length]) for start, length in spans]
    expected = [
        value / max(length, usual) if usual else 1.0
        for value, (_, length) in zip(own, spans, strict=True)
    ]
    counts = observation_weights(segments)
    np.testing.assert_allclose(counts, np.maximum(expected, 1e-3))
    assert (counts <= 1 + 1e-12).all()


def test_staying_depends_on_the_time_between_windows():
    segments = np.array([[0.0, 1.0], [1.0, 2.0], [4.0, 5.0], [4.0, 5.0]])
    stay = stay_probabilities(segments, 2.0)
    assert stay[:2] == pytest.approx(np.exp([-0.5, -1.5]))
    assert 0.99 < stay[2] < 1
