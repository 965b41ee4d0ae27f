"""Training the network of one recording."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from ssahc.errors import UsageError
from ssahc.types import FloatArray


@dataclass(frozen=True)
class Training:
    """What a training run did.

    Attributes
    ----------
    losses : tuple of float
        Loss before each step and, at the end, of the network as it is left.
    stopped : {"eta", "max_steps", "no_gain", "diverged"}
        "no_gain" if the loss ends no lower than it began, "diverged" if it is not
        finite.
    """

    losses: tuple[float, ...]
    stopped: Literal["eta", "max_steps", "no_gain", "diverged"]


class Trainer:
    """A network with its inputs and its optimiser (full-batch Adam).

    It is trained again and again, each time from where it was left.

    Parameters
    ----------
    net : nn.Module
    inputs : (N, D) tensor
    lr : float
        Learning rate.
    """

    def __init__(self, net: nn.Module, inputs: Tensor, *, lr: float) -> None:
        self.net, self.inputs, self.lr = net, inputs, lr
        self.weights: list[Tensor] = list(net.parameters())
        self.means = [torch.zeros_like(weight) for weight in self.weights]
        self.squares = [torch.zeros_like(weight) for weight in self.weights]
        self.steps = [torch.tensor(0.0) for _ in self.weights]

    def train(
        self, loss_of: Callable[[Tensor], Tensor], *, eta: float, max_steps: int
    ) -> Training:
        """Minimise a loss of the network's output.

        Parameters
        ----------
        loss_of : callable
            From the (N, d) output to a scalar.
        eta : float
            Stop, before the step, when the loss is below this share of its first value.
        max_steps : int
        """
        losses: list[float] = []
        while True:
            loss = loss_of(self.net(self.inputs))
            losses.append(loss.item())
            if not isfinite(losses[-1]):
                return Training(tuple(losses), "diverged")
            # A loss that starts below zero (large gamma) has no ratio to speak of.
            if losses[0] > 0 and losses[-1] < eta * losses[0]:
                return Training(tuple(losses), "eta")
            if len(losses) > max_steps:
                gained = losses[-1] < losses[0] or max_steps == 0
                return Training(tuple(losses), "max_steps" if gained else "no_gain")
            self._step(loss)

    def _step(self, loss: Tensor) -> None:
        """Take one step of Adam.

        By its function: the class torch.optim.Adam imports torch's compiler, which
        takes 1.5 s, more than the training of many a corpus.
        """
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            adam(
                self.weights,
                list(gradients),
                self.means,
                self.squares,
                [],
                self.steps,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.lr,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    def embed(self) -> FloatArray:
        """Return the network's (N, d) output."""
        with torch.no_grad():
            output: Tensor = self.net(self.inputs)
        return output.cpu().numpy().astype(np.float64)


def pick_device(name: str) -> torch.device:
    """Return the device of that name.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        "auto" is the GPU if there is one.

    Raises
    ------
    UsageError
        If "cuda" is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; use --device cpu")
    return torch.device(name)
