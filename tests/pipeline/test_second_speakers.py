"""Second speakers in known regions of overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ssahc
from ssahc.core.types import Turn
from ssahc.pipeline.second_speakers import add_second_speakers

# Hundredths of a second, so that a loop over all of them is exact.
LAST = 60
times = st.integers(0, LAST)


def _naive(turns, regions):
    """Return the speakers of each hundredth of a second, by a loop over all of them."""
    active = [set() for _ in range(LAST)]
    owner = [None] * LAST
    for turn in turns:
        for time in range(int(turn.start), int(turn.end)):
            owner[time] = turn.speaker
    names = sorted({turn.speaker for turn in turns})
    inside = [any(a <= time < b for a, b in regions) for time in range(LAST)]
    for time in range(LAST):
        if owner[time] is None:
            continue
        active[time].add(owner[time])
        if not inside[time] or len(names) < 2:
            continue
        first = last = time
        while first > 0 and inside[first - 1] and owner[first - 1] == owner[time]:
            first -= 1
        while last + 1 < LAST and inside[last + 1] and owner[last + 1] == owner[time]:
            last += 1

        gaps = [
            (max(first - other - 1, other - last - 1, 0), owner[other])
            for other in range(LAST)
            if owner[other] not in (None, owner[time])
        ]
        active[time].add(min(gaps)[1])
    return active


@given(
    st.lists(times, min_size=2, max_size=9, unique=True).map(sorted),
    st.lists(st.sampled_from("ABC "), min_size=8, max_size=8),
    st.lists(st.tuples(times, times).map(sorted).map(tuple), max_size=4),
)
def test_equals_a_loop_over_time(edges, owners, regions):
    turns = [
        Turn(float(start), float(end), name)
        for start, end, name in zip(edges, edges[1:], owners)
        if name != " "
    ]
    found = add_second_speakers(turns, regions)
    active = [set() for _ in range(LAST)]
    for turn in found:
        for time in range(int(turn.start), int(turn.end)):
            assert turn.speaker not in active[time]
            active[time].add(turn.speaker)
    assert active == _naive(turns, regions)
    assert found == sorted(found)


def test_python_has_both_turns_that_overlap_and_those_that_do_not():
    vectors, segments = np.repeat(np.eye(3), 4, axis=0), np.arange(12)[:, None] + [0, 1]
    alone = ssahc.diarize(vectors, segments, num_speakers=3)
    both = ssahc.diarize(vectors, segments, num_speakers=3, overlap=[(3.5, 4.25)])
    assert alone.turns == alone.exclusive_turns == both.exclusive_turns
    one, two, three = alone.turns
    assert both.turns == [Turn(0.0, 4.25, "1"), Turn(3.5, 8.0, "2"), three]
    assert ssahc.diarize(vectors, segments, num_speakers=3, overlap=[]).turns == [
        one,
        two,
        three,
    ]
    for regions in ([1.0, 2.0], [(1, 2, 3)], [(2.0, 1.0)], [(0.0, np.nan)], [(-1, 1)]):
        with pytest.raises(ssahc.DataError, match="regions of overlap"):
            ssahc.diarize(vectors, segments, overlap=regions)
