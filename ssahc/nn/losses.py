"""Triplet losses on unit embeddings, with affinity A(x, y) = x . y.

The loss of a triplet (a, p, n) is ``1 - A(a,p) + gamma (A(a,n) + A(p,n))`` in the form
of the authors' code, which pushes both members of a pair away from the negative, and
``1 - A(a,p) + gamma A(a,n)`` in the form of the paper (Eq. 3). The 1 has no gradient;
it lifts the loss above zero (unless gamma is large and clusters are far apart), so that
its ratio to the first value has a meaning.
"""

from typing import Literal

import torch
from torch import Tensor

TripletForm = Literal["authors", "paper"]


def sampled_triplet_loss(
    unit: Tensor, triplets: Tensor, gamma: float, form: TripletForm = "authors"
) -> Tensor:
    """Mean loss over given triplets.

    Parameters
    ----------
    unit : (N, d) tensor
        Rows of unit length.
    triplets : (T, 3) integer tensor
        Rows of anchor, positive, negative; at least one.
    gamma : float
        Weight of the negatives.
    form : {"authors", "paper"}

    Returns
    -------
    scalar tensor
    """
    anchor, positive, negative = unit[triplets].unbind(dim=1)
    repelled = anchor + positive if form == "authors" else anchor
    attraction = (anchor * positive).sum(1)
    repulsion = (repelled * negative).sum(1)
    return (1 - attraction + gamma * repulsion).mean()


def expected_triplet_loss(
    unit: Tensor, membership: Tensor, gamma: float, form: TripletForm = "authors"
) -> Tensor:
    """Mean loss over all within-cluster pairs, expected over the negative.

    Equal to the mean of `sampled_triplet_loss` when every pair gets one negative drawn
    uniformly from all windows of the other clusters; with a random order of anchor and
    positive in the paper's form. Needs only the clusters' sums, so O(N d).

    Parameters
    ----------
    unit : (N, d) tensor
        Rows of unit length.
    membership : (N, K) tensor
        One-hot clusters, two or more, of which one has two windows or more.
    gamma : float
        Weight of the negatives.
    form : {"authors", "paper"}

    Returns
    -------
    scalar tensor
    """
    sizes = membership.sum(0)
    sums = membership.T @ unit
    within = sums.square().sum(1)
    pairs = (sizes * (sizes - 1)).sum() / 2
    positives = (within - sizes).sum() / 2
    across = sums @ sums.sum(0) - within
    negatives = ((sizes - 1) * across / (len(unit) - sizes)).sum()
    sides = 1.0 if form == "authors" else 0.5
    return 1 - (positives - gamma * sides * negatives) / pairs


def one_hot(labels: Tensor) -> Tensor:
    """Return (N, K) float32 membership of labels 0..K-1."""
    return torch.nn.functional.one_hot(labels).float()
