"""Agglomerative hierarchical clustering (AHC) with average linkage, as in Kaldi.

The pair of clusters with the largest average affinity is merged, as long as the
stopping criterion allows it. Ids are Kaldi's: windows 0..N-1, merged clusters N,
N+1, ...; among equal averages the pair with the smallest lower id wins, then the
smallest higher id. On a matrix, all arithmetic is float32 in the order of
``agglomerative-cluster``, so labels equal Kaldi's bit for bit
(`ssahc.clustering.dense_linkage`); long recordings are clustered without a matrix
(`ssahc.clustering.factored_linkage`).
"""

from dataclasses import dataclass
from typing import Annotated, TypeGuard

import numpy as np

from ssahc.backend.affinity import Affinity, FactoredAffinity, check_matrix, symmetrize
from ssahc.clustering.dense_linkage import DenseClusters
from ssahc.clustering.discriminative import DiscriminativeCost, merge_by_cost
from ssahc.clustering.factored_linkage import group, merge_factored
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.clustering.two_pass import cluster_in_pieces, merge_in_pieces
from ssahc.core.options import Options
from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.core.validation import Interval

# Up to this many windows, compiled loops on a matrix are faster than factors.
LONGEST_DENSE = 1800
# Kaldi's default of first-pass-max-utterances.
_KALDIS_FIRST_PASS = 32767
_TO_ONE = Stop(num_speakers=1)


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
        Default: 32767, as in Kaldi, for scores read from files; otherwise 100,000.
    """

    max_spk_fraction: Annotated[float, Interval(gt=0)] = 1.0
    first_pass_max_utterances: Annotated[int | None, Interval(ge=1)] = None


def link(
    affinity: Affinity,
    *,
    start: IntArray | None = None,
    cost: DiscriminativeCost | None = None,
) -> MergeHistory:
    """Merge until one cluster is left, on a matrix or on factors, whichever is faster.

    The history is that of the windows, or of the K clusters of `start`; `start` and
    `cost` are those of `average_linkage`. On factors, averages differ in the last bits,
    and equal ones may be merged in another order.
    """
    if not has_factored_linkage(affinity):
        return average_linkage(affinity.dense(), start=start, cost=cost)
    if start is None:
        history = merge_in_pieces(affinity)
    else:
        history = merge_factored(affinity, start=start)
    if cost is None or cost.weight == 0:
        return history
    # Eq. 2 works on a matrix of the few clusters that plain linkage leaves.
    plain = history.first(cost.below)
    labels = plain.labels() if start is None else plain.labels()[start]
    between, sizes = group(affinity, labels)
    sums = between.dense() * np.outer(sizes, sizes).astype(np.float32)
    clusters = DenseClusters(symmetrize(sums), sizes)
    return plain.followed_by(merge_by_cost(clusters, _TO_ONE, cost))


def has_factored_linkage(affinity: Affinity) -> TypeGuard[FactoredAffinity]:
    """Whether `link` works on factors, without a matrix of all pairs of windows."""
    return isinstance(affinity, FactoredAffinity) and len(affinity) > LONGEST_DENSE


def average_linkage(
    affinity: FloatArray | Float32Array,
    *,
    start: IntArray | None = None,
    cost: DiscriminativeCost | None = None,
) -> MergeHistory:
    """Merge the clusters of a matrix (N, N) until one is left, in float32.

    Only the upper triangle is read. `start` (N,) has initial clusters 0..K-1, single
    windows by default; `cost` selects the pairs to merge once few clusters are left.
    """
    sums = symmetrize(affinity)
    if start is None:
        clusters = DenseClusters(sums)
    else:
        member = np.eye(start.max() + 1, dtype=np.float32)[start]
        # The product is symmetric except for its last bits.
        between = symmetrize(member.T @ sums @ member)
        clusters = DenseClusters(between, np.bincount(start))
    return merge_by_cost(clusters, _TO_ONE, cost)


def agglomerative_cluster(
    affinity: FloatArray | Float32Array,
    stop: Stop,
    options: AhcOptions = AhcOptions(),
    *,
    cost: DiscriminativeCost | None = None,
) -> IntArray:
    """Cluster one recording as ``agglomerative-cluster``, with all its options.

    The matrix is clustered in float32. Only its upper triangle is read, except for
    affinities between pieces of a recording, which come from the lower triangle. `cost`
    is not in Kaldi; the first pass over pieces does not use it. Labels (N,) are 0..K-1
    in Kaldi's order.
    """
    check_matrix(affinity)
    affinity = affinity.astype(np.float32, copy=False)
    largest = _largest_cluster(len(affinity), stop, options)
    piece = options.first_pass_max_utterances or _KALDIS_FIRST_PASS
    if len(affinity) > piece:
        return cluster_in_pieces(
            affinity, stop, piece=piece, largest=largest, cost=cost
        )
    clusters = DenseClusters(symmetrize(affinity), largest=largest)
    return merge_by_cost(clusters, stop, cost).labels()


def is_steered(affinity: Affinity, stop: Stop, options: AhcOptions) -> bool:
    """Whether the options affect the merges, so that a `MergeHistory` cannot be cut."""
    longest = options.first_pass_max_utterances
    if longest is None and not isinstance(affinity, FactoredAffinity):
        longest = _KALDIS_FIRST_PASS
    return (longest is not None and len(affinity) > longest) or _largest_cluster(
        len(affinity), stop, options
    ) is not None


def _largest_cluster(count: int, stop: Stop, options: AhcOptions) -> int | None:
    """Kaldi's max_cluster_size, ceil(N * fraction) in float32; None if not in force."""
    fraction = np.float32(options.max_spk_fraction)
    known = stop.num_speakers
    if known is None or not np.float32(1.0 / known) <= fraction < 1:
        return None
    return int(np.ceil(np.float32(count) * fraction))
