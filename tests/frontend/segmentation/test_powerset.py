"""Powerset classes and the speakers in them."""

from itertools import chain, combinations, product

import numpy as np
import pytest

from ssahc.core.errors import DataError
from ssahc.frontend.segmentation.powerset import (
    speaker_sets,
    to_multilabel,
    to_powerset,
)

SIZES = [(k, m) for k in range(1, 5) for m in range(1, min(k, 3) + 1)]


@pytest.mark.parametrize(("speakers", "at_once"), SIZES)
def test_classes_and_sets_of_speakers_are_one_to_one(speakers, at_once):
    sets = speaker_sets(speakers, at_once)
    expected = list(
        chain.from_iterable(
            combinations(range(speakers), size) for size in range(at_once + 1)
        )
    )
    assert [tuple(np.flatnonzero(row)) for row in sets] == expected
    classes = np.arange(len(sets))
    active = to_multilabel(classes.reshape(1, -1), sets)
    assert active.shape == (1, len(sets), speakers)
    np.testing.assert_array_equal(to_powerset(active, sets)[0], classes)
    # Every set of any size: itself if it is a class, or the first speakers in it.
    for row in product([0, 1], repeat=speakers):
        members = tuple(np.flatnonzero(row))
        assert expected[int(to_powerset(row, sets))] == members[:at_once]


def test_impossible_numbers_are_refused():
    for speakers, at_once in ((0, 0), (2, 3), (3, 0)):
        with pytest.raises(DataError, match=f"{at_once} at once of {speakers}"):
            speaker_sets(speakers, at_once)
