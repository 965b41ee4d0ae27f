"""Losses of the networks of recordings: SSA's, on triplets of unit embeddings.

With affinity A(x, y) = x . y, the loss of a triplet (a, p, n) is
``1 - A(a,p) + gamma (A(a,n) + A(p,n))`` in the form of the authors' code, which pushes
both members of a pair away from the negative, and ``1 - A(a,p) + gamma A(a,n)`` in the
form of the paper (Eq. 3). The 1 has no gradient; it lifts the loss above zero (unless
gamma is large and clusters are far apart), so that its ratio to the first value has a
meaning.

A mean over triplets is quadratic in the embeddings Y: ``constant + tr(Y' C Y) / 2``
with a symmetric C. Its gradient is C Y, and a loss is known by that and the constant.
Other losses are in `ssahc.learning.losses`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from ssahc.core.types import Float32Array, IntArray
from ssahc.learning.network import Pass, Tensor

TripletForm = Literal["authors", "paper"]
# Puts an array where the networks are.
Place = Callable[[Float32Array], Tensor]


class Loss(ABC):
    """The loss of one recording's network."""

    @property
    def is_steady(self) -> bool:
        """Whether it is the same function of the embeddings in every step."""
        return True

    @classmethod
    @abstractmethod
    def stack(cls, losses: Sequence[Self], count: int, place: Place) -> "Losses":
        """Return the losses of B recordings, filled up to `count` windows."""


class Losses(ABC):
    """The losses of B recordings."""

    @abstractmethod
    def evaluate(self, passed: Pass) -> tuple[Tensor, Tensor]:
        """Return the losses (B,) and their gradients, before the scaling to length 1.

        The gradients (B, N, d) are those of the network's output before its rows are
        scaled (`Pass.gradients` goes on from there).
        """

    def step(self, lr: float) -> None:  # noqa: B027
        """Take one step with the loss's own parameters, if it has any."""


@dataclass(frozen=True, eq=False)
class QuadraticLoss(Losses):
    """The losses of B recordings that are quadratic in their unit embeddings.

    `constant` (B,) is the part that does not depend on the embeddings; `gradient` is
    that at embeddings, both (B, N, d).
    """

    constant: Tensor
    gradient: Callable[[Tensor], Tensor]

    def evaluate(self, passed: Pass) -> tuple[Tensor, Tensor]:
        """Return the losses and their gradients, before the scaling to length 1."""
        gradient = self.gradient(passed.unit)
        return self.values(passed.unit, gradient), passed.before_scaling(gradient)

    def values(self, unit: Tensor, gradient: Tensor) -> Tensor:
        """Return the losses (B,) at embeddings, given the gradient there."""
        return self.constant + 0.5 * (unit * gradient).sum(axis=-1).sum(axis=-1)


@dataclass(frozen=True, eq=False)
class SampledTriplets(Loss):
    """Mean loss over one or more triplets (T, 3) of anchor, positive, negative."""

    triplets: IntArray
    gamma: float
    form: TripletForm = "authors"

    @classmethod
    def stack(cls, losses: Sequence[Self], count: int, place: Place) -> QuadraticLoss:
        """Return the losses of B recordings, filled up to `count` windows."""
        stacked = np.zeros((len(losses), count, count), np.float32)
        for loss, matrix in zip(losses, stacked, strict=True):
            anchor, positive, negative = loss.triplets.T
            np.add.at(matrix, (anchor, positive), -1.0)
            np.add.at(matrix, (anchor, negative), loss.gamma)
            if loss.form == "authors":
                np.add.at(matrix, (positive, negative), loss.gamma)
            matrix += matrix.T.copy()
            matrix /= len(loss.triplets)
        placed = place(stacked)
        ones = np.ones(len(losses), np.float32)
        return QuadraticLoss(place(ones), lambda unit: placed @ unit)


@dataclass(frozen=True, eq=False)
class ExpectedTriplets(Loss):
    """Mean loss over all within-cluster pairs, expected over the negative.

    Equal to the mean of `SampledTriplets` when every pair gets one negative drawn
    uniformly from all windows of the other clusters; with a random order of anchor and
    positive in the paper's form. Clusters (N,) are 0..K-1, two or more, of which one
    has two windows or more.
    """

    clusters: IntArray
    gamma: float
    form: TripletForm = "authors"

    @classmethod
    def stack(cls, losses: Sequence[Self], count: int, place: Place) -> QuadraticLoss:
        """Return the losses of B recordings, filled up to `count` windows.

        By sums S_k of clusters and their total S, in O(N d), the loss is
        ``constant - sum_k (a |S_k|^2 / 2 - r_k S_k . (S - S_k))`` with a of
        `attraction` and r_k of `repulsion`.
        """
        most = max(int(loss.clusters.max()) for loss in losses) + 1
        batch = len(losses)
        member = np.zeros((batch, count, most), np.float32)
        attraction, repulsion = np.zeros((2, batch, most, 1), np.float32)
        constant = np.zeros(batch, np.float32)
        for index, loss in enumerate(losses):
            windows = np.arange(len(loss.clusters))
            member[index, windows, loss.clusters] = 1.0
            sizes = np.bincount(loss.clusters)
            pairs = (sizes * (sizes - 1)).sum() / 2
            sides = 1.0 if loss.form == "authors" else 0.5
            # Each of a cluster's pairs meets the mean of all other windows.
            weights = sides * loss.gamma * (sizes - 1) / (len(windows) - sizes)
            attraction[index] = 1 / pairs
            repulsion[index, : len(sizes), 0] = weights / pairs
            constant[index] = 1 + len(windows) / 2 / pairs
        members, attracts, repels = map(place, (member, attraction, repulsion))

        def gradient(unit: Tensor) -> Tensor:
            sums = members.swapaxes(-1, -2) @ unit
            repelled = repels * sums
            total = sums.sum(axis=-2, keepdims=True)
            slope = repelled.sum(axis=-2, keepdims=True) + repels * total
            return members @ (slope - 2 * repelled - attracts * sums)

        return QuadraticLoss(place(constant), gradient)
