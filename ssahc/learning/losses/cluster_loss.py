"""Any loss in per-recording learning, with clusters as labels.

Torch differentiates the loss with respect to the network's output; the network has its
own gradient (`ssahc.learning.network`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Self

import numpy as np
import torch

from ssahc.core.types import IntArray
from ssahc.learning.adam import Adam
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.ssa import Loss, Losses, Place
from ssahc.learning.network import Pass, Tensor
from ssahc.runtime.device import memory_errors


@dataclass(frozen=True, eq=False)
class ClusterLoss(Loss):
    """A loss whose labels are the clusters 0..K-1 (N,) of one recording.

    `dim` is that of the network's output: zeros beyond, in a batch, must not count. The
    seed is for tuples, which are drawn anew in every step.
    """

    objective: Objective
    clusters: IntArray
    dim: int
    seed: int

    @property
    def is_steady(self) -> bool:
        """Whether values of different steps compare; not with an adaptive margin."""
        return self.objective.options.margin == "fixed"

    @classmethod
    def stack(cls, losses: Sequence[Self], count: int, place: Place) -> Losses:
        """Return the losses of B recordings."""
        return _ClusterLosses([_LearnedLoss(loss) for loss in losses])


class _ClusterLosses(Losses):
    """The losses of B recordings, evaluated one after the other."""

    def __init__(self, recordings: list["_LearnedLoss"]) -> None:
        self.recordings = recordings

    def evaluate(self, passed: Pass) -> tuple[Tensor, Tensor]:
        """Return the losses and their gradients, before the scaling to length 1."""
        # The network's h has length sqrt(D) in the paper, and 1 here.
        scale = sqrt(passed.normalized.shape[-1])
        embeddings = torch.as_tensor(scale * passed.unit_length * passed.unit)
        gradient = torch.zeros_like(embeddings)
        values = embeddings.new_zeros(len(self.recordings))
        for index, recording in enumerate(self.recordings):
            own = np.s_[index, : len(recording.clusters), : recording.dim]
            with memory_errors():
                values[index], slope = recording.evaluate(embeddings[own])
            gradient[own] = scale * slope
        if isinstance(passed.unit, np.ndarray):
            return values.numpy(), gradient.numpy()
        return values, gradient

    def step(self, lr: float) -> None:
        """Take one step with the losses' own parameters."""
        for recording in self.recordings:
            recording.step(lr)


class _LearnedLoss:
    """The loss of one recording and its own parameters, learned by Adam."""

    def __init__(self, loss: ClusterLoss) -> None:
        self.objective, self.clusters = loss.objective, loss.clusters
        self.dim, self.generator = loss.dim, np.random.default_rng(loss.seed)
        self.parameters: list[torch.Tensor] | None = None
        self.optimizer: Adam | None = None

    def evaluate(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and its gradient for embeddings (N, d)."""
        embeddings = embeddings.clone().requires_grad_()
        if self.parameters is None:
            self.parameters = self.objective.initial_parameters(
                embeddings, self.clusters
            )
            if self.parameters:
                self.optimizer = Adam(self.parameters)
        loss = self.objective.evaluate(
            embeddings, self.clusters, self.parameters, self.generator
        )
        slope, *slopes = torch.autograd.grad(
            loss, [embeddings, *self.parameters], materialize_grads=True
        )
        for parameter, gradient in zip(self.parameters, slopes, strict=True):
            parameter.grad = gradient
        return loss.detach(), slope

    def step(self, lr: float) -> None:
        """Take one step with the parameters, if there are any."""
        if self.optimizer is not None:
            self.optimizer.step(lr)
