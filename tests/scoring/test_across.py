"""Error rates across recordings."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssahc.core.types import Turn
from ssahc.scoring.across import score_across
from ssahc.scoring.der import score_recording
from ssahc.scoring.regions import ScoringOptions

LAST = 20
ALL = ScoringOptions(0.0, ignore_overlaps=False)
turns = st.lists(
    st.tuples(st.integers(0, LAST - 1), st.integers(1, LAST), st.sampled_from("ABC")),
    max_size=5,
).map(lambda found: [Turn(a, max(b, a + 1), name) for a, b, name in found])
corpora = st.lists(st.tuples(turns, turns), min_size=1, max_size=4)


def active(turns, time):
    return {turn.speaker for turn in turns if turn.start <= time < turn.end}


@given(corpora)
def test_equals_one_long_recording(corpus):
    """The recordings one after the other, which share names."""
    names = [f"r{number}" for number in range(len(corpus))]
    uem = {name: [(0, LAST)] for name in names}
    reference = {name: pair[0] for name, pair in zip(names, corpus)}
    hypothesis = {name: pair[1] for name, pair in zip(names, corpus)}
    found = score_across(reference, hypothesis, ALL, uem=uem)

    def joined(side):
        return [
            Turn(turn.start + LAST * place, turn.end + LAST * place, turn.speaker)
            for place, pair in enumerate(corpus)
            for turn in pair[side]
        ]

    whole = [(0, LAST * len(corpus))]
    expected = score_recording(joined(0), joined(1), ALL, uem=whole)
    assert found.errors.error == pytest.approx(expected.error)
    assert found.errors.scored == pytest.approx(expected.scored)
    assert (found.num_reference, found.num_found) == tuple(
        len({turn.speaker for turn in joined(side)}) for side in (0, 1)
    )
    # Purity and coverage, second by second.
    shared = np.zeros((3, 3))
    total = np.zeros(2)
    for ours, theirs in corpus:
        for time in range(LAST):
            here, there = active(ours, time), active(theirs, time)
            if here and there:
                total += len(there), len(here)
            for one in there:
                for other in here:
                    shared["ABC".index(one), "ABC".index(other)] += 1
    for value, best, whole in (
        (found.purity, shared.max(axis=1).sum(), total[0]),
        (found.coverage, shared.max(axis=0).sum(), total[1]),
    ):
        assert (
            isnan(value) if whole == 0 else value == pytest.approx(100 * best / whole)
        )


def test_a_name_stands_for_one_person():
    """Mapped anew in each recording there is no error; across them half is wrong."""
    one, two = [Turn(0, 10, "A"), Turn(10, 20, "B")], [Turn(0, 10, "B")]
    reference = {"r1": one, "r2": two}
    hypothesis = {
        "r1": [Turn(0, 10, "1"), Turn(10, 20, "2")],
        "r2": [Turn(0, 10, "1")],
    }
    found = score_across(reference, hypothesis, ScoringOptions(0.0))
    assert found.errors.confusion == pytest.approx(10)
    assert found.purity == pytest.approx(100 * 20 / 30)
    assert found.coverage == pytest.approx(100 * 20 / 30)
    assert score_across(reference, {}, ScoringOptions(0.0)).errors.missed == 30
