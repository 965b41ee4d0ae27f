"""Clusters while they are being merged by average linkage.

All arithmetic is float32 on sums of affinities, in the order of Kaldi's
``agglomerative-cluster``, so that merges are Kaldi's bit by bit.
"""

import numpy as np

from ssahc.cluster.history import MergeHistory
from ssahc.cluster.stop import Stop
from ssahc.types import Float32Array, IntArray


class Clusters:
    """The clusters of one recording while they are being merged.

    A cluster lives in the slot of its first part; the slot of the other part dies.
    Minus infinity marks pairs that do not exist (dead slots and the diagonal); it
    survives all additions, so that sums need no mask.
    """

    def __init__(
        self,
        sums: Float32Array,
        sizes: IntArray | None = None,
        largest: int | None = None,
    ) -> None:
        """Start from K clusters.

        Parameters
        ----------
        sums : (K, K) float32 array
            Symmetric sums of the affinities between clusters; overwritten.
        sizes : (K,) int array, optional
            Windows a cluster, all 1 by default.
        largest : int, optional
            Two clusters of more windows together than this are never merged.
        """
        count = len(sums)
        self.sums, self.largest = sums, largest
        self.sizes = np.ones(count, np.int64) if sizes is None else sizes.copy()
        self.ids = np.arange(count)
        self.merges: list[tuple[int, int]] = []
        self.averages: list[np.float32] = []
        # The best partner of every slot, and the average affinity to it.
        self.partner = np.zeros(count, np.int64)
        self.best = np.full(count, -np.inf, np.float32)
        np.fill_diagonal(sums, -np.inf)
        for slot in range(count):
            self._find_partner(slot)

    def merge_until(self, stop: Stop, *, fewest: int = 1) -> None:
        """Merge the best pair again and again until `stop`, or nothing is left.

        Parameters
        ----------
        stop : Stop
        fewest : int
            Also stop when so many clusters are left.
        """
        left = len(self.ids)
        while left > fewest:
            score = self.best.max()
            if not stop.goes_on(left, score):
                break
            self._merge(*self._find_pair(score), score)
            left -= 1

    def history(self) -> MergeHistory:
        """Return the merges made so far."""
        return MergeHistory(
            len(self.ids),
            np.array(self.merges, np.int64).reshape(-1, 2),
            np.array(self.averages, np.float32),
        )

    def survivors(self) -> IntArray:
        """Return the slots of the clusters that are left, by increasing id."""
        merged = np.array(self.merges, np.int64).ravel()
        slots = np.flatnonzero(~np.isin(self.ids, merged))
        return slots[np.argsort(self.ids[slots])]

    def _averages(self, slot: int) -> Float32Array:
        row = self.sums[slot] / (self.sizes[slot] * self.sizes).astype(np.float32)
        if self.largest is not None:
            row[self.sizes[slot] + self.sizes > self.largest] = -np.inf
        return row

    def _find_partner(self, slot: int) -> Float32Array:
        row = self._averages(slot)
        self.partner[slot] = row.argmax()
        self.best[slot] = row[self.partner[slot]]
        return row

    def _find_pair(self, score: np.float32) -> tuple[int, int]:
        """Return the slots of the best pair, that of the smaller id first."""
        tied = np.flatnonzero(self.best == score)
        first = tied[self.ids[tied].argmin()]
        # Averages are symmetric: two tied slots are each other's partners.
        if len(tied) == 2:
            return int(first), int(tied.sum() - first)
        equal = np.flatnonzero(self._averages(first) == score)
        return int(first), int(equal[self.ids[equal].argmin()])

    def _merge(self, first: int, second: int, score: np.float32) -> None:
        self.merges.append((int(self.ids[first]), int(self.ids[second])))
        self.averages.append(score)
        self.sums[first] += self.sums[second]
        self.sums[:, first] = self.sums[first]
        self.sums[:, second] = -np.inf
        self.sizes[first] += self.sizes[second]
        self.ids[first] = len(self.ids) + len(self.merges) - 1

        # Invariant: `best` is the largest average of a slot, `partner` a slot that
        # reaches it. Which one does not matter, ties are broken in _find_pair.
        self.best[second] = -np.inf
        row = self._find_partner(first)
        lost = (self.partner == first) | (self.partner == second)
        lost &= self.best > -np.inf
        lost[first] = False
        better = (row > self.best) & ~lost
        self.best[better], self.partner[better] = row[better], first
        for slot in np.flatnonzero(lost).tolist():
            self._find_partner(slot)
