"""Distances, cosines and cross-entropy, the parts of many losses.

Gradients are always finite. Where one does not exist, it is taken to be 0: that of a
distance between rows of equal direction, of an angle of 0 or 180 degrees, and of the
direction of a zero row.
"""

from math import inf

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ssahc.learning.losses.options import Distance


def normalize_rows(rows: Tensor) -> Tensor:
    """Scale rows (N, d) to unit length; zero rows stay 0."""
    lengths = safe_sqrt((rows**2).sum(dim=1, keepdim=True))
    return rows / torch.where(lengths > 0, lengths, inf)


def cosines(rows: Tensor, others: Tensor) -> Tensor:
    """Return the cosines (N, M) between rows (N, d) and others (M, d)."""
    return normalize_rows(rows) @ normalize_rows(others).T


def distances(embeddings: Tensor, distance: Distance) -> Tensor:
    """Return all distances (N, N) between embeddings scaled to unit length.

    With the cosine c of two rows, ``|x - y|^2 = 2 - 2 c``: the distance is this
    ("squared"), its square root ("plain"), or ``1 - c`` ("cosine").
    """
    cosine = 1 - cosines(embeddings, embeddings)
    if distance == "cosine":
        return cosine
    squared = 2 * cosine
    return squared if distance == "squared" else safe_sqrt(squared)


def safe_sqrt(squares: Tensor) -> Tensor:
    """Return square roots; 0, with a gradient of 0, where the argument is not above 0.

    Rounding may make a squared distance slightly negative.
    """
    positive = squares > 0
    # Replaced before the root: an infinite gradient times 0 would be NaN.
    return torch.where(positive, squares, 1).sqrt() * positive


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rows of ``-log softmax(logits)[label]``.

    Logits are (N, K), labels (N,) 0..K-1; without rows it is 0 with a gradient of 0.
    """
    return cross_entropy(logits, labels, reduction="sum") / max(len(labels), 1)
