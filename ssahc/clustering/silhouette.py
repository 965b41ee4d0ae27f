"""Silhouette of clusters in an affinity."""

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.core.types import IntArray


def mean_silhouette(affinity: Affinity, labels: IntArray) -> float:
    """Return the mean silhouette (Rousseeuw, 1987) of clusters on average affinities.

    This is the mean over windows of the average affinity to the rest of their own
    cluster (0 for a cluster of one) minus that to the nearest other cluster. It is not
    divided by the larger of the two, as Rousseeuw does: affinities, unlike distances,
    can be negative. Labels (N,) are 0..K-1, all of them used, with K at least 2.
    """
    count = len(labels)
    member = np.eye(labels.max() + 1)[labels]
    sizes = member.sum(axis=0)
    sums = affinity.sums_to(member)
    windows = np.arange(count)
    own = sums[windows, labels] - affinity.diagonal()
    own /= np.maximum(sizes[labels] - 1, 1)
    others = sums / sizes
    others[windows, labels] = -np.inf
    return float((own - others.max(axis=1)).mean())
