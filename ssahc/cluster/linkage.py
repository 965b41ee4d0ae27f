"""Clusters of one or more recordings while they are being merged by average linkage.

All arithmetic is float32 on sums of affinities, in the order of Kaldi's
``agglomerative-cluster``, so that merges are Kaldi's bit by bit. Recordings are merged
side by side, a merge of each at a time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssahc.cluster.history import MergeHistory
from ssahc.cluster.stop import Stop
from ssahc.types import Float32Array, IntArray

# Averages that are computed at once where all of them are looked at.
_BLOCK = 1 << 20
# Of two clusters, the one with this id is never the older one.
_NO_ID = np.iinfo(np.int64).max


class Clusters:
    """The clusters of B recordings, in slots of which the longest fills all.

    A cluster lives in the slot of its first part; the slot of the other part dies.
    Minus infinity marks pairs that do not exist (dead and unused slots, and the
    diagonal); it survives all additions, so that sums need no mask.
    """

    def __init__(
        self,
        sums: Sequence[Float32Array],
        sizes: Sequence[IntArray] | None = None,
        largest: int | None = None,
    ) -> None:
        """Start from K clusters in each recording.

        Parameters
        ----------
        sums : sequence of B (K, K) float32 arrays
            Symmetric sums of the affinities between clusters.
        sizes : sequence of B (K,) arrays, optional
            Windows a cluster, all 1 by default.
        largest : int, optional
            Two clusters of more windows together than this are never merged.
        """
        self.counts = np.array([len(matrix) for matrix in sums])
        self.largest = largest
        batch, slots = len(sums), int(self.counts.max())
        self.sums = np.full((batch, slots, slots), -np.inf, np.float32)
        # Products of sizes are rounded as Kaldi rounds them, be they integers or not.
        self.sizes = np.ones((batch, slots), np.float32)
        for index, matrix in enumerate(sums):
            self.sums[index, : len(matrix), : len(matrix)] = matrix
            if sizes is not None:
                self.sizes[index, : len(matrix)] = sizes[index]
        diagonal = np.arange(slots)
        self.sums[:, diagonal, diagonal] = -np.inf
        self.ids = np.tile(diagonal, (batch, 1))
        self.num_merges = np.zeros(batch, np.int64)
        self._merges = np.zeros((batch, slots, 2), np.int64)
        self._averages = np.zeros((batch, slots), np.float32)
        # The best partner of every slot, and the average affinity to it.
        self._partner = np.zeros((batch, slots), np.int64)
        self._best = np.full((batch, slots), -np.inf, np.float32)
        used = np.nonzero(diagonal < self.counts[:, None])
        step = _BLOCK // slots + 1
        for begin in range(0, len(used[0]), step):
            self._find_partners(*(index[begin : begin + step] for index in used))

    def merge_until(self, stop: Stop, *, fewest: int = 1) -> None:
        """Merge the best pairs again and again until `stop`, or nothing is left.

        Parameters
        ----------
        stop : Stop
        fewest : int
            Also stop when so many clusters are left.
        """
        while True:
            score = self._best.max(axis=1)
            left = self.counts - self.num_merges
            merging = np.flatnonzero((left > fewest) & stop.goes_on(left, score))
            if len(merging) == 0:
                break
            self._merge_best(merging, score[merging])

    def histories(self) -> list[MergeHistory]:
        """Return the merges made so far in each recording."""
        return [
            MergeHistory(int(count), merges[:done], averages[:done])
            for count, done, merges, averages in zip(
                self.counts, self.num_merges, self._merges, self._averages, strict=True
            )
        ]

    def survivors(self) -> IntArray:
        """Return the slots of the first recording's clusters, by increasing id."""
        merged = self._merges[0, : self.num_merges[0]].ravel()
        ids = self.ids[0]
        slots = np.flatnonzero(~np.isin(ids, merged))
        return slots[np.argsort(ids[slots])]

    def _row_averages(self, recordings: IntArray, slots: IntArray) -> Float32Array:
        """Return the (R, N) average affinities of R slots to all of their recording."""
        sizes = self.sizes[recordings]
        own = self.sizes[recordings, slots][:, None]
        averages = self.sums[recordings, slots]
        averages /= own * sizes
        if self.largest is not None:
            averages[own + sizes > self.largest] = -np.inf
        return averages

    def _find_partners(self, recordings: IntArray, slots: IntArray) -> Float32Array:
        averages = self._row_averages(recordings, slots)
        partner = averages.argmax(axis=1)
        self._partner[recordings, slots] = partner
        self._best[recordings, slots] = averages[np.arange(len(slots)), partner]
        return averages

    def _find_best(
        self, merging: IntArray, tied: NDArray[np.bool_], score: Float32Array
    ) -> tuple[IntArray, IntArray]:
        """Return the slots of the best pair of each recording, the older id first.

        Parameters
        ----------
        merging : (A,) array
            The recordings.
        tied : (A, N) array
            Slots whose best average is the score.
        score : (A,) array
        """
        ids, index = self.ids[merging], np.arange(len(merging))
        first = tied.argmax(axis=1)
        second = tied.shape[1] - 1 - tied[:, ::-1].argmax(axis=1)
        swap = ids[index, first] > ids[index, second]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        # Averages are symmetric: two slots alone are each other's partners.
        several = np.flatnonzero(np.count_nonzero(tied, axis=1) > 2)
        if len(several) > 0:
            some = merging[several]
            first[several] = np.where(tied, ids, _NO_ID)[several].argmin(axis=1)
            equal = self._row_averages(some, first[several]) == score[several, None]
            second[several] = np.where(equal, ids[several], _NO_ID).argmin(axis=1)
        return first, second

    def _merge_best(self, merging: IntArray, score: Float32Array) -> None:
        """Merge the best pair of each of these recordings."""
        ids, best = self.ids[merging], self._best[merging]
        first, second = self._find_best(merging, best == score[:, None], score)
        done, index = self.num_merges[merging], np.arange(len(merging))
        self._merges[merging, done, 0] = ids[index, first]
        self._merges[merging, done, 1] = ids[index, second]
        self._averages[merging, done] = score
        merged = self.sums[merging, first] + self.sums[merging, second]
        self.sums[merging, first] = merged
        self.sums[merging, :, first] = merged
        self.sums[merging, :, second] = -np.inf
        self.sizes[merging, first] += self.sizes[merging, second]
        self.ids[merging, first] = self.counts[merging] + done
        self.num_merges[merging] += 1

        # Invariant: `_best` is the largest average of a slot, `_partner` a slot that
        # reaches it. Which one does not matter, ties are broken by their ids.
        self._best[merging, second] = -np.inf
        partner = self._partner[merging]
        lost = (partner == first[:, None]) | (partner == second[:, None])
        lost &= best > -np.inf
        lost[index, first], lost[index, second] = True, False
        where, slots = np.nonzero(lost)
        averages = self._find_partners(merging[where], slots)
        rows = averages[slots == first[where]]
        where, slots = np.nonzero((rows > self._best[merging]) & ~lost)
        self._best[merging[where], slots] = rows[where, slots]
        self._partner[merging[where], slots] = first[where]
