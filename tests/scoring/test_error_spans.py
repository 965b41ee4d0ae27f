"""Marked errors add up to the score, lie where they should, and have speakers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.core.errors import DataError
from ssahc.core.types import Turn
from ssahc.scoring.der import ScoringOptions, score_recording
from ssahc.scoring.error_spans import ERROR_KINDS, ErrorSpan


def seconds(analysis):
    """Marked seconds: missed, false alarm, confusion."""
    return [
        sum(span.end - span.start for span in analysis.errors if span.kind == kind)
        for kind in ERROR_KINDS
    ]


def test_hand_computed():
    reference = [Turn(0, 4, "A"), Turn(4, 8, "B")]
    hypothesis = [Turn(0, 5, "1"), Turn(5, 7, "2"), Turn(9, 10, "2")]
    analysis = find_errors(reference, hypothesis, ScoringOptions(collar=0))
    assert analysis.score == score_recording(
        reference, hypothesis, ScoringOptions(collar=0)
    )
    assert analysis.mapping == {"1": "A", "2": "B"}
    assert analysis.errors == (
        ErrorSpan(4, 5, "confusion", "B", "1"),
        ErrorSpan(7, 8, "missed", "B", None),
    )
    assert analysis.unscored == ((8, 10),)
    assert analysis.extent == (0, 10)


def test_collars_and_overlap_are_not_scored():
    reference = [Turn(1, 5, "A"), Turn(4, 8, "B")]
    analysis = find_errors(reference, [Turn(2, 2.5, "x")], ScoringOptions(collar=0.25))
    np.testing.assert_allclose(analysis.unscored, [(1, 1.25), (3.75, 5.25), (7.75, 8)])
    assert {span.kind for span in analysis.errors} == {"missed"}
    both = find_errors(reference, [], ScoringOptions(collar=0, ignore_overlaps=False))
    assert both.unscored == ()
    assert [(e.start, e.end, e.reference) for e in both.errors] == [
        (1, 5, "A"),
        (4, 8, "B"),
    ]


def test_only_the_spans_of_the_uem_are_scored():
    analysis = find_errors(
        [Turn(0, 9, "A")], [], ScoringOptions(collar=0), uem=[(2, 4)]
    )
    assert analysis.errors == (ErrorSpan(2, 4, "missed", "A", None),)
    assert analysis.unscored == ((0, 2), (4, 9))


def test_speakers_keep_their_own_names():
    # "B" of the hypothesis is A of the reference; "A" is nobody.
    reference = [Turn(0, 6, "A")]
    hypothesis = [Turn(0, 4, "B"), Turn(4, 7, "A")]
    analysis = find_errors(reference, hypothesis, ScoringOptions(collar=0))
    assert analysis.mapping == {"B": "A"}
    assert analysis.unmapped_speakers == ["A"]
    assert analysis.errors == (ErrorSpan(4, 6, "confusion", "A", "A"),)
    assert analysis.reference_lanes == {"A": 0}
    assert analysis.hypothesis_lanes == {"B": 0, "A": 1}


def test_lanes_follow_the_mapping():
    reference = [Turn(0, 2, "10"), Turn(2, 4, "9")]
    hypothesis = [Turn(0, 2, "x"), Turn(2, 4, "y"), Turn(4, 5, "z")]
    analysis = find_errors(reference, hypothesis, ScoringOptions())
    assert analysis.reference_speakers == ["9", "10"]
    assert analysis.hypothesis_lanes == {"y": 0, "x": 1, "z": 2}


def test_a_missing_hypothesis_is_all_missed():
    analysis = find_errors([Turn(0, 4, "A")], [], ScoringOptions(collar=0))
    assert analysis.errors == (ErrorSpan(0, 4, "missed", "A", None),)
    assert analysis.hypothesis_lanes == {}


def test_nothing_to_compare_is_refused():
    with pytest.raises(DataError, match="reference is empty"):
        find_errors([], [Turn(0, 1, "1")], ScoringOptions())


times = st.integers(0, 400).map(lambda ticks: ticks / 20)
turns = st.lists(
    st.builds(
        lambda start, length, speaker: Turn(start, start + length, speaker),
        times,
        st.integers(1, 100).map(lambda ticks: ticks / 20),
        st.sampled_from("AB1"),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(turns.filter(bool), turns, st.sampled_from([0, 0.25, 1]), st.booleans())
def test_marked_seconds_add_up_to_the_score(reference, hypothesis, collar, ignored):
    options = ScoringOptions(collar, ignored)
    analysis = find_errors(reference, hypothesis, options)
    score = score_recording(reference, hypothesis, options)
    assert analysis.score == score
    expected = [score.missed, score.false_alarm, score.confusion]
    assert seconds(analysis) == pytest.approx(expected, abs=1e-4)
    for span in analysis.errors:
        middle = (span.start + span.end) / 2
        for who, given_turns in (
            (span.reference, reference),
            (span.hypothesis, hypothesis),
        ):
            assert who is None or any(
                t.start <= middle <= t.end and t.speaker == who for t in given_turns
            )
        assert not any(start < middle < end for start, end in analysis.unscored)
