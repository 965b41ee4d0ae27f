"""State of embedding network training, and checkpoints to resume it from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ssahc.core.errors import UsageError
from ssahc.core.types import Float32Array


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch; number 0 is the state before training.

    The loss is the mean over the batches, None for epoch 0. Error rates, 0 to 1, are
    over all pairs of held-out x-vectors, None if none are held out.
    """

    number: int
    loss: float | None = None
    eer: float | None = None
    min_dcf: float | None = None


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """Return the first epoch with the lowest EER; without EERs, the last epoch."""
    rated = [(epoch.eer, epoch.number) for epoch in epochs if epoch.eer is not None]
    return epochs[min(rated)[1]] if rated else epochs[-1]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that is needed to continue after an epoch as if not interrupted.

    Epochs are all so far, epoch 0 included. Arrays are named by kind and number: the
    network's weights (``layer0``, ...), those of the best epoch (``best0``), the loss's
    own parameters (``parameter0``), and Adam's state for all of these (``step0``,
    ``exp_avg0``, ``exp_avg_sq0``). The state of the random generator is JSON.
    """

    epochs: tuple[Epoch, ...]
    arrays: Mapping[str, Float32Array]
    generator: str

    def to_json(self) -> str:
        """Return everything but the arrays."""
        epochs = [asdict(epoch) for epoch in self.epochs]
        return json.dumps({"epochs": epochs, "generator": self.generator})

    @classmethod
    def from_json(cls, arrays: Mapping[str, Float32Array], text: str) -> Self:
        """Return the checkpoint with these arrays; the inverse of `to_json`.

        A ValueError is raised if the text does not describe a checkpoint.
        """
        try:
            record = json.loads(text)
            epochs = tuple(Epoch(**epoch) for epoch in record["epochs"])
            generator = record["generator"]
            values = [value for epoch in epochs for value in asdict(epoch).values()]
            finite = all(value is None or isfinite(value) for value in values)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError("not the record of a checkpoint") from error
        numbers = [epoch.number for epoch in epochs]
        if not finite or not numbers or numbers != [*range(len(numbers))]:
            raise ValueError("epochs are missing, or a value is not finite")
        return cls(epochs, arrays, generator)


# Adam's decay of both moments, and what keeps it from dividing by zero.
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class TrainingState:
    """Everything that changes during training: network, loss, generator and Adam.

    Adam (Kingma & Ba, 2015, Algorithm 1) takes the steps of ``torch.optim.Adam``, which
    takes seconds to load, since it needs torch's compiler. Networks of recordings,
    learned without torch, have an Adam of their own.
    """

    def __init__(
        self,
        weights: list[Tensor],
        parameters: list[Tensor],
        generator: np.random.Generator,
        lr: float,
    ) -> None:
        self.weights, self.parameters, self.generator = weights, parameters, generator
        self.lr = lr
        # Of each of them, once there is a gradient: steps taken and both moments.
        self.moments: dict[int, dict[str, Tensor]] = {}
        self.epochs: list[Epoch] = []
        self.best_weights: list[Float32Array] = []

    def step(self, loss: Tensor) -> float:
        """Take one step downhill; return the loss before it."""
        tensors = [*self.weights, *self.parameters]
        for tensor in tensors:
            tensor.grad = None
        torch.autograd.backward(loss)
        with torch.no_grad():
            for number, tensor in enumerate(tensors):
                if tensor.grad is not None:
                    self._descend(number, tensor, tensor.grad)
        return loss.item()

    def _descend(self, number: int, tensor: Tensor, gradient: Tensor) -> None:
        """Move a tensor one step of Adam."""
        if number not in self.moments:
            self.moments[number] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(tensor),
                "exp_avg_sq": torch.zeros_like(tensor),
            }
        moments = self.moments[number]
        moments["step"] += 1
        step, (first, second) = moments["step"].item(), _BETAS
        moments["exp_avg"].lerp_(gradient, 1 - first)
        moments["exp_avg_sq"].mul_(second).addcmul_(
            gradient, gradient, value=1 - second
        )
        scale = moments["exp_avg_sq"].sqrt() / (1 - second**step) ** 0.5 + _EPSILON
        size = self.lr / (1 - first**step)
        tensor.addcdiv_(moments["exp_avg"], scale, value=-size)

    def end_epoch(self, epoch: Epoch) -> None:
        """Record an epoch, and its weights if it is the best so far."""
        self.epochs.append(epoch)
        if best_epoch(self.epochs) is epoch:
            self.best_weights = [_to_array(weight) for weight in self.weights]

    def checkpoint(self) -> Checkpoint:
        """Return a copy of the state."""
        arrays = {
            f"{kind}{number}": _to_array(tensor)
            for kind, tensors in self._tensors().items()
            for number, tensor in enumerate(tensors)
        }
        for number, moments in self.moments.items():
            for name, tensor in moments.items():
                arrays[f"{name}{number}"] = _to_array(tensor)
        for number, weight in enumerate(self.best_weights):
            arrays[f"best{number}"] = weight
        generator = json.dumps(self.generator.bit_generator.state)
        return Checkpoint(tuple(self.epochs), arrays, generator)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Return to the state of a checkpoint; a UsageError if it does not fit."""
        try:
            self._restore(checkpoint)
        except (KeyError, ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise UsageError(
                "the checkpoint is broken, or of another network or loss; start anew"
            ) from error

    def _restore(self, checkpoint: Checkpoint) -> None:
        def load(name: str, shape: torch.Size) -> Tensor:
            array = checkpoint.arrays[name]
            # copy_ would broadcast an array of another shape.
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            return torch.from_numpy(array.copy())

        with torch.no_grad():
            for kind, tensors in self._tensors().items():
                for number, tensor in enumerate(tensors):
                    tensor.copy_(load(f"{kind}{number}", tensor.shape))
        self.moments = {
            number: {
                "step": load(f"step{number}", torch.Size()),
                "exp_avg": load(f"exp_avg{number}", tensor.shape).to(tensor.device),
                "exp_avg_sq": load(f"exp_avg_sq{number}", tensor.shape).to(
                    tensor.device
                ),
            }
            for number, tensor in enumerate([*self.weights, *self.parameters])
            if f"step{number}" in checkpoint.arrays
        }
        self.generator.bit_generator.state = json.loads(checkpoint.generator)
        self.epochs = list(checkpoint.epochs)
        self.best_weights = [
            load(f"best{number}", weight.shape).numpy()
            for number, weight in enumerate(self.weights)
        ]

    def _tensors(self) -> dict[str, list[Tensor]]:
        return {"layer": self.weights, "parameter": self.parameters}


def _to_array(tensor: Tensor) -> Float32Array:
    return tensor.detach().cpu().numpy().copy()
