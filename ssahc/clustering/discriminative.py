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
# Merges per call of the compiled loop: this many plus an eighth of the clusters.
_AT_ONCE = 10
# Bounds have room for rounding errors of this share of them.
_ROUNDING = 1e-5
# Above any number of clusters or windows.
_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class DiscriminativeCost:
    """lambda (`weight`) and Kc (`neighbors`) of Eq. 2, and where it takes over.

    With more than `below` clusters the nearest pair is merged: Eq. 2 takes memory in
    proportion to the square of the number of clusters, and time to its cube.
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
    # A compiled loop cannot be interrupted (Ctrl-C), so it returns now and then.
    while left == goal > fewest:
        goal = max(fewest, left - left // 8 - _AT_ONCE)
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
            cost.weight,
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
    weight: float,
    neighbors: int,
) -> int:
    """Merge the cheapest pair repeatedly; return the number of clusters left.

    Merging goes on while more than `goal` clusters are left, and either the largest
    average is at least the threshold or more than `most` clusters are left. All arrays
    are overwritten; a union takes the slot of its first part, and the size of the other
    part becomes 0.

    Rivals are searched only for pairs whose cost may be the smallest: the nearest rival
    is at least as near as a near neighbour of either part, and no rival is farther than
    the smallest average affinity of all pairs.
    """
    count = left = len(ids)
    nothing = np.float32(-np.inf)
    between, smallest = np.full((count, count), nothing), 0.0
    for p in range(count):
        for q in range(count):
            if p != q:
                average = sums[p, q] / np.float32(sizes[p] * sizes[q])
                smallest = min(smallest, average)
                if sizes[p] + sizes[q] <= largest:
                    between[p, q] = average
    # What all rivals, and all but the nearest, add to a cost at least.
    rest = weight * (neighbors - 1) * smallest
    least = weight * neighbors * smallest
    lengths = sizes.astype(np.float32)
    # A near neighbour of each cluster: the nearest of those that were looked at.
    near, nearest = np.zeros(count, np.int64), np.full(count, nothing)
    rivals = np.empty(neighbors, np.float32)
    while True:
        best, cheapest, low, high, cut = nothing, np.inf, -1, -1, -np.inf
        for p in range(count):
            for q in range(p + 1, count if sizes[p] > 0 else 0):
                average = between[p, q]
                best = max(best, average)
                if average <= cut:
                    continue
                if average > nearest[p]:
                    nearest[p], near[p] = average, q
                if average > nearest[q]:
                    nearest[q], near[q] = average, p
                # Two clusters that may be rivals make most pairs too expensive,
                size = lengths[p] + lengths[q]
                limit = cheapest + average - rest
                limit = (limit + _ROUNDING * abs(limit)) * size
                one, other = near[p], near[q]
                if weight * (sums[p, one] + sums[q, one]) > limit * lengths[one]:
                    continue
                if weight * (sums[p, other] + sums[q, other]) > limit * lengths[other]:
                    continue
                # or as expensive. Among these the smallest ids win, as in Kaldi.
                i, j = (p, q) if ids[p] < ids[q] else (q, p)
                is_later = (ids[i], ids[j]) > (ids[low], ids[high])
                affinity = (sums[p, one] + sums[q, one]) / lengths[one]
                bound = weight * (affinity / size) + rest - average
                if bound == cheapest and is_later:
                    continue
                rivals[:] = nothing
                for other in range(count):
                    # Minus infinity for p and q, as the diagonal of `sums`.
                    affinity = sums[p, other] + sums[q, other]
                    if affinity > rivals[0] * lengths[other]:
                        affinity /= lengths[other]
                        k = 0
                        while k + 1 < neighbors and rivals[k + 1] < affinity:
                            rivals[k] = rivals[k + 1]
                            k += 1
                        rivals[k] = affinity
                penalty = np.float32(0)
                for affinity in rivals:
                    if affinity > nothing:
                        penalty += affinity
                penalty /= size
                cost = weight * penalty - average  # Eq. 2
                if cost < cheapest or (cost == cheapest and not is_later):
                    cheapest, low, high = cost, i, j
                    cut = least - cheapest
                    cut -= _ROUNDING * abs(cut)
        if left <= goal or best == nothing or (best < threshold and left <= most):
            return left
        done = len(merges) - left
        merges[done] = ids[low], ids[high]
        averages[done] = best
        ids[low] = len(merges) + done
        sizes[low] += sizes[high]
        sizes[high] = 0
        lengths[low] += lengths[high]
        between[:, high] = between[high] = nothing
        left -= 1
        for p in range(count):
            if sizes[p] > 0 and p != low:
                union = sums[low, p] + sums[high, p]
                sums[low, p] = sums[p, low] = union
                average = nothing
                if sizes[low] + sizes[p] <= largest:
                    average = union / np.float32(sizes[low] * sizes[p])
                between[low, p] = between[p, low] = average
            if near[p] == low or near[p] == high:
                near[p], nearest[p] = low, nothing
        near[low], nearest[low] = 0, nothing
        sums[:, high] = sums[high] = nothing
