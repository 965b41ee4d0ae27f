"""Average linkage of vectors some of which are of different speakers for certain."""

import numpy as np
from numpy.typing import NDArray

from ssahc.backend.affinity import symmetrize
from ssahc.clustering.ahc import average_linkage
from ssahc.clustering.dense_linkage import DenseClusters
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, FloatArray, IntArray


def constrained_linkage(
    affinity: FloatArray | Float32Array, cannot_link: NDArray[np.bool_], stop: Stop
) -> IntArray:
    """Merge clusters by their average affinity, unless a pair in them must not be.

    Parameters
    ----------
    affinity : (N, N) array
        Symmetric; only the upper triangle is read.
    cannot_link : (N, N) bool array
        Symmetric: pairs that are different speakers.
    stop : Stop
        If constraints leave more clusters than it has speakers at most, those are
        merged in spite of them.

    Returns
    -------
    (N,) array
        Labels 0..K-1.
    """
    sums = symmetrize(affinity)
    # Sums with minus infinity stay there, and no cluster is its own partner.
    sums[cannot_link] = -np.inf
    clusters = DenseClusters(sums)
    clusters.merge_until(stop)
    labels = clusters.history().labels()
    most = stop.num_speakers or stop.max_speakers
    if most is None or len(labels) == 0 or labels.max() < most:
        return labels
    history = average_linkage(affinity, start=labels)
    return history.cut(Stop(num_speakers=most))[labels]


def assign_groups(affinity: FloatArray, groups: IntArray) -> IntArray:
    """Assign vectors to clusters, those of one group to different ones.

    Parameters
    ----------
    affinity : (N, K) array
        Of vectors to clusters; their sum over each group is the largest possible.
    groups : (N,) array

    Returns
    -------
    (N,) array
        Clusters; -1 where a group has more vectors than there are clusters.
    """
    from scipy.optimize import linear_sum_assignment

    labels = np.full(len(groups), -1)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        chosen, clusters = linear_sum_assignment(affinity[rows], maximize=True)
        labels[rows[chosen]] = clusters
    return labels
