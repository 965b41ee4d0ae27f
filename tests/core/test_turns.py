from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.core.turns import (
    Piece,
    _split_nested,
    make_turns,
    measure_speech,
    split_windows,
    to_annotation,
)
from ssahc.core.types import Turn

times = st.integers(0, 40).map(lambda value: value / 4)
windows = st.lists(st.tuples(times, times, st.sampled_from("xyz")), max_size=12)


def kaldi_rule(segments, speakers):
    """Cut overlaps of neighbours in the middle, then join: windows in order only."""
    cut = [[start, end, who] for (start, end), who in zip(segments, speakers)]
    for here, following in pairwise(cut):
        if here[1] > following[0]:
            here[1] = following[0] = (following[0] + here[1]) / 2
    joined = []
    for start, end, who in cut:
        if joined and joined[-1][1] == start and joined[-1][2] == who:
            joined[-1][1] = end
        else:
            joined.append([start, end, who])
    return [Turn(*piece) for piece in joined]


@settings(max_examples=50)
@given(windows)
def test_turns_are_disjoint_and_cover_what_windows_cover(items):
    segments = np.array([sorted(item[:2]) for item in items]).reshape(-1, 2)
    turns = make_turns(segments, [item[2] for item in items])
    assert all(turn.start < turn.end for turn in turns)
    assert all(a.end <= b.start for a, b in pairwise(turns))
    ticks = np.arange(0, 10, 1 / 64) + 1 / 128
    covered = ((segments[:, :1] < ticks) & (ticks < segments[:, 1:])).any(axis=0)
    ours = np.zeros_like(covered)
    for turn in turns:
        ours |= (turn.start < ticks) & (ticks < turn.end)
    # A cut may fall between two ticks, never beside what is covered.
    assert np.array_equal(ours, covered)
    seconds = sum(turn.end - turn.start for turn in turns)
    assert measure_speech(segments) == pytest.approx(seconds)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.25, 0.75, 1.5, 2.0]), st.sampled_from("xy")),
        min_size=1,
        max_size=12,
    )
)
def test_sliding_windows_follow_kaldis_rule(steps):
    starts = np.cumsum([step for step, _ in steps])
    segments = np.stack([starts, starts + 1.5], axis=1)
    speakers = [speaker for _, speaker in steps]
    assert make_turns(segments, speakers) == kaldi_rule(segments.tolist(), speakers)


moments = st.one_of(times, st.floats(0, 10))


@settings(max_examples=60)
@given(st.lists(st.tuples(moments, moments), max_size=12), st.booleans(), st.randoms())
def test_windows_are_split_at_once_as_one_by_one(spans, in_a_row, random):
    segments = np.sort(np.array(spans).reshape(-1, 2), axis=1)
    if in_a_row:
        # Sorted apart from each other, no window lies inside another one.
        segments = np.sort(segments, axis=0)
    order = list(range(len(segments)))
    random.shuffle(order)
    segments = segments[order]
    before = segments.copy()
    windows = [
        Piece(start, end, window)
        for window, (start, end) in enumerate(segments.tolist())
        if start < end
    ]
    assert split_windows(segments) == _split_nested(windows)
    assert np.array_equal(segments, before)


def test_windows_inside_others_split_them_and_gaps_are_not_bridged():
    turns = make_turns(np.array([[0.0, 10.0], [2.0, 3.0]]), ["a", "b"])
    assert turns == [Turn(0, 2, "a"), Turn(2, 3, "b"), Turn(3, 10, "a")]
    assert len(make_turns(np.array([[0, 1.0], [1.001, 2.0]]), ["a", "a"])) == 2


def test_annotation_holds_two_speakers_in_one_span():
    annotation = to_annotation([Turn(0, 1, "a"), Turn(0, 1, "b")], "rec")
    assert annotation.labels() == ["a", "b"]
    assert annotation.uri == "rec"
