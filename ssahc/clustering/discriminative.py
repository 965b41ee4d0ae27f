"""Merging by the discriminative cost, Eq. 2 of Singh & Ganapathy (Interspeech 2020).

The pair (i, j) with the smallest ``-A(C_i, C_j) + lambda sum_k A(C_i u C_j, C_k)`` is
merged, where A is the average affinity of two clusters and k runs over the Kc clusters
nearest to the union, excluding i and j. All pairs and all neighbours are considered; if
fewer than Kc other clusters are left, all of them count. The threshold is compared with
the largest average affinity, never with the cost.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.clustering.dense_linkage import DenseClusters
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, IntArray

# Number of affinities that are held at once in the search for rivals.
_BLOCK = 1 << 20
# The largest affinities, times this weight, stay within float32.
LARGEST_WEIGHT = 1e10


@dataclass(frozen=True)
class DiscriminativeCost:
    """lambda (`weight`) and Kc (`neighbors`) of Eq. 2, and where it takes over.

    From `below` clusters on merges follow Eq. 2 (N0 of the paper).
    """

    weight: float
    neighbors: int
    below: int


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
    return _merge_by_eq2(clusters, stop, cost)


def _merge_by_eq2(
    clusters: DenseClusters, stop: Stop, cost: DiscriminativeCost
) -> MergeHistory:
    # Rows are clusters by increasing id, so that the first minimum of the upper
    # triangle is the pair that Kaldi's tie-breaking rule picks.
    slots = clusters.survivors()
    sums = clusters.sums[np.ix_(slots, slots)]
    sizes, ids = clusters.sizes[slots], clusters.ids[slots]
    before = clusters.history()
    merges, averages = before.merges.tolist(), before.averages.tolist()
    rivals = _Rivals(len(ids), cost.neighbors)
    while len(ids) > 1:
        affinity = sums / np.outer(sizes, sizes).astype(np.float32)
        if clusters.largest is not None:
            affinity[sizes[:, None] + sizes > clusters.largest] = -np.inf
        best = affinity.max()
        if not stop.allows_merge(len(ids), best):
            break
        penalty = rivals.penalties(sums, sizes)
        criterion = -affinity + np.float32(cost.weight) * penalty  # Eq. 2
        criterion[np.tril_indices(len(ids))] = np.inf
        i, j = divmod(int(criterion.argmin()), len(ids))
        merges.append([int(ids[i]), int(ids[j])])
        averages.append(best)
        rivals.merge(sums, sizes, i, j)
        sums = _replace(sums, i, j, sums[i] + sums[j], -np.inf)
        sizes = np.append(np.delete(sizes, [i, j]), sizes[i] + sizes[j])
        ids = np.append(np.delete(ids, [i, j]), before.num_leaves + len(merges) - 1)
    return MergeHistory(
        before.num_leaves,
        np.array(merges, np.int64).reshape(-1, 2),
        np.array(averages, np.float32),
    )


class _Rivals:
    """The rivals of each pair of clusters: the Kc clusters nearest to its union.

    Rivals of a pair are searched again only if one of them was merged. This is exact:
    the affinity to a merged cluster is a mean of those to its two parts, so a merge of
    two non-rivals does not make a rival.
    """

    def __init__(self, count: int, neighbors: int) -> None:
        self.neighbors = neighbors
        # Affinity of the farthest rival of each pair; NaN if rivals are not known.
        self.farthest = np.full((count, count), np.nan, np.float32)
        self.penalty = self.farthest.copy()

    def penalties(self, sums: Float32Array, sizes: IntArray) -> Float32Array:
        """Return the sum over k in Eq. 2 for each pair (upper triangle)."""
        count = len(sums)
        known = min(self.neighbors, count)
        first, second = np.nonzero(np.triu(np.isnan(self.farthest), 1))
        step = _BLOCK // count + 1
        for begin in range(0, len(first), step):
            i, j = first[begin : begin + step], second[begin : begin + step]
            # The pair's own columns are minus infinity, like the diagonal of `sums`.
            affinity = _union_affinities(sums, sizes, i, j)
            rivals = np.partition(affinity, count - known, axis=1)[:, count - known :]
            self.farthest[i, j] = rivals.min(axis=1)
            self.penalty[i, j] = np.where(rivals > -np.inf, rivals, 0).sum(axis=1)
        return self.penalty

    def merge(self, sums: Float32Array, sizes: IntArray, i: int, j: int) -> None:
        """Merge i and j into the last row; forget the pairs that had them as rivals."""
        count = len(sums)
        for merged in (i, j):
            near = (sums[:, merged, None] + sums[:, merged]) / (
                (sizes[:, None] + sizes) * sizes[merged]
            ).astype(np.float32)
            self.farthest[near >= self.farthest] = np.nan
        unknown = np.full(count, np.nan, np.float32)
        self.farthest = _replace(self.farthest, i, j, unknown, np.nan)
        self.penalty = _replace(self.penalty, i, j, unknown, np.nan)


def _union_affinities(
    sums: Float32Array, sizes: IntArray, i: IntArray, j: IntArray
) -> Float32Array:
    """Return the average affinity of the unions of P pairs to all K clusters."""
    products = ((sizes[i] + sizes[j])[:, None] * sizes).astype(np.float32)
    averages: Float32Array = (sums[i] + sums[j]) / products
    return averages


def _replace(
    matrix: Float32Array, i: int, j: int, row: Float32Array, corner: float
) -> Float32Array:
    """Remove rows and columns i and j, and append `row` as the last of both."""
    kept = np.delete(np.arange(len(matrix)), [i, j])
    matrix = np.pad(matrix[np.ix_(kept, kept)], (0, 1), constant_values=corner)
    matrix[-1, :-1] = matrix[:-1, -1] = row[kept]
    return matrix
