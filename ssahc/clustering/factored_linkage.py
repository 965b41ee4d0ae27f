"""Average linkage of a factored affinity, exact and without its N x N matrix.

The average affinity of two clusters follows from the means of their features and
biases, so that N rows are all that is kept, and a matrix product gives averages.
Average linkage is reducible: the average affinity to a union is never above the larger
of those to its parts. So two clusters that are each other's nearest will be merged,
whatever is merged before, and all such pairs are merged at once, round by round; a
cluster whose nearest was not merged keeps it. At the end the merges are put in order.
"""

import numpy as np

from ssahc.backend.affinity import FactoredAffinity
from ssahc.clustering.merge_history import MergeHistory
from ssahc.core.errors import DataError
from ssahc.core.types import LARGEST_AFFINITY, Float32Array, FloatArray, IntArray

_Means = FloatArray | Float32Array

# Averages that are held at once: 1024 rows by 256 columns stay in a core's cache.
_ROWS, _TILE = 1024, 256
# Of the clusters without a nearest one, the best half is searched in a round: what is
# far from all others would only lose its nearest again. Where few are merged in a
# round, few are searched, so that N rounds of one merge stay quadratic.
_SHARE, _PER_MERGE, _FEWEST = 0.5, 8, 256


def merge_factored(
    affinity: FactoredAffinity, *, start: IntArray | None = None
) -> MergeHistory:
    """Merge the two nearest clusters until one is left, in O(N d) memory.

    Parameters
    ----------
    affinity : FactoredAffinity
    start : (N,) int array, optional
        Clusters 0..K-1 to go on from; single windows if not given.

    Returns
    -------
    MergeHistory
        Of the windows, or of the K clusters of `start`: that of the dense matrix, but
        for what its float32 sums round. Equal averages are merged in Kaldi's order,
        except that of more than two windows equally near those next to each other are
        merged first.

    Raises
    ------
    DataError
        If an affinity is not finite, or too large to be summed.
    """
    if start is None:
        clusters = _LiveClusters(affinity, np.ones(len(affinity), np.int64))
    else:
        clusters = _LiveClusters(*group(affinity, start))
    return clusters.merge_all().by_average()


def group(
    affinity: FactoredAffinity, labels: IntArray
) -> tuple[FactoredAffinity, IntArray]:
    """Return the average affinities between clusters, and the clusters' sizes.

    Parameters
    ----------
    affinity : FactoredAffinity
    labels : (N,) int array
        0..K-1, all of them there.

    Returns
    -------
    FactoredAffinity
        Of the K clusters. Its diagonal has no meaning.
    (K,) int array
    """
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    begins = np.cumsum(sizes) - sizes
    features = np.add.reduceat(affinity.features[order], begins) / sizes[:, None]
    bias = np.add.reduceat(affinity.bias[order], begins) / sizes
    return FactoredAffinity(features, bias, affinity.constant), sizes


class _LiveClusters:
    """The clusters that are left, one row each in arrays without gaps."""

    def __init__(self, affinity: FactoredAffinity, sizes: IntArray) -> None:
        # How far an average may be off: in float64 by what rounding has left of the
        # affinity as it was given, in float32 by the search's own rounding.
        given = _scale(affinity) + abs(affinity.constant)
        if not given < LARGEST_AFFINITY:
            raise DataError(
                "affinities hold NaN, infinity or a value beyond "
                f"{LARGEST_AFFINITY:g}; compute them again"
            )
        affinity = affinity.centered()
        terms = affinity.features.shape[1] + 4
        self.slack = float(np.finfo(np.float64).eps) * terms * given
        self.narrow_slack = float(np.finfo(np.float32).eps) * terms * _scale(affinity)
        # A cluster's mean features, then its mean bias.
        self.means = np.column_stack([affinity.features, affinity.bias])
        self.constant = affinity.constant
        self.narrow = self.means.astype(np.float32)
        count = len(sizes)
        self.sizes, self.ids = sizes.astype(np.float64), np.arange(count)
        # The nearest cluster, -1 where it must be searched; the average affinity to
        # it; and what no average affinity to any other exceeds.
        self.nearest = np.full(count, -1)
        self.best, self.bound = np.full(count, np.inf), np.full(count, np.inf)

    def merge_all(self) -> MergeHistory:
        """Merge until one cluster is left; merges are in no order but parts first."""
        from threadpoolctl import threadpool_limits

        count = made = len(self.ids)
        merges, averages = [np.empty((0, 2), np.int64)], [np.empty(0)]
        # Products of one tile are too small to be shared: on two busy cores two
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
        """Find the nearest of those that have none, the most promising ones first."""
        rows = np.flatnonzero(self.nearest < 0)
        most = max(min(int(_SHARE * len(rows)), most), _FEWEST)
        if len(rows) > most:
            promising = np.argpartition(-self.bound[rows], most)[:most]
            rows = np.sort(rows[promising])
        # In float32 first, which is twice as fast, to know where the nearest must be.
        # Where another tile could hold it as well, float64 decides.
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
                # Of equal averages that of a row's own tile counts, so that of many
                # equal windows not all choose the same one.
                needed = best + slack
                needed[own] -= 2 * slack
                better = largest > needed
                second = np.maximum(second, np.where(better, best, largest))
                best = np.where(better, largest, best)
                best_tile[block][better] = tile
            others[block] = second + slack
        return best_tile, others

    def _settle(self, rows: IntArray, tile: IntArray, others: FloatArray) -> None:
        """Find the nearest of each row within a tile, in float64."""
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
                # The exclusive or is one number for both of a pair, so that no circle
                # of equal pairs arises, and many of them are reciprocal.
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
        """Return average affinities of rows to a tile, and the rows that are in it.

        Their affinities to themselves are minus infinity.
        """
        begin, end = tile * _TILE, min((tile + 1) * _TILE, len(means))
        averages: _Means = left @ means[begin:end].T
        own = slice(*np.searchsorted(rows, (begin, end)))
        averages[np.arange(own.start, own.stop), rows[own] - begin] = -np.inf
        return averages, own

    def _reciprocal(self) -> tuple[IntArray, IntArray]:
        """Return the pairs of clusters that are each other's nearest."""
        each = np.arange(len(self.ids))
        mutual = (self.nearest > each) & (self.nearest[self.nearest] == each)
        low = np.flatnonzero(mutual)
        if len(low) == 0 and (self.nearest >= 0).all():
            # Rounding has closed a circle of equal averages: any of them will do.
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
        """Keep the union as nearest where its average is above all others' bound."""
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
    """Return what no product or bias exceeds."""
    lengths = np.einsum("ij,ij->i", affinity.features, affinity.features)
    return float(lengths.max() + np.abs(affinity.bias).max())


def _left(means: _Means, rows: IntArray) -> _Means:
    """Return rows whose product with others adds the others' bias."""
    left = means[rows]
    left[:, -1] = 1
    return left
