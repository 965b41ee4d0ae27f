"""Numbering of cluster labels."""

import numpy as np

from ssahc.core.types import IntArray


def close_gaps(labels: IntArray, count: int) -> IntArray:
    """Renumber labels without gaps, in the same order.

    Parameters
    ----------
    labels : (N,) int array
        From 0 to `count` - 1; some numbers may be unused.
    count : int

    Returns
    -------
    (N,) int array
        0..K-1, all of them used.
    """
    used = np.bincount(labels, minlength=count) > 0
    renumbered: IntArray = (np.cumsum(used) - 1)[labels]
    return renumbered


def by_appearance(labels: IntArray) -> IntArray:
    """Renumber labels 0..K-1 in order of first appearance.

    Parameters
    ----------
    labels : (N,) int array
        Any numbers.
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers: IntArray = np.argsort(np.argsort(first))[inverse]
    return numbers
