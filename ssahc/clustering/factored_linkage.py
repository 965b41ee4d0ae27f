"""Exact average linkage of a factored affinity, without its N x N matrix.

The average affinity of two clusters follows from the means of their features and
biases, so only N rows are stored, and averages are matrix products. Average linkage is
reducible: the average affinity to a union never exceeds the larger of those to its
parts. Two clusters that are each other's nearest neighbour (reciprocal nearest
neighbours) are therefore merged sooner or later, whatever is merged before. Each round
merges all such pairs; a cluster whose nearest neighbour was not merged keeps it. At the
end the merges are sorted by average.
"""

import numpy as np

from ssahc.backend.affinity import FactoredAffinity, check_range
from ssahc.clustering.merge_history import MergeHistory
from ssahc.core.types import Float32Array, FloatArray, IntArray

_Means = FloatArray | Float32Array

# Averages are computed in tiles of 1024 rows by 256 columns, which fit a core's cache.
_ROWS, _TILE = 1024, 256
# Each round searches the nearest neighbour of the most promising half of the clusters
# without one: a cluster far from all others would only lose its neighbour again. Where
# a round merges few pairs, few are searched, so that N such rounds stay quadratic.
_SHARE, _PER_MERGE, _FEWEST = 0.5, 8, 256


def merge_factored(
    affinity: FactoredAffinity, *, start: IntArray | None = None
) -> MergeHistory:
    """Merge the nearest clusters until one is left, in O(N d) memory.

    The history is that of the windows, or of the K clusters of `start` (N,): as on the
    dense matrix, except for the rounding of its float32 sums. Ties are broken as in
    Kaldi, except that among more than two equally near windows adjacent ones are merged
    first.
    """
    if start is None:
        clusters = _FactoredClusters(affinity, np.ones(len(affinity), np.int64))
    else:
        clusters = _FactoredClusters(*group(affinity, start))
    return clusters.merge_all().by_average()


def group(
    affinity: FactoredAffinity, labels: IntArray
) -> tuple[FactoredAffinity, IntArray]:
    """Return the average affinities between clusters 0..K-1, and their sizes (K,).

    The diagonal of these affinities has no meaning.
    """
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    begins = np.cumsum(sizes) - sizes
    features = np.add.reduceat(affinity.features[order], begins) / sizes[:, None]
    bias = np.add.reduceat(affinity.bias[order], begins) / sizes
    return FactoredAffinity(features, bias, affinity.constant), sizes


class _FactoredClusters:
    """The remaining clusters, one row each in arrays without gaps."""

    def __init__(self, affinity: FactoredAffinity, sizes: IntArray) -> None:
        # Bounds on the rounding error of an average: in float64 of the affinity as
        # given, in float32 of the centred one.
        given = _scale(affinity) + abs(affinity.constant)
        check_range(given, "affinities")
        affinity = affinity.centered()
        terms = affinity.features.shape[1] + 4
        self.slack = float(np.finfo(np.float64).eps) * terms * given
        self.narrow_slack = float(np.finfo(np.float32).eps) * terms * _scale(affinity)
        # Mean features of each cluster, then its mean bias.
        self.means = np.column_stack([affinity.features, affinity.bias])
        self.constant = affinity.constant
        self.narrow = self.means.astype(np.float32)
        count = len(sizes)
        self.sizes, self.ids = sizes.astype(np.float64), np.arange(count)
        # The nearest cluster, or -1 if not known; the average affinity to it; an upper
        # bound on the average affinity to all others.
        self.nearest = np.full(count, -1)
        self.best, self.bound = np.full(count, np.inf), np.full(count, np.inf)

    def merge_all(self) -> MergeHistory:
        """Merge until one cluster is left; parts come before their union."""
        from threadpoolctl import threadpool_limits

        count = made = len(self.ids)
        merges, averages = [np.empty((0, 2), np.int64)], [np.empty(0)]
        # The product of one tile is too small for threads: on two busy cores, two
        # threads took five times as long as one.
        with threadpool_limits(1, "blas"):
            while len(self.ids) > 1:
                self._search(max(_PER_MERGE * made, _FEWEST))
                low, high = self._reciprocal()
                made = len(low)
                merges.append(np.column_stack([self.ids[low], self.ids[high]]))
                averages.append(self.best[low])
                self._merge(low, high, 2 * count - len(self.ids))
        return MergeHistory(
            count, np.concatenate(merges), np.concatenate(averages).astype(np.float32)
        )

    def _search(self, most: int) -> None:
        """Find the nearest neighbours of up to `most` clusters without one."""
        rows = np.flatnonzero(self.nearest < 0)
        most = max(min(int(_SHARE * len(rows)), most), _FEWEST)
        if len(rows) > most:
            promising = np.argpartition(-self.bound[rows], most)[:most]
            rows = np.sort(rows[promising])
        # Scan in float32, which is twice as fast, for the tile with the nearest
        # neighbour; scan again in float64 if another tile could have it.
        tile, others = self._scan(rows, self.narrow, self.narrow_slack)
        self._settle(rows, tile, others)
        shift = self.means[rows, -1] + self.constant
        doubtful = rows[others + shift >= self.best[rows]]
        self._settle(doubtful, *self._scan(doubtful, self.means, self.slack))

    def _scan(
        self, rows: IntArray, means: _Means, slack: float
    ) -> tuple[IntArray, FloatArray]:
        """Return the tile with the nearest of each row, and a bound on all others.

        Averages are without the row's own bias and the constant.
        """
        tiles = -(-len(means) // _TILE)
        best_tile = np.zeros(len(rows), np.int64)
        others = np.full(len(rows), -np.inf)
        if tiles == 1:
            return best_tile, others
        for begin in range(0, len(rows), _ROWS):
            block = slice(begin, begin + _ROWS)
            some = rows[block]
            left, each = _left(means, some), np.arange(len(some))
            best = np.full(len(some), -np.inf, means.dtype)
            second = best.copy()
            for tile in range(tiles):
                averages, own = self._averages(left, some, means, tile)
                largest = averages[each, averages.argmax(axis=1)]
                # Ties go to the row's own tile, so that many equal windows do not all
                # choose the same neighbour.
                needed = best + slack
                needed[own] -= 2 * slack
                better = largest > needed
                second = np.maximum(second, np.where(better, best, largest))
                best = np.where(better, largest, best)
                best_tile[block][better] = tile
            others[block] = second + slack
        return best_tile, others

    def _settle(self, rows: IntArray, tile: IntArray, others: FloatArray) -> None:
        """Find the nearest neighbour of each row within its tile, in float64."""
        order = np.argsort(tile, kind="stable")
        borders = np.flatnonzero(np.diff(tile[order], prepend=-1))
        for members in np.split(order, borders[1:]) if len(order) else []:
            some, first = rows[members], int(tile[members[0]])
            left = _left(self.means, some)
            averages, _ = self._averages(left, some, self.means, first)
            each = np.arange(len(some))
            column = averages.argmax(axis=1)
            best = averages[each, column]
            averages[each, column] = -np.inf
            second = averages.max(axis=1)
            for row in np.flatnonzero(second >= best - self.slack).tolist():
                averages[row, column[row]] = best[row]
                equal = np.flatnonzero(averages[row] >= best[row] - self.slack)
                # The exclusive or is symmetric, so that tied pairs form no cycle and
                # many of them are reciprocal.
                column[row] = equal[np.argmin(some[row] ^ (equal + first * _TILE))]
            shift = self.means[some, -1] + self.constant
            self.nearest[some] = column + first * _TILE
            self.best[some] = best + shift
            self.bound[some] = np.maximum(second, others[members]) + shift

    def _averages(
        self,
        left: _Means,
        rows: IntArray,
        means: _Means,
        tile: int,
    ) -> tuple[_Means, slice]:
        """Return the average affinities of rows to a tile, and the rows within it.

        Affinities of clusters to themselves are minus infinity.
        """
        begin, end = tile * _TILE, min((tile + 1) * _TILE, len(means))
        averages: _Means = left @ means[begin:end].T
        own = slice(*np.searchsorted(rows, (begin, end)))
        averages[np.arange(own.start, own.stop), rows[own] - begin] = -np.inf
        return averages, own

    def _reciprocal(self) -> tuple[IntArray, IntArray]:
        """Return the pairs of reciprocal nearest neighbours."""
        each = np.arange(len(self.ids))
        mutual = (self.nearest > each) & (self.nearest[self.nearest] == each)
        low = np.flatnonzero(mutual)
        if len(low) == 0 and (self.nearest >= 0).all():
            # Rounding made a cycle of equal averages: take any of them.
            best = self.best.argmax()
            low = np.minimum(best, self.nearest[[best]])
            self.nearest[low] = np.maximum(best, self.nearest[best])
        return low, self.nearest[low]

    def _merge(self, low: IntArray, high: IntArray, first_id: int) -> None:
        """Merge P pairs of rows; `first_id` is the id of the first union."""
        sizes = self.sizes[low] + self.sizes[high]
        share = (self.sizes[high] / sizes)[:, None]
        self.means[low] += (self.means[high] - self.means[low]) * share
        self.narrow[low] = self.means[low]
        self.sizes[low], self.ids[low] = sizes, first_id + np.arange(len(low))
        self.bound[low] = np.maximum(self.bound[low], self.bound[high])
        self.nearest[low] = self.nearest[high] = -1
        self._update_neighbors(low, high)
        self._remove(high)

    def _update_neighbors(self, low: IntArray, high: IntArray) -> None:
        """Replace merged neighbours by their union where it must be the nearest."""
        union = np.full(len(self.ids), -1)
        union[low] = union[high] = low
        lost = np.flatnonzero((self.nearest >= 0) & (union[self.nearest] >= 0))
        new = union[self.nearest[lost]]
        products = self.means[lost] * self.means[new]
        average = products[:, :-1].sum(axis=1) + self.constant
        average += self.means[lost, -1] + self.means[new, -1]
        kept = average > self.bound[lost] + self.slack
        self.nearest[lost] = np.where(kept, new, -1)
        self.best[lost] = average

    def _remove(self, gone: IntArray) -> None:
        """Fill the gaps of removed rows with the last rows."""
        left = len(self.ids) - len(gone)
        stays = np.ones(len(self.ids), bool)
        stays[gone] = False
        gaps, last = gone[gone < left], left + np.flatnonzero(stays[left:])
        place = np.arange(len(self.ids))
        place[last] = gaps
        self.nearest = np.where(self.nearest >= 0, place[self.nearest], -1)
        for name in ("means", "narrow", "sizes", "ids", "nearest", "best", "bound"):
            rows = getattr(self, name)
            rows[gaps] = rows[last]
            setattr(self, name, rows[:left])


def _scale(affinity: FactoredAffinity) -> float:
    """Return an upper bound on all products plus biases."""
    lengths = np.einsum("ij,ij->i", affinity.features, affinity.features)
    return float(lengths.max() + np.abs(affinity.bias).max())


def _left(means: _Means, rows: IntArray) -> _Means:
    """Return rows with bias 1, whose product with others adds the others' bias."""
    left = means[rows]
    left[:, -1] = 1
    return left
