"""Clustering of long recordings in two passes.

Contiguous pieces are clustered first, then the clusters that remain of all pieces.
`cluster_in_pieces` does this exactly as Kaldi's ``agglomerative-cluster``, on a matrix.
`merge_in_pieces` works on factors and pools the merges of all pieces, so that pieces
with many speakers keep more clusters than pieces with few.
"""

import numpy as np

from ssahc.backend.affinity import FactoredAffinity, symmetrize
from ssahc.clustering.dense_linkage import DenseClusters
from ssahc.clustering.discriminative import DiscriminativeCost, merge_by_cost
from ssahc.clustering.factored_linkage import merge_factored
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import Float32Array, IntArray

# Exact linkage of this many windows takes half a minute on one core; its time grows
# with the square of the number.
LONGEST_EXACT = 100_000
# Maximum number of windows in a piece, and number of clusters left by all pieces. On
# simulated recordings, accuracy dropped only below ten clusters per speaker.
_PIECE = 25_000


def merge_in_pieces(
    affinity: FactoredAffinity, *, longest: int = LONGEST_EXACT, piece: int = _PIECE
) -> MergeHistory:
    """Merge all windows; exactly, unless there are more than `longest`.

    Such recordings are clustered in pieces of at most `piece` windows first, which
    leaves `piece` clusters in total. A union whose average exceeds those of its parts
    gets the average of its parts.
    """
    if len(affinity) <= longest:
        return merge_factored(affinity)
    first = _pooled_merges(affinity, -(-len(affinity) // piece)).first(piece)
    second = merge_factored(affinity, start=first.labels())
    return first.followed_by(second).by_average()


def _pooled_merges(affinity: FactoredAffinity, num_pieces: int) -> MergeHistory:
    """Return the merges within all pieces, sorted by average."""
    count = len(affinity)
    merges, averages = [], []
    next_id = count
    for windows in np.array_split(np.arange(count), num_pieces):
        piece = slice(windows[0], windows[-1] + 1)
        history = merge_factored(
            FactoredAffinity(
                affinity.features[piece], affinity.bias[piece], affinity.constant
            )
        )
        ids = np.append(windows, next_id + np.arange(len(history.merges)))
        merges.append(ids[history.merges])
        averages.append(history.averages)
        next_id += len(history.merges)
    pooled = MergeHistory(count, np.concatenate(merges), np.concatenate(averages))
    return pooled.by_average()


def cluster_in_pieces(
    affinity: Float32Array,
    stop: Stop,
    *,
    piece: int,
    largest: int | None = None,
    cost: DiscriminativeCost | None = None,
) -> IntArray:
    """Cluster in two passes as ``agglomerative-cluster --first-pass-max-utterances``.

    In each piece of at most `piece` windows, the first pass stops at ten times the
    wanted number of clusters; only the second one uses the cost. `largest` is the
    maximum number of windows in a cluster. Labels (N,) are 0..K-1 in Kaldi's order.
    """
    count = len(affinity)
    piece = -(-count // -(-count // piece))
    fewest = 10 * (stop.num_speakers or stop.min_speakers)
    first_stop = (
        Stop(num_speakers=fewest)
        if stop.threshold is None
        else Stop(threshold=stop.threshold, min_speakers=fewest)
    )
    members: list[list[int]] = []
    blocks: list[Float32Array] = []
    for begin in range(0, count, piece):
        inside = slice(begin, min(begin + piece, count))
        clusters = DenseClusters(symmetrize(affinity[inside, inside]), largest=largest)
        clusters.merge_until(first_stop)
        slots = clusters.survivors()
        blocks.append(clusters.sums[np.ix_(slots, slots)])
        merged = _members(clusters.history(), begin)
        members.extend(merged[cluster] for cluster in clusters.ids[slots])

    sums = _sums_between(affinity, members, blocks)
    sizes = np.array([len(windows) for windows in members])
    history = merge_by_cost(DenseClusters(sums, sizes, largest), stop, cost)
    labels = np.empty(count, np.int64)
    for windows, label in zip(members, history.labels(), strict=True):
        labels[windows] = label
    return labels


def _members(history: MergeHistory, begin: int) -> list[list[int]]:
    """Return the windows of each cluster; those of the lower id come first."""
    members = [[begin + window] for window in range(history.num_leaves)]
    for low, high in history.merges.tolist():
        members.append(members[low] + members[high])
    return members


def _sums_between(
    affinity: Float32Array, members: list[list[int]], blocks: list[Float32Array]
) -> Float32Array:
    """Return the (K, K) sums of affinities between the clusters of the first pass.

    Sums within a piece come from the first pass (`blocks`). Across pieces Kaldi adds
    affinities one by one in float32, with the later cluster in the outer loop.
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
