"""Adam as torch computes it.

The classes of `torch.optim` import torch's compiler when they are first used, which
takes almost as long as the import of torch itself. The function below them does not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

# Constants of Kingma & Ba, "Adam", ICLR 2015.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Moments(NamedTuple):
    """What Adam knows of a tensor.

    These are the number of steps (), and running means of the gradient and of its
    square, both shaped as the tensor.
    """

    step: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor


class Adam:
    """Adam, or AdamW (Loshchilov & Hutter 2019) with a weight decay above 0.

    Parameters
    ----------
    tensors : sequence of tensors
        They are changed by each step, those without a gradient excepted.
    weight_decay : float

    Attributes
    ----------
    moments : dict of int to Moments
        Of the tensors that have been changed, by their place in the sequence.
    """

    def __init__(self, tensors: Sequence[Tensor], weight_decay: float = 0.0) -> None:
        self.tensors, self.weight_decay = list(tensors), weight_decay
        self.moments: dict[int, Moments] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for tensor in self.tensors:
            tensor.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Take one step downhill, with this learning rate."""
        tensors, gradients, moments = [], [], []
        for number, tensor in enumerate(self.tensors):
            if tensor.grad is None:
                continue
            if number not in self.moments:
                zeros = torch.zeros_like(tensor), torch.zeros_like(tensor)
                self.moments[number] = Moments(torch.tensor(0.0), *zeros)
            tensors.append(tensor)
            gradients.append(tensor.grad)
            moments.append(self.moments[number])
        adamw(
            tensors,
            gradients,
            [one.exp_avg for one in moments],
            [one.exp_avg_sq for one in moments],
            [],
            [one.step for one in moments],
            amsgrad=False,
            beta1=_BETA1,
            beta2=_BETA2,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )
