"""Adam for torch's tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Steps of Adam with torch's defaults, and the state of every parameter.

    The result equals that of `torch.optim.Adam`, which imports torch's compiler: that
    takes seconds. States are by number: a parameter has one after its first step.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.states: dict[int, dict[str, Tensor]] = {}

    def step(self, lr: float) -> None:
        """Take one step with all parameters that have a gradient."""
        moved = [n for n, p in enumerate(self.parameters) if p.grad is not None]
        for number in moved:
            if number not in self.states:
                zeros = torch.zeros_like(self.parameters[number], requires_grad=False)
                self.states[number] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": zeros,
                    "exp_avg_sq": zeros.clone(),
                }
        states = [self.states[number] for number in moved]
        with torch.no_grad():
            adam(
                [self.parameters[number] for number in moved],
                [p.grad for p in self.parameters if p.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=lr,
                weight_decay=0,
                eps=1e-8,
                maximize=False,
            )
