"""What several losses are made of.

Gradients are always finite: the distance of two rows has none where they point the same
way, their angle none where they point the same or opposite ways, and the direction of a
row none where its length is 0; there the gradient is taken to be 0.
"""

from math import inf

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ssahc.learning.losses.options import Distance


def directions(rows: Tensor) -> Tensor:
    """Return rows (N, d) scaled to unit length; those of length 0 stay 0."""
    lengths = root((rows**2).sum(dim=1, keepdim=True))
    return rows / torch.where(lengths > 0, lengths, inf)


def cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Return the cosines of all rows (N, d) with all others (M, d) as (N, M)."""
    return directions(rows) @ directions(others).T


def distances(embeddings: Tensor, distance: Distance) -> Tensor:
    """Return the distances between embeddings scaled to unit length.

    With the cosine c of two rows ``|x - y|^2 = 2 - 2 c``.

    Parameters
    ----------
    embeddings : (N, d) tensor
    distance : {"squared", "plain", "cosine"}
        ``2 - 2 c``, its root, or ``1 - c``.

    Returns
    -------
    (N, N) tensor
    """
    cosine = 1 - cosines(embeddings, embeddings)
    if distance == "cosine":
        return cosine
    squared = 2 * cosine
    return squared if distance == "squared" else root(squared)


def root(squares: Tensor) -> Tensor:
    """Return square roots; at 0, and below by rounding, root and gradient are 0."""
    positive = squares > 0
    # Where a root is not taken, its gradient must not be computed: 0 times infinity.
    return torch.where(positive, squares, 1).sqrt() * positive


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rows of ``-log softmax(logits)[label]``.

    Of no rows it is 0, and still depends on the logits, with a gradient of 0.

    Parameters
    ----------
    logits : (N, K) tensor
    labels : (N,) int tensor
        0..K-1.
    """
    return cross_entropy(logits, labels, reduction="sum") / max(len(labels), 1)
