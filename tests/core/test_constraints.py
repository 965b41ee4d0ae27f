"""Pairs of windows that are of different speakers."""

import numpy as np
import pytest

from ssahc.core.constraints import CannotLink
from ssahc.core.errors import DataError

PAIRS = np.array([[0, 3], [1, 2], [0, 1]])


def test_pairs_are_those_of_the_windows_in_any_order():
    order = np.array([2, 0, 3, 1])
    again = CannotLink(PAIRS).reordered(order)
    # Back to the windows as they were.
    pairs = {tuple(sorted(order[pair].tolist())) for pair in again.pairs}
    assert pairs == set(map(tuple, PAIRS.tolist()))
    assert len(again) == len(PAIRS)


def test_other_pairs_are_refused():
    for pairs in ([[1, 1]], [[2, 1]], [[-1, 1]], [[0, 1, 2]], [0, 1]):
        with pytest.raises(DataError, match="pairs"):
            CannotLink(np.array(pairs))
    with pytest.raises(DataError, match="has row 3, of 3 windows"):
        CannotLink(PAIRS).check(3)
