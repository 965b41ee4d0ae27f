"""Average linkage of recordings too long for it: a first pass over pieces of them.

As Kaldi does, contiguous pieces are clustered first, then the clusters that these
leave. Here the pieces' merges are pooled and the best of all are kept, so that a piece
with many speakers keeps more clusters than one with few.
"""

import numpy as np

from ssahc.backend.affinity import FactoredAffinity
from ssahc.clustering.factored_linkage import merge_factored
from ssahc.clustering.merge_history import MergeHistory

# Exact linkage of so many windows takes half a minute on one core, and of twice as many
# four times as long.
LONGEST_EXACT = 100_000
# Windows a piece at most, and clusters that all pieces leave. Agreement with the true
# speakers was lost (on simulated recordings) only where fewer than ten a speaker were.
_PIECE = 25_000


def merge_in_pieces(
    affinity: FactoredAffinity, *, longest: int = LONGEST_EXACT, piece: int = _PIECE
) -> MergeHistory:
    """Merge all windows; exactly, if there are not too many.

    Parameters
    ----------
    affinity : FactoredAffinity
    longest : int
        More windows are clustered in pieces first.
    piece : int
        Windows a piece at most, and clusters that are left by all pieces together.

    Returns
    -------
    MergeHistory
        Where a union's average is above those of its parts, it gets theirs.

    Raises
    ------
    DataError
        As `merge_factored`.
    """
    if len(affinity) <= longest:
        return merge_factored(affinity)
    first = _pooled(affinity, -(-len(affinity) // piece)).first(piece)
    second = merge_factored(affinity, start=first.labels())
    return first.followed_by(second).by_average()


def _pooled(affinity: FactoredAffinity, pieces: int) -> MergeHistory:
    """Return the merges of all pieces, by average."""
    count = len(affinity)
    merges, averages = [], []
    made = count
    for windows in np.array_split(np.arange(count), pieces):
        piece = slice(windows[0], windows[-1] + 1)
        history = merge_factored(
            FactoredAffinity(
                affinity.features[piece], affinity.bias[piece], affinity.constant
            )
        )
        ids = np.append(windows, made + np.arange(len(history.merges)))
        merges.append(ids[history.merges])
        averages.append(history.averages)
        made += len(history.merges)
    pooled = MergeHistory(count, np.concatenate(merges), np.concatenate(averages))
    return pooled.by_average()
