"""The merges of a clustering, to be cut as often as needed."""

from dataclasses import dataclass

import numpy as np

from ssahc.cluster.stop import Stop
from ssahc.types import Float32Array, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class MergeHistory:
    """Merges in order, mostly from single windows to one cluster.

    Parameters
    ----------
    num_leaves : int
        What was there at the start: windows, or clusters of windows.
    merges : (M, 2) array
        Ids of the merged clusters, the smaller first.
    averages : (M,) float32 array
        Largest average affinity of any two clusters before each merge, which is what
        a threshold is compared with. It never rises, whichever pair is merged: the
        average affinity to a merged cluster is a mean of those to its parts. Plain
        average linkage merges the two that have it.
    """

    num_leaves: int
    merges: IntArray
    averages: Float32Array

    def __repr__(self) -> str:
        return f"MergeHistory({self.num_leaves} leaves, {len(self.merges)} merges)"

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels at a stop.

        Parameters
        ----------
        stop : Stop

        Returns
        -------
        (N,) int array
            As `labels`.
        """
        until = self.merges_until(stop)
        merges, averages = self.merges[:until], self.averages[:until]
        return MergeHistory(self.num_leaves, merges, averages).labels()

    def labels(self) -> IntArray:
        """Return the labels after all merges.

        Returns
        -------
        (N,) int array
            0..K-1 in Kaldi's order: by increasing cluster id.
        """
        cluster = np.arange(self.num_leaves + len(self.merges))
        parents = np.arange(len(self.merges)) + self.num_leaves
        cluster[self.merges.ravel()] = np.repeat(parents, 2)
        # Each round doubles how far up everything points.
        while not np.array_equal(above := cluster[cluster], cluster):
            cluster = above
        leaves = cluster[: self.num_leaves]
        return renumber(leaves, len(cluster))

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of clusters at a stop."""
        return self.num_leaves - self.merges_until(stop)

    def merges_until(self, stop: Stop) -> int:
        """Return how many merges are made before a stop."""
        available = len(self.merges)
        if stop.num_speakers is not None:
            return min(max(self.num_leaves - stop.num_speakers, 0), available)
        below = ~(self.averages >= np.float32(stop.threshold))
        count = int(np.argmax(below)) if below.any() else available
        if stop.max_speakers is not None:
            count = max(count, self.num_leaves - stop.max_speakers)
        return max(min(count, self.num_leaves - stop.min_speakers, available), 0)


def renumber(labels: IntArray, count: int) -> IntArray:
    """Return labels without gaps between them, in the same order.

    Parameters
    ----------
    labels : (N,) int array
        From 0 to `count` - 1, not all of them there.
    count : int

    Returns
    -------
    (N,) int array
        0..K-1, all of them there.
    """
    there = np.bincount(labels, minlength=count) > 0
    renumbered: IntArray = (np.cumsum(there) - 1)[labels]
    return renumbered
