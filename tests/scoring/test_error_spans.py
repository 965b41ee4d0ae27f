"""Error spans add up to the score, are where they should be, and name the speakers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.core.types import Turn
from ssahc.scoring.der import OverlapSeconds, score_recording
from ssahc.scoring.error_spans import ERROR_KINDS, ErrorSpan, find_errors
from ssahc.scoring.overlap_spans import OverlapSpan, list_overlap, measure_overlap
from ssahc.scoring.regions import ScoringOptions

NO_COLLAR = ScoringOptions(collar=0)
ALL_SCORED = ScoringOptions(collar=0, ignore_overlaps=False)


def test_errors_of_a_small_example():
    reference = [Turn(0, 4, "A"), Turn(4, 8, "B")]
    hypothesis = [Turn(0, 5, "1"), Turn(5, 7, "2"), Turn(9, 10, "2")]
    analysis = find_errors(reference, hypothesis, NO_COLLAR)
    assert analysis.score == score_recording(reference, hypothesis, NO_COLLAR)
    assert analysis.mapping == {"1": "A", "2": "B"}
    assert analysis.errors == (
        ErrorSpan(4, 5, "confusion", "B", "1"),
        ErrorSpan(7, 8, "missed", "B", None),
    )
    assert analysis.unscored == ((8, 10),)
    assert analysis.extent == (0, 10)


def test_collars_overlap_and_time_outside_the_uem_are_not_scored():
    reference = [Turn(1, 5, "A"), Turn(4, 8, "B")]
    analysis = find_errors(reference, [Turn(2, 2.5, "x")], ScoringOptions(collar=0.25))
    np.testing.assert_allclose(analysis.unscored, [(1, 1.25), (3.75, 5.25), (7.75, 8)])
    assert {span.kind for span in analysis.errors} == {"missed"}
    analysis = find_errors(reference, [], ALL_SCORED)
    assert analysis.unscored == ()
    spans = [(e.start, e.end, e.reference) for e in analysis.errors]
    assert spans == [(1, 5, "A"), (4, 8, "B")]
    analysis = find_errors([Turn(0, 9, "A")], [], NO_COLLAR, uem=[(2, 4)])
    assert analysis.errors == (ErrorSpan(2, 4, "missed", "A", None),)
    assert analysis.unscored == ((0, 2), (4, 9))


def test_hypothesis_speakers_keep_their_names():
    # "B" of the hypothesis is mapped to "A" of the reference; "A" is unmapped.
    hypothesis = [Turn(0, 4, "B"), Turn(4, 7, "A")]
    analysis = find_errors([Turn(0, 6, "A")], hypothesis, NO_COLLAR)
    assert analysis.mapping == {"B": "A"}
    assert analysis.errors == (ErrorSpan(4, 6, "confusion", "A", "A"),)


def test_overlap_is_found_missed_or_a_false_alarm():
    reference = [Turn(0, 4, "A"), Turn(2, 6, "B"), Turn(3, 3.5, "C"), Turn(8, 9, "A")]
    hypothesis = [Turn(0, 3, "1"), Turn(2.5, 6, "2"), Turn(5, 5.5, "1")]
    # Whether it is scored or not, but within the UEM.
    analysis = find_errors(reference, hypothesis, NO_COLLAR, uem=[(0, 5.25)])
    assert analysis.overlap == (
        OverlapSpan(2, 2.5, "missed", ("A", "B")),
        OverlapSpan(2.5, 3, "found", ("A", "B")),
        OverlapSpan(3, 4, "missed", ("A", "B", "C")),
        OverlapSpan(5, 5.25, "false alarm", ("1", "2")),
    )
    assert measure_overlap(analysis.overlap) == OverlapSeconds(2, 0.75, 0.5)
    assert list_overlap([]) == ()


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


@settings(max_examples=25, deadline=None)
@given(turns.filter(bool), turns, st.sampled_from([0, 0.25, 1]), st.booleans())
def test_error_spans_add_up_to_the_score(reference, hypothesis, collar, ignored):
    options = ScoringOptions(collar, ignored)
    analysis = find_errors(reference, hypothesis, options)
    score = score_recording(reference, hypothesis, options)
    assert analysis.score == score
    seconds = [
        sum(span.end - span.start for span in analysis.errors if span.kind == kind)
        for kind in ERROR_KINDS
    ]
    expected = [score.missed, score.false_alarm, score.confusion]
    assert seconds == pytest.approx(expected, abs=1e-4)
    whole = score_recording(reference, hypothesis, ALL_SCORED)
    overlap, expected = measure_overlap(analysis.overlap), whole.overlap_seconds
    assert vars(overlap) == pytest.approx(vars(expected))
    for span in analysis.errors:
        middle = (span.start + span.end) / 2
        sides = (span.reference, reference), (span.hypothesis, hypothesis)
        for speaker, speech in sides:
            assert speaker is None or any(
                turn.start <= middle <= turn.end and turn.speaker == speaker
                for turn in speech
            )
        assert not any(start < middle < end for start, end in analysis.unscored)
