"""Agglomerative hierarchical clustering with average linkage, as Kaldi does it.

The pair of clusters with the largest average affinity is merged while that average is
at or above the threshold and clusters may still be merged. Ids are Kaldi's: windows
0..N-1, merged clusters N, N+1, ...; among equal averages the pair with the smallest low
id wins, then the smallest high id. On a matrix all arithmetic is float32 on sums of
affinities, in the order of ``agglomerative-cluster``, so labels are equal to Kaldi's
bit by bit; long recordings do without a matrix (`ssahc.clustering.factored_linkage`).
"""

from dataclasses import dataclass
from typing import Annotated, TypeGuard

import numpy as np

from ssahc.backend.affinity import Affinity, FactoredAffinity
from ssahc.clustering.dense_linkage import Clusters
from ssahc.clustering.discriminative import DiscriminativeCost, merge_discriminatively
from ssahc.clustering.factored_linkage import group, merge_factored
from ssahc.clustering.matrix import checked_affinity, symmetric_affinity
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.clustering.two_pass import merge_in_pieces
from ssahc.core.options import Options
from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.core.validation import Interval

# Up to so many windows, compiled loops on a matrix are faster than products of factors.
LONGEST_DENSE = 1800
# Kaldi's default of first-pass-max-utterances.
_KALDIS_FIRST_PASS = 32767


@dataclass(frozen=True)
class AhcOptions(Options, group="Clustering"):
    """Further options of Kaldi's ``agglomerative-cluster``.

    Parameters
    ----------
    max_spk_fraction : float
        Largest share of the windows in one cluster. As in Kaldi, used only with a known
        number of speakers, and only if it is at least 1 / number.
    first_pass_max_utterances : int, optional
        Cluster longer recordings in pieces first, then the clusters of the pieces.
        Default: 32767, as in Kaldi, for scores read from files; otherwise never.
    """

    max_spk_fraction: Annotated[float, Interval(gt=0)] = 1.0
    first_pass_max_utterances: Annotated[int | None, Interval(ge=1)] = None


def link(
    affinity: Affinity,
    *,
    start: IntArray | None = None,
    cost: DiscriminativeCost | None = None,
) -> MergeHistory:
    """Cluster until one cluster is left, in the way that is the fastest.

    Parameters
    ----------
    affinity : Affinity
    start, cost
        As for `average_linkage`.

    Returns
    -------
    MergeHistory
        Of the windows, or of the K clusters of `start`. Without a matrix averages
        differ in their last bits, and equal ones may be merged in another order.

    Raises
    ------
    DataError
        If affinities are not finite.
    """
    if not has_factored_linkage(affinity):
        return average_linkage(affinity.dense(), start=start, cost=cost)
    if start is None:
        history = merge_in_pieces(affinity)
    else:
        history = merge_factored(affinity, start=start)
    if cost is None or cost.weight == 0:
        return history
    plain = history.first(cost.below)
    labels = plain.labels() if start is None else plain.labels()[start]
    between, sizes = group(affinity, labels)
    sums = between.dense() * np.outer(sizes, sizes).astype(np.float32)
    clusters = Clusters(symmetric_affinity(sums), sizes)
    return plain.followed_by(
        merge_discriminatively(clusters, Stop(num_speakers=1), cost)
    )


def has_factored_linkage(affinity: Affinity) -> TypeGuard[FactoredAffinity]:
    """Whether `link` does without a matrix of all pairs of windows."""
    return isinstance(affinity, FactoredAffinity) and len(affinity) > LONGEST_DENSE


def average_linkage(
    affinity: FloatArray | Float32Array,
    *,
    start: IntArray | None = None,
    cost: DiscriminativeCost | None = None,
) -> MergeHistory:
    """Cluster until one cluster is left and return all merges.

    Parameters
    ----------
    affinity : (N, N) array
        Clustered in float32. Only the upper triangle is read.
    start : (N,) int array, optional
        Clusters 0..K-1 to go on from; single windows if not given.
    cost : DiscriminativeCost, optional
        Which pairs are merged once few clusters are left; the nearest if not given.

    Returns
    -------
    MergeHistory
        Of the windows, or of the K clusters of `start`.

    Raises
    ------
    DataError
        If the matrix is not square or not finite.
    """
    sums = symmetric_affinity(affinity)
    if start is None:
        clusters = Clusters(sums)
    else:
        member = np.eye(start.max() + 1, dtype=np.float32)[start]
        # A product is symmetric but for its last bits.
        between = symmetric_affinity(member.T @ sums @ member)
        clusters = Clusters(between, np.bincount(start))
    return _merge(clusters, Stop(num_speakers=1), cost)


def agglomerative_cluster(
    affinity: FloatArray | Float32Array,
    stop: Stop,
    options: AhcOptions = AhcOptions(),
    *,
    cost: DiscriminativeCost | None = None,
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
    cost : DiscriminativeCost, optional
        Not known to Kaldi: which pairs are merged once few clusters are left. Pieces
        of a long recording are always clustered without it.

    Returns
    -------
    (N,) int array
        0..K-1 in Kaldi's order.

    Raises
    ------
    DataError
        If the matrix is not square or not finite.
    """
    affinity = checked_affinity(affinity)
    count = len(affinity)
    largest = _largest_cluster(count, stop, options)
    piece = options.first_pass_max_utterances or _KALDIS_FIRST_PASS
    if count > piece:
        return _two_pass(affinity, stop, largest, piece, cost)
    clusters = Clusters(symmetric_affinity(affinity), largest=largest)
    return _merge(clusters, stop, cost).labels()


def is_steered(affinity: Affinity, stop: Stop, options: AhcOptions) -> bool:
    """Whether the options steer merges, so that no full history can be replayed."""
    longest = options.first_pass_max_utterances
    if longest is None and not isinstance(affinity, FactoredAffinity):
        longest = _KALDIS_FIRST_PASS
    return (longest is not None and len(affinity) > longest) or _largest_cluster(
        len(affinity), stop, options
    ) is not None


def _merge(
    clusters: Clusters, stop: Stop, cost: DiscriminativeCost | None
) -> MergeHistory:
    """Merge until `stop`: plainly, and from `cost.below` clusters on by the cost."""
    if cost is None or cost.weight == 0:
        clusters.merge_until(stop)
        return clusters.history()
    clusters.merge_until(stop, fewest=cost.below)
    return merge_discriminatively(clusters, stop, cost)


def _largest_cluster(count: int, stop: Stop, options: AhcOptions) -> int | None:
    """Kaldi's max_cluster_size, ceil(N * fraction) in float32; None if not in force."""
    fraction = np.float32(options.max_spk_fraction)
    known = stop.num_speakers
    if known is None or not np.float32(1.0 / known) <= fraction < 1:
        return None
    return int(np.ceil(np.float32(count) * fraction))


def _two_pass(
    affinity: Float32Array,
    stop: Stop,
    largest: int | None,
    subset_max: int,
    cost: DiscriminativeCost | None,
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
        clusters = Clusters(
            symmetric_affinity(affinity[subset, subset]), largest=largest
        )
        clusters.merge_until(first_stop)
        slots = clusters.survivors()
        blocks.append(clusters.sums[np.ix_(slots, slots)])
        merged = _members(clusters.history(), begin)
        members.extend(merged[cluster] for cluster in clusters.ids[slots])

    sums = _sums_between(affinity, members, blocks)
    sizes = np.array([len(group) for group in members])
    history = _merge(Clusters(sums, sizes, largest), stop, cost)
    labels = np.empty(count, np.int64)
    for windows, label in zip(members, history.labels(), strict=True):
        labels[windows] = label
    return labels


def _members(history: MergeHistory, begin: int) -> list[list[int]]:
    """Return the windows of every cluster, the lower id's before the higher id's."""
    members = [[begin + window] for window in range(history.num_leaves)]
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
