"""Adam (Kingma & Ba, ICLR 2015) for tensors of torch.

``torch.optim.Adam`` takes the same steps, but its first use imports torch's compiler,
which takes seconds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssahc.learning.optimizer import BETA1, BETA2, EPSILON


class Adam:
    """Running means of the gradients of some parameters, and of their squares."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.means = [torch.zeros_like(one) for one in parameters]
        self.squares = [torch.zeros_like(one) for one in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Take one step with all parameters."""
        self.steps += 1
        bias1, bias2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        for parameter, gradient, mean, square in zip(
            self.parameters, gradients, self.means, self.squares, strict=True
        ):
            mean.lerp_(gradient, 1 - BETA1)
            square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            spread = (square.sqrt() / bias2**0.5).add_(EPSILON)
            parameter.addcdiv_(mean, spread, value=-lr / bias1)
