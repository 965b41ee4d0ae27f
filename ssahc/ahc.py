"""Agglomerative hierarchical clustering with average linkage, as Kaldi does it.

The pair of clusters with the largest average affinity is merged while that average is
at or above the threshold and clusters may still be merged. Ids are Kaldi's: windows
0..N-1, merged clusters N, N+1, ...; among equal averages the pair with the smallest low
id wins, then the smallest high id. All arithmetic is float32 on sums of affinities, in
the order of ``agglomerative-cluster``, so labels are equal to Kaldi's bit by bit.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.errors import DataError, UsageError
from ssahc.types import Float32Array, FloatArray, IntArray

# The sum of all affinities of a recording must stay within float32.
_LARGEST_AFFINITY = 1e25


@dataclass(frozen=True)
class Stop:
    """When merging stops.

    Exactly one of `num_speakers` and `threshold` is set.

    Parameters
    ----------
    num_speakers : int, optional
        Known number of speakers; more than there are windows means one each.
    threshold : float, optional
        Merge while the best average affinity is at or above it.
    min_speakers, max_speakers : int, optional
        Bounds on what the threshold decides.
    """

    num_speakers: int | None = None
    threshold: float | None = None
    min_speakers: int = 1
    max_speakers: int | None = None

    def __post_init__(self) -> None:
        if (self.num_speakers is None) == (self.threshold is None):
            raise UsageError(
                "give either a number of speakers or a threshold, not "
                + ("both" if self.threshold is not None else "neither")
            )
        if self.num_speakers is not None and self.num_speakers < 1:
            raise UsageError(
                f"the number of speakers must be 1 or more, found {self.num_speakers}"
            )
        if self.threshold is not None and np.isnan(self.threshold):
            raise UsageError("the threshold is NaN")
        if self.num_speakers is not None and (
            self.min_speakers != 1 or self.max_speakers is not None
        ):
            raise UsageError(
                "bounds on the number of speakers have no place beside an exact number"
            )
        most = self.min_speakers if self.max_speakers is None else self.max_speakers
        if not 1 <= self.min_speakers <= most:
            raise UsageError(
                "bounds on the number of speakers must satisfy 1 <= min <= max, found "
                f"min {self.min_speakers} and max {self.max_speakers}"
            )


@dataclass(frozen=True)
class AhcOptions:
    """Kaldi's further options of ``agglomerative-cluster``.

    Parameters
    ----------
    max_spk_fraction : float
        No cluster grows beyond this share of the windows. As in Kaldi it acts only
        with a known number of speakers, and only from 1 / number on.
    first_pass_max_utterances : int
        Longer recordings are clustered in pieces first, then the pieces' clusters.
    """

    max_spk_fraction: float = 1.0
    first_pass_max_utterances: int = 32767

    def __post_init__(self) -> None:
        if self.first_pass_max_utterances < 1:
            raise UsageError(
                "first-pass-max-utterances must be 1 or more, found "
                f"{self.first_pass_max_utterances}"
            )
        if not self.max_spk_fraction > 0:
            raise UsageError(
                f"max-spk-fraction must be positive, found {self.max_spk_fraction:g}"
            )


@dataclass(frozen=True, eq=False)
class MergeHistory:
    """Every merge from single windows to one cluster; cut it as often as needed.

    Parameters
    ----------
    num_windows : int
    merges : (M, 2) array
        Ids of the merged clusters, the smaller first.
    averages : (M,) float32 array
        Average affinity of the two clusters when they were merged.
    """

    num_windows: int
    merges: IntArray
    averages: Float32Array

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels at a stop.

        Parameters
        ----------
        stop : Stop

        Returns
        -------
        (N,) int array
            As `labels`.
        """
        until = self.merges_until(stop)
        merges, averages = self.merges[:until], self.averages[:until]
        return MergeHistory(self.num_windows, merges, averages).labels()

    def labels(self) -> IntArray:
        """Return the labels after all merges.

        Returns
        -------
        (N,) int array
            0..K-1 in Kaldi's order: by increasing cluster id.
        """
        cluster = np.arange(self.num_windows + len(self.merges))
        parents = np.arange(len(self.merges)) + self.num_windows
        cluster[self.merges.ravel()] = np.repeat(parents, 2)
        # A parent's id is larger than its parts', so going down from the top resolves
        # every id in one pass.
        for index in range(len(cluster) - 1, -1, -1):
            cluster[index] = cluster[cluster[index]]
        return np.unique(cluster[: self.num_windows], return_inverse=True)[1]

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of clusters at a stop."""
        return self.num_windows - self.merges_until(stop)

    def merges_until(self, stop: Stop) -> int:
        """Return how many merges are made before a stop."""
        available = len(self.merges)
        if stop.num_speakers is not None:
            return min(max(self.num_windows - stop.num_speakers, 0), available)
        below = ~(self.averages >= np.float32(stop.threshold))
        count = int(np.argmax(below)) if below.any() else available
        if stop.max_speakers is not None:
            count = max(count, self.num_windows - stop.max_speakers)
        return max(min(count, self.num_windows - stop.min_speakers, available), 0)


def average_linkage(affinity: FloatArray | Float32Array) -> MergeHistory:
    """Cluster until one cluster is left and return all merges.

    Parameters
    ----------
    affinity : (N, N) array
        Clustered in float32. Only the upper triangle is read.

    Raises
    ------
    DataError
        If the matrix is not square or not finite.
    """
    clusters = _Clusters(_symmetric(_checked(affinity)))
    clusters.merge_until(Stop(num_speakers=1))
    return clusters.history()


def agglomerative_cluster(
    affinity: FloatArray | Float32Array,
    stop: Stop,
    options: AhcOptions = AhcOptions(),
) -> IntArray:
    """Cluster one recording as ``agglomerative-cluster`` does, with all its options.

    Parameters
    ----------
    affinity : (N, N) array
        Similarities, clustered in float32. Only the upper triangle is read, but where
        a recording is clustered in pieces the lower triangle gives the affinities
        between pieces.
    stop : Stop
    options : AhcOptions

    Returns
    -------
    (N,) int array
        0..K-1 in Kaldi's order.

    Raises
    ------
    DataError
        If the matrix is not square or not finite.
    """
    affinity = _checked(affinity)
    count = len(affinity)
    largest = _largest_cluster(count, stop, options)
    if count > options.first_pass_max_utterances:
        return _two_pass(affinity, stop, largest, options.first_pass_max_utterances)
    clusters = _Clusters(_symmetric(affinity), largest=largest)
    clusters.merge_until(stop)
    return clusters.history().labels()


def is_steered(count: int, stop: Stop, options: AhcOptions) -> bool:
    """Whether the options steer merges, so that no full history can be replayed."""
    return (
        count > options.first_pass_max_utterances
        or _largest_cluster(count, stop, options) is not None
    )


def _checked(affinity: FloatArray | Float32Array) -> Float32Array:
    """Return the matrix in float32, if it is one that can be clustered."""
    if affinity.ndim != 2 or affinity.shape[0] != affinity.shape[1]:
        raise DataError(
            f"affinities must be a square matrix, found shape {affinity.shape}"
        )
    if not (np.abs(affinity) < _LARGEST_AFFINITY).all():
        raise DataError(
            f"affinities hold NaN, infinity or a value beyond {_LARGEST_AFFINITY:g}; "
            "compute them again"
        )
    return affinity.astype(np.float32, copy=False)


def _symmetric(affinity: Float32Array) -> Float32Array:
    upper = np.triu(affinity, 1)
    return upper + upper.T


def _largest_cluster(count: int, stop: Stop, options: AhcOptions) -> int | None:
    """Kaldi's max_cluster_size, ceil(N * fraction) in float32; None if not in force."""
    fraction = np.float32(options.max_spk_fraction)
    known = stop.num_speakers
    if known is None or not np.float32(1.0 / known) <= fraction < 1:
        return None
    return int(np.ceil(np.float32(count) * fraction))


class _Clusters:
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

    def merge_until(self, stop: Stop) -> None:
        """Merge the best pair again and again until `stop`, or nothing is left."""
        left = len(self.ids)
        fewest = stop.num_speakers or stop.min_speakers
        threshold = -np.inf if stop.threshold is None else np.float32(stop.threshold)
        most = left if stop.max_speakers is None else stop.max_speakers
        while left > fewest:
            score = self.best.max()
            if score == -np.inf or (score < threshold and left <= most):
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


def _two_pass(
    affinity: Float32Array, stop: Stop, largest: int | None, subset_max: int
) -> IntArray:
    """Cluster contiguous subsets first, then the clusters that these leave.

    The first pass stops at ten times the wanted number of clusters in each subset.
    """
    count = len(affinity)
    num_subsets = -(-count // subset_max)
    subset_size = -(-count // num_subsets)
    fewest = 10 * (stop.num_speakers or stop.min_speakers)
    first_stop = (
        Stop(num_speakers=fewest)
        if stop.threshold is None
        else Stop(threshold=stop.threshold, min_speakers=fewest)
    )
    members: list[list[int]] = []
    blocks: list[Float32Array] = []
    for begin in range(0, count, subset_size):
        subset = slice(begin, min(begin + subset_size, count))
        clusters = _Clusters(_symmetric(affinity[subset, subset]), largest=largest)
        clusters.merge_until(first_stop)
        slots = clusters.survivors()
        blocks.append(clusters.sums[np.ix_(slots, slots)])
        merged = _members(clusters.history(), begin)
        members.extend(merged[cluster] for cluster in clusters.ids[slots])

    sums = _sums_between(affinity, members, blocks)
    sizes = np.array([len(group) for group in members])
    clusters = _Clusters(sums, sizes, largest)
    clusters.merge_until(stop)
    labels = np.empty(count, np.int64)
    for group, label in zip(members, clusters.history().labels(), strict=True):
        labels[group] = label
    return labels


def _members(history: MergeHistory, begin: int) -> list[list[int]]:
    """Return the windows of every cluster, the lower id's before the higher id's."""
    members = [[begin + window] for window in range(history.num_windows)]
    for low, high in history.merges.tolist():
        members.append(members[low] + members[high])
    return members


def _sums_between(
    affinity: Float32Array, members: list[list[int]], blocks: list[Float32Array]
) -> Float32Array:
    """Return the (K, K) sums of affinities between the first pass's clusters.

    Sums inside a subset come from the first pass (`blocks`). Across subsets Kaldi adds
    affinities one by one in float32, rows of the later cluster outside.
    """
    sums = np.zeros((len(members), len(members)), np.float32)
    start = 0
    for block in blocks:
        end = start + len(block)
        sums[start:end, start:end] = block
        for new in range(start, end):
            for old in range(start):
                pairs = affinity[np.ix_(members[new], members[old])]
                running = np.cumsum(pairs.ravel(), dtype=np.float32)[-1]
                sums[new, old] = sums[old, new] = running
        start = end
    return sums
