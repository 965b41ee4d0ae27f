"""SSA's loss with negatives that are known to be of other speakers.

In Singh & Ganapathy's loss the negatives are windows of other *clusters*, which may be
wrong. Where some windows are known to be of another speaker than the anchor
(`ssahc.core.constraints.CannotLink`), they are the negatives, and such pairs are no
positives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ssahc.core.constraints import CannotLink
from ssahc.core.types import FloatArray, IntArray
from ssahc.learning.losses.ssa import Loss, Place, QuadraticLoss, TripletForm
from ssahc.learning.network import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class SureNegatives(Loss):
    """Mean loss over all within-cluster pairs, expected over the negatives.

    As `ssahc.learning.losses.ssa.ExpectedTriplets`, but each member of a pair has its
    own negative: a window that it cannot be linked with, if there is one, else one of
    another cluster. Pairs that cannot be linked are left out. Clusters (N,) are 0..K-1,
    two or more, of which one has a pair that is left (`has_pairs`).
    """

    clusters: IntArray
    cannot_link: CannotLink
    gamma: float
    form: TripletForm = "authors"

    def has_pairs(self) -> bool:
        """Whether a pair of a cluster can be linked."""
        sizes = np.bincount(self.clusters)
        low, high = self.clusters[self.cannot_link.pairs].T
        return bool((sizes * (sizes - 1)).sum() / 2 > (low == high).sum())

    @classmethod
    def stack(cls, losses: Sequence[Self], count: int, place: Place) -> QuadraticLoss:
        """Return the losses of B recordings, filled up to `count` windows.

        The matrix of the loss is of low rank, as that of `ExpectedTriplets`, but for
        the pairs that cannot be linked and the diagonal.
        """
        from scipy.sparse import block_diag

        most = max(int(loss.clusters.max()) for loss in losses) + 1
        batch = len(losses)
        member = np.zeros((batch, count, most), np.float32)
        guessed = np.zeros((batch, count, 1), np.float32)
        attraction = np.zeros((batch, 1, 1), np.float32)
        blocks = []
        for index, loss in enumerate(losses):
            size = len(loss.clusters)
            member[index, np.arange(size), loss.clusters] = 1.0
            guessed[index, :size, 0], attraction[index], block = loss._terms()
            block.resize((count, count))
            blocks.append(block)
        members, repels, attracts = map(place, (member, guessed, attraction))
        product = _product(block_diag(blocks, "csr"))

        def gradient(unit: Tensor) -> Tensor:
            sums = members.swapaxes(-1, -2) @ unit
            repelled = members.swapaxes(-1, -2) @ (repels * unit)
            others = sums.sum(axis=-2, keepdims=True) - sums
            slope = repelled.sum(axis=-2, keepdims=True) - repelled - attracts * sums
            return members @ slope + repels * (members @ others) + product(unit)

        return QuadraticLoss(place(np.ones(batch, np.float32)), gradient)

    def _terms(self) -> tuple[FloatArray, float, "csr_array"]:
        """Return the weights of guessed negatives (N,), of positives, and the rest.

        The rest (N, N) are terms of single pairs, and the diagonal that takes windows
        out of the sums over their own clusters.
        """
        from scipy.sparse import coo_array

        count = len(self.clusters)
        low, high = self.cannot_link.pairs.T
        one, other = np.append(low, high), np.append(high, low)
        inside = self.clusters[one] == self.clusters[other]
        sizes = np.bincount(self.clusters)[self.clusters]
        positives = sizes - 1 - np.bincount(one[inside], minlength=count)
        pairs = positives.sum() / 2
        sides = 1.0 if self.form == "authors" else 0.5
        weights = sides * self.gamma * positives / pairs
        known = np.bincount(one, minlength=count)
        guessed = np.where(known == 0, weights / (count - sizes), 0.0)
        sure = weights / np.maximum(known, 1)
        values = sure[one] + sure[other] + inside / pairs
        rows = np.append(one, np.arange(count))
        columns = np.append(other, np.arange(count))
        entries = np.append(values, np.full(count, 1 / pairs)).astype(np.float32)
        rest = coo_array((entries, (rows, columns)), shape=(count, count))
        return guessed, 1 / pairs, rest.tocsr()


def _product(matrix: "csr_array") -> Callable[[Tensor], Tensor]:
    """Return the product with embeddings (B, N, d), whose rows follow each other."""

    @cache
    def on(device: Any) -> Any:
        import torch

        entries = matrix.tocoo()
        return torch.sparse_coo_tensor(
            torch.from_numpy(np.stack(entries.coords)),
            torch.from_numpy(entries.data),
            size=list(matrix.shape),
            device=device,
            check_invariants=True,
        )

    def product(unit: Tensor) -> Tensor:
        rows = unit.reshape(-1, unit.shape[-1])
        placed = matrix if isinstance(unit, np.ndarray) else on(unit.device)
        return (placed @ rows).reshape(unit.shape)

    return product
