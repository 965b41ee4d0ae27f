"""Numbering of cluster labels."""

import numpy as np

from ssahc.core.types import IntArray


def close_gaps(labels: IntArray, count: int) -> IntArray:
    """Renumber labels (N,) from 0 to `count` - 1 without gaps, in the same order."""
    used = np.bincount(labels, minlength=count) > 0
    renumbered: IntArray = (np.cumsum(used) - 1)[labels]
    return renumbered


def by_appearance(labels: IntArray) -> IntArray:
    """Renumber labels (N,), any numbers, as 0..K-1 in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers: IntArray = np.argsort(np.argsort(first))[inverse]
    return numbers
