"""Average linkage on a matrix, with the arithmetic of ``agglomerative-cluster``.

Sums of affinities are kept in float32 and added in Kaldi's order, so that merges equal
Kaldi's bit for bit.
"""

import numpy as np

from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, IntArray
from ssahc.runtime.jit import compiled

# Merges per call of the compiled loop: this many plus a quarter of the windows.
_AT_ONCE = 500
# Above any cluster id or size.
_NO_LIMIT = np.iinfo(np.int64).max


class DenseClusters:
    """The clusters of one recording while they are being merged.

    Each cluster has a slot, a row of `sums`. A union takes the slot of its first part;
    the slot of the other part is no longer used. The diagonal is minus infinity, which
    survives all additions, so that no cluster is its own partner.
    """

    def __init__(
        self,
        sums: Float32Array,
        sizes: IntArray | None = None,
        largest: int | None = None,
    ) -> None:
        """Start from K clusters.

        `sums` (K, K), the symmetric sums of affinities between clusters, are
        overwritten; `sizes` (K,) are numbers of windows, 1 by default; no union has
        more than `largest`.
        """
        count = len(sums)
        self.sums, self.largest = sums, largest
        self.sizes = np.ones(count, np.int64) if sizes is None else sizes.copy()
        self.ids = np.arange(count)
        self.num_merges = 0
        self._merges = np.zeros((count, 2), np.int64)
        self._averages = np.zeros(count, np.float32)
        np.fill_diagonal(sums, -np.inf)

    def merge_until(self, stop: Stop, *, fewest: int = 1) -> None:
        """Merge the best pair repeatedly until `stop`, or until `fewest` are left."""
        fewest = max(fewest, stop.num_speakers or stop.min_speakers)
        left = goal = len(self.ids) - self.num_merges
        # A compiled loop cannot be interrupted (Ctrl-C), so it returns now and then.
        while left == goal > fewest:
            goal = max(fewest, left - len(self.ids) // 4 - _AT_ONCE)
            self.num_merges = _merge_best(
                self.sums,
                self.sizes,
                self.ids,
                self._merges,
                self._averages,
                self.survivors(),
                goal,
                np.float32(-np.inf if stop.threshold is None else stop.threshold),
                _NO_LIMIT if stop.max_speakers is None else stop.max_speakers,
                _NO_LIMIT if self.largest is None else self.largest,
            )
            left = len(self.ids) - self.num_merges

    def history(self) -> MergeHistory:
        """Return the merges made so far."""
        done = self.num_merges
        return MergeHistory(len(self.ids), self._merges[:done], self._averages[:done])

    def survivors(self) -> IntArray:
        """Return the slots of the remaining clusters, by increasing id."""
        merged = self._merges[: self.num_merges].ravel()
        slots = np.flatnonzero(~np.isin(self.ids, merged))
        return slots[np.argsort(self.ids[slots])]


@compiled
def _merge_best(
    sums: Float32Array,
    sizes: IntArray,
    ids: IntArray,
    merges: IntArray,
    averages: Float32Array,
    living: IntArray,
    fewest: int,
    threshold: np.float32,
    most: int,
    largest: int,
) -> int:
    """Merge the best pair repeatedly; return the number of all merges made.

    Merging goes on while more than `fewest` clusters are left, and either the best
    average is at least the threshold or more than `most` clusters are left. All arrays
    are overwritten; `living` holds the slots in use.
    """
    count, left = len(ids), len(living)
    nothing = np.float32(-np.inf)
    # The best partner of each slot, and the average affinity to it. It does not matter
    # which of several equal partners: ties are broken by ids below.
    partner, best = np.zeros(count, np.int64), np.full(count, nothing)
    lost, num_lost = living.copy(), left
    while True:
        # Slots that have lost their partner search a new one.
        for place in range(num_lost):
            slot = lost[place]
            best[slot] = nothing
            for other in living[:left]:
                average = sums[slot, other] / np.float32(sizes[slot] * sizes[other])
                if average > best[slot] and sizes[slot] + sizes[other] <= largest:
                    best[slot], partner[slot] = average, other
        first, score = -1, nothing
        for slot in living[:left]:
            better = best[slot] > score
            if better or (best[slot] == score > nothing and ids[slot] < ids[first]):
                first, score = slot, best[slot]
        if left <= fewest or first < 0 or (score < threshold and left <= most):
            return count - left
        second, gone = -1, -1
        for place in range(left):
            other = living[place]
            average = sums[first, other] / np.float32(sizes[first] * sizes[other])
            if average == score and sizes[first] + sizes[other] <= largest:
                if second < 0 or ids[other] < ids[second]:
                    second, gone = other, place
        done = count - left
        # Value by value: numba takes seconds to compile the assignment of a row.
        merges[done, 0], merges[done, 1] = ids[first], ids[second]
        averages[done] = score
        ids[first] = count + done
        left -= 1
        living[gone] = living[left]
        for other in living[:left]:
            merged = sums[first, other] + sums[second, other]
            sums[first, other] = sums[other, first] = merged
        sizes[first] += sizes[second]
        num_lost = 0
        for slot in living[:left]:
            average = sums[slot, first] / np.float32(sizes[slot] * sizes[first])
            if slot == first or partner[slot] == first or partner[slot] == second:
                lost[num_lost] = slot
                num_lost += 1
            elif average > best[slot] and sizes[slot] + sizes[first] <= largest:
                best[slot], partner[slot] = average, first
