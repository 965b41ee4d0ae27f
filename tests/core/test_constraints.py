"""Pairs of windows that are of different speakers."""

import numpy as np
import pytest

from ssahc.core.constraints import CannotLink
from ssahc.core.errors import DataError

PAIRS = np.array([[0, 3], [1, 2], [0, 1]])


def test_pairs_are_those_of_the_windows_in_any_order():
    different = CannotLink(PAIRS)
    matrix = different.matrix(4)
    assert (matrix == matrix.T).all()
    assert matrix.sum() == 2 * len(different) == 6
    order = np.array([2, 0, 3, 1])
    again = different.reordered(order)
    np.testing.assert_array_equal(again.matrix(4), matrix[np.ix_(order, order)])


def test_other_pairs_are_refused():
    for pairs in ([[1, 1]], [[2, 1]], [[-1, 1]], [[0, 1, 2]], [0, 1]):
        with pytest.raises(DataError, match="pairs"):
            CannotLink(np.array(pairs))
    for use in (CannotLink(PAIRS).matrix, CannotLink(PAIRS).check):
        with pytest.raises(DataError, match="has row 3, of 3 windows"):
            use(3)
