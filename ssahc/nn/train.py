"""One optimisation run on one recording."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import torch
from torch import Tensor, nn

from ssahc.errors import UsageError


@dataclass(frozen=True)
class Training:
    """What a training run did.

    Attributes
    ----------
    losses : tuple of float
        Loss before each step and, at the end, of the network as it is left.
    stopped : {"eta", "max_steps", "diverged"}
        "diverged" if the loss is not finite, or ends no lower than it began.
    """

    losses: tuple[float, ...]
    stopped: Literal["eta", "max_steps", "diverged"]


def train(
    net: nn.Module,
    inputs: Tensor,
    loss_of: Callable[[Tensor], Tensor],
    *,
    lr: float,
    eta: float,
    max_steps: int,
) -> Training:
    """Minimise a loss of the network's output by full-batch Adam; changes `net`.

    Parameters
    ----------
    net : nn.Module
    inputs : (N, D) tensor
    loss_of : callable
        From the (N, d) output to a scalar.
    lr : float
        Learning rate.
    eta : float
        Stop, before the step, when the loss is below this share of its first value.
    max_steps : int
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    losses: list[float] = []
    while True:
        loss = loss_of(net(inputs))
        losses.append(loss.item())
        if not isfinite(losses[-1]):
            return Training(tuple(losses), "diverged")
        if losses[-1] < eta * losses[0]:
            return Training(tuple(losses), "eta")
        if len(losses) > max_steps:
            worse = max_steps > 0 and losses[-1] >= losses[0]
            return Training(tuple(losses), "diverged" if worse else "max_steps")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def pick_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is the GPU if there is one.

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
