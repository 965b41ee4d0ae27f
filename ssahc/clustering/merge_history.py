"""The merges of an agglomerative clustering, which can be cut at any stop."""

import heapq
from dataclasses import dataclass

import numpy as np

from ssahc.clustering.labels import close_gaps
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class MergeHistory:
    """Merges in order, usually from single windows to one cluster.

    Parameters
    ----------
    num_leaves : int
        Number N of initial clusters, usually the windows; their ids are 0..N-1.
    merges : (M, 2) array
        Ids of the merged clusters, the smaller first; merge m makes cluster N + m.
    averages : (M,) float32 array
        Largest average affinity of any two clusters before each merge, to compare with
        a threshold. It never increases, whichever pair is merged: the average affinity
        to a merged cluster is a mean of those to its parts. Plain average linkage
        merges the pair that attains it.
    """

    num_leaves: int
    merges: IntArray
    averages: Float32Array

    def __repr__(self) -> str:
        return f"MergeHistory({self.num_leaves} leaves, {len(self.merges)} merges)"

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels (N,) at a stop, numbered as by `labels`."""
        return self.first(self.num_clusters(stop)).labels()

    def labels(self) -> IntArray:
        """Return the labels (N,) after all merges.

        They are 0..K-1 in Kaldi's order: by increasing cluster id.
        """
        cluster = np.arange(self.num_leaves + len(self.merges))
        parents = np.arange(len(self.merges)) + self.num_leaves
        cluster[self.merges.ravel()] = np.repeat(parents, 2)
        # Pointer jumping: each round doubles the number of levels that are skipped.
        while not np.array_equal(above := cluster[cluster], cluster):
            cluster = above
        leaves = cluster[: self.num_leaves]
        return close_gaps(leaves, len(cluster))

    def first(self, clusters: int) -> "MergeHistory":
        """Return the merges until `clusters` clusters are left."""
        count = max(self.num_leaves - clusters, 0)
        return MergeHistory(self.num_leaves, self.merges[:count], self.averages[:count])

    def by_average(self) -> "MergeHistory":
        """Return the merges, which may be in any valid order, in that of Kaldi.

        The largest average comes first; ties go to the smallest lower id, then to the
        smallest higher id. A union still never comes before its parts.
        """
        count, merges = self.num_leaves, np.sort(self.merges, axis=1).tolist()
        costs = (-self.averages).tolist()
        ids = list(range(count + len(merges)))
        # The merge that uses a cluster, and the number of parts a merge waits for.
        union = {part: index for index, pair in enumerate(merges) for part in pair}
        missing = (self.merges >= count).sum(axis=1).tolist()
        ready = [
            (costs[index], *merges[index], index)
            for index, parts in enumerate(missing)
            if parts == 0
        ]
        heapq.heapify(ready)
        order: list[int] = []
        pairs: list[tuple[int, int]] = []
        while ready:
            _, low, high, index = heapq.heappop(ready)
            ids[count + index] = count + len(order)
            order.append(index)
            pairs.append((low, high))
            index = union.get(count + index, -1)
            if index >= 0:
                missing[index] -= 1
                if missing[index] == 0:
                    low, high = sorted(ids[part] for part in merges[index])
                    heapq.heappush(ready, (costs[index], low, high, index))
        return MergeHistory(
            count,
            np.array(pairs, np.int64).reshape(-1, 2),
            np.minimum.accumulate(self.averages[order]),
        )

    def followed_by(self, later: "MergeHistory") -> "MergeHistory":
        """Return these merges, then those of the clusters that they leave."""
        total = self.num_leaves + len(self.merges)
        left = np.setdiff1d(np.arange(total), self.merges)
        ids = np.append(left, total + np.arange(len(later.merges)))
        return MergeHistory(
            self.num_leaves,
            np.concatenate([self.merges, ids[later.merges]]),
            np.concatenate([self.averages, later.averages]),
        )

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of clusters at a stop."""
        fewest = self.num_leaves - len(self.merges)
        if stop.num_speakers is not None:
            return max(min(self.num_leaves, stop.num_speakers), fewest)
        below = ~(self.averages >= np.float32(stop.threshold))
        made = int(np.argmax(below)) if below.any() else len(self.merges)
        count = self.num_leaves - made
        if stop.max_speakers is not None:
            count = min(count, stop.max_speakers)
        return min(max(count, stop.min_speakers, fewest), self.num_leaves)
