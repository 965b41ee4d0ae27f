"""Merging by the discriminative cost, Eq. 2 of Singh & Ganapathy (Interspeech 2020).

The pair (i, j) with the smallest ``-A(C_i, C_j) + lambda sum_k A(C_i u C_j, C_k)`` is
merged, where A is the average affinity of two clusters and k runs over the Kc clusters
nearest to the union, its rivals, excluding i and j. All pairs and all rivals are
considered; if fewer than Kc other clusters are left, all of them count. The threshold
is compared with the largest average affinity, never with the cost.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.clustering.dense_linkage import DenseClusters
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, IntArray
from ssahc.runtime.jit import compiled

# The largest affinities, times this weight, stay within float32.
LARGEST_WEIGHT = 1e10
# Merges per call of the compiled loop: this many plus half of the clusters.
_AT_ONCE = 4
# Above any cost.
_LARGEST = np.finfo(np.float32).max
# Above any number of clusters or windows.
_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class DiscriminativeCost:
    """lambda (`weight`) and Kc (`neighbors`) of Eq. 2, and where it takes over.

    With more than `below` clusters the nearest pair is merged, since Eq. 2 takes memory
    in proportion to the square of the number of clusters.
    """

    weight: float
    neighbors: int
    below: int = 1800


def merge_by_cost(
    clusters: DenseClusters, stop: Stop, cost: DiscriminativeCost | None
) -> MergeHistory:
    """Merge until `stop`: by plain linkage, then by the cost from `cost.below` on.

    Returns all merges, including those that `clusters` had made before.
    """
    if cost is None or cost.weight == 0:
        clusters.merge_until(stop)
        return clusters.history()
    clusters.merge_until(stop, fewest=cost.below)
    return clusters.history().followed_by(_merge_by_eq2(clusters, stop, cost))


def _merge_by_eq2(
    clusters: DenseClusters, stop: Stop, cost: DiscriminativeCost
) -> MergeHistory:
    """Return the merges of the clusters that are left."""
    slots = clusters.survivors()
    count = left = goal = len(slots)
    sums = clusters.sums[np.ix_(slots, slots)]
    sizes, ids = clusters.sizes[slots], np.arange(count)
    merges, averages = np.zeros((count, 2), np.int64), np.zeros(count, np.float32)
    fewest = stop.num_speakers or stop.min_speakers
    # The compiled loop returns now and then, to drop slots that are no longer used.
    while left == goal > fewest:
        goal = max(fewest, left // 2 - _AT_ONCE)
        left = _merge_cheapest(
            sums,
            sizes,
            ids,
            merges,
            averages,
            goal,
            np.float32(-np.inf if stop.threshold is None else stop.threshold),
            _NO_LIMIT if stop.max_speakers is None else stop.max_speakers,
            _NO_LIMIT if clusters.largest is None else clusters.largest,
            np.float32(cost.weight),
            min(cost.neighbors, count),
        )
        living = np.flatnonzero(sizes)
        sums, sizes, ids = sums[np.ix_(living, living)], sizes[living], ids[living]
    done = count - left
    return MergeHistory(count, merges[:done], averages[:done])


@compiled
def _merge_cheapest(
    sums: Float32Array,
    sizes: IntArray,
    ids: IntArray,
    merges: IntArray,
    averages: Float32Array,
    goal: int,
    threshold: np.float32,
    most: int,
    largest: int,
    weight: np.float32,
    neighbors: int,
) -> int:
    """Merge the cheapest pair repeatedly; return the number of clusters left.

    Merging goes on while more than `goal` clusters are left, and either the largest
    average is at least the threshold or more than `most` clusters are left. All arrays
    are overwritten; a union takes the slot of its first part, and the size of the other
    part becomes 0.

    All rivals of a pair are searched only if its cost may be the smallest. If only the
    clusters nearest to one of its parts may be rivals, the cost is a lower bound, which
    is mostly tight and changes only with these clusters. Rounding does not break it, as
    both costs take the same steps, and float32 addition is monotonic.
    """
    count = left = len(ids)
    nothing, infinite = np.float32(-np.inf), np.float32(np.inf)
    lengths = sizes.astype(np.float32)
    # The clusters nearest to each slot, one more than rivals, since the other part of a
    # pair may be one of them; the bounds on costs that they give to pairs with each
    # other slot. Sums with merged slots are minus infinity, their bounds infinite.
    near = np.zeros((count, neighbors + 1), np.int64)
    bounds = np.full((count, count), nothing)
    # No more than the smallest bound of each slot, no less than its largest average.
    lowest, highest = np.full(count, infinite), np.full(count, nothing)
    # Slots whose nearest clusters are not known or have merged.
    is_lost, seen = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    # What the functions below work in.
    row, rivals = np.empty(count, np.float32), np.empty((neighbors, count), np.float32)
    values = np.empty(neighbors + 1, np.float32)
    slots = np.zeros(neighbors + 1, np.int64)

    def average(p: int, q: int) -> np.float32:
        """Return the average affinity; minus infinity if the union is too large."""
        value = sums[p, q] / (lengths[p] * lengths[q])
        return value if lengths[p] + lengths[q] <= largest else nothing

    def take_largest(values: Float32Array, slots: IntArray) -> None:
        """Find the largest values of the row, by increasing value, and their slots."""
        values[:] = nothing
        for slot in range(count):
            if row[slot] > values[0]:
                place = 0
                while place + 1 < len(values) and values[place + 1] < row[slot]:
                    values[place], slots[place] = values[place + 1], slots[place + 1]
                    place += 1
                values[place], slots[place] = row[slot], slot

    def search(p: int) -> None:
        """Find the clusters that are nearest to a slot, and the bounds they give."""
        for q in range(count):
            row[q] = sums[p, q] / (lengths[p] * lengths[q])
        near[p] = p
        take_largest(values, near[p])
        # The largest affinities of each union with them, by increasing affinity; minus
        # infinity for parts of the union, as the diagonal of `sums`.
        rivals[:] = nothing
        for place in range(neighbors + 1):
            k = near[p, place]
            for q in range(count):
                size = lengths[p] + lengths[q]
                row[q] = (sums[p, k] + sums[k, q]) / (size * lengths[k])
            for rank in range(neighbors - 1, -1, -1):
                for q in range(count):
                    one, other = rivals[rank, q], row[q]
                    rivals[rank, q] = other if other > one else one
                    row[q] = one if other > one else other
        row[:] = 0
        for rank in range(neighbors):
            for q in range(count):
                rival = rivals[rank, q]
                row[q] += rival if rival > nothing else np.float32(0)
        lowest[p], highest[p] = infinite, nothing
        for q in range(count):
            bounds[p, q] = weight * row[q] - average(p, q)
            bound = max(bounds[p, q], bounds[q, p])
            lowest[p], lowest[q] = min(lowest[p], bound), min(lowest[q], bound)
            highest[p] = max(highest[p], average(p, q))

    def cost(p: int, q: int) -> np.float32:
        """Return the cost of a pair, Eq. 2."""
        for k in range(count):
            size = lengths[p] + lengths[q]
            row[k] = (sums[p, k] + sums[q, k]) / (size * lengths[k])
        nearest = values[:neighbors]
        take_largest(nearest, slots)
        penalty = np.float32(0)
        for affinity in nearest:
            penalty += affinity if affinity > nothing else np.float32(0)
        return weight * penalty - average(p, q)

    while True:
        for p in range(count):
            if is_lost[p]:
                search(p)
        best = infinite
        p = int(highest.argmax())
        while best != highest[p]:
            best = nothing
            for q in range(count):
                best = max(best, average(p, q))
            highest[p] = best
            p = int(highest.argmax())
        if left <= goal or best == nothing or (best < threshold and left <= most):
            return left
        # The lowest bound comes first, since its cost excludes most other pairs.
        cheapest, low, high = _LARGEST, -1, -1
        seen[:] = False
        for turn in range(-1, count):
            p = turn if turn >= 0 else int(lowest.argmin())
            if seen[p] or lowest[p] > cheapest:
                continue
            seen[p] = True
            lowest[p] = infinite
            for q in range(count):
                bound = max(bounds[p, q], bounds[q, p])
                lowest[p] = min(lowest[p], bound)
                if seen[q] or bound > cheapest:
                    continue
                # Among equal costs the smallest ids win, as in Kaldi.
                i, j = (p, q) if ids[p] < ids[q] else (q, p)
                is_later = (ids[i], ids[j]) > (ids[low], ids[high])
                if bound == cheapest and is_later:
                    continue
                value = cost(p, q)
                if value < cheapest or (value == cheapest and not is_later):
                    cheapest, low, high = value, i, j
        done = len(merges) - left
        # Value by value: numba takes seconds to compile the assignment of a row.
        merges[done, 0], merges[done, 1] = ids[low], ids[high]
        averages[done] = best
        left -= 1
        ids[low] = len(merges) + done
        sizes[low] += sizes[high]
        sizes[high] = 0
        lengths[low] += lengths[high]
        for q in range(count):
            sums[low, q] += sums[high, q]
            sums[q, low] = sums[low, q]
            bounds[high, q] = infinite
        for q in range(count):
            sums[high, q] = sums[q, high] = bounds[q, low] = nothing
        lowest[high], highest[high] = infinite, nothing
        for p in range(count):
            highest[p] = max(highest[p], average(p, low))
            is_lost[p] = p == low
            for k in near[p]:
                is_lost[p] |= k == low or k == high
        is_lost[high] = False
