"""Merging by the discriminative cost of Singh & Ganapathy (Interspeech 2020), Eq. 2.

The pair (i, j) with the smallest ``-A(C_i, C_j) + lambda sum_k A(C_i u C_j, C_k)`` is
merged, where A is the average affinity of two clusters and k runs over the Kc clusters
nearest to the union, other than i and j themselves. All pairs and all neighbours are
looked at; where fewer than Kc others are left, those count. The threshold is compared
with the largest average affinity, never with the cost.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.clustering.dense_linkage import Clusters
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, IntArray

# Affinities that are held at once while rivals are looked for.
_BLOCK = 1 << 20
# The largest affinities, times this weight, stay within float32.
LARGEST_WEIGHT = 1e10


@dataclass(frozen=True)
class DiscriminativeCost:
    """When and how Eq. 2 decides.

    Parameters
    ----------
    weight : float
        lambda of Eq. 2.
    neighbors : int
        Kc of Eq. 2.
    below : int
        Merges that start from more clusters than this are plain (N0 of the paper).
    """

    weight: float
    neighbors: int
    below: int


def merge_discriminatively(
    clusters: Clusters, stop: Stop, cost: DiscriminativeCost
) -> MergeHistory:
    """Merge what plain merging has left, by Eq. 2, until `stop`.

    Parameters
    ----------
    clusters : Clusters
        Left as they are.
    stop : Stop
    cost : DiscriminativeCost

    Returns
    -------
    MergeHistory
        Of all merges, those made before included.
    """
    # Rows are clusters by increasing id, so that the first minimum of the upper
    # triangle is the pair that Kaldi's rule for ties picks.
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
        if not stop.goes_on(len(ids), best):
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
    """The Kc clusters nearest to the union of every pair of clusters.

    A pair is looked at again only if one of its rivals was merged. That is exact: the
    affinity of a union to a merged cluster is a mean of those to its two parts, so what
    was not near before is not near afterwards.
    """

    def __init__(self, count: int, neighbors: int) -> None:
        self.neighbors = neighbors
        # Affinity of the farthest rival of each pair; NaN where rivals are not known.
        self.farthest = np.full((count, count), np.nan, np.float32)
        self.penalty = self.farthest.copy()

    def penalties(self, sums: Float32Array, sizes: IntArray) -> Float32Array:
        """Return the sum of the affinities of each pair's rivals (upper triangle)."""
        count = len(sums)
        known = min(self.neighbors, count)
        first, second = np.nonzero(np.triu(np.isnan(self.farthest), 1))
        for pairs in _blocks(len(first), _BLOCK // count + 1):
            i, j = first[pairs], second[pairs]
            # The pair's own columns are minus infinity, as the diagonal of `sums` is.
            affinity = _union_affinities(sums, sizes, i, j)
            rivals = np.partition(affinity, count - known, axis=1)[:, count - known :]
            self.farthest[i, j] = rivals.min(axis=1)
            self.penalty[i, j] = np.where(rivals > -np.inf, rivals, 0).sum(axis=1)
        return self.penalty

    def merge(self, sums: Float32Array, sizes: IntArray, i: int, j: int) -> None:
        """Forget the pairs that had i or j as a rival; i and j become one, the last."""
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
    """Take out rows and columns i and j, and put `row` in as the last of both."""
    kept = np.delete(np.arange(len(matrix)), [i, j])
    matrix = np.pad(matrix[np.ix_(kept, kept)], (0, 1), constant_values=corner)
    matrix[-1, :-1] = matrix[:-1, -1] = row[kept]
    return matrix


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(begin, begin + size) for begin in range(0, count, size)]
