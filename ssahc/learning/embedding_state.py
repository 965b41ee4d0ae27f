"""How far the training of a metric has come, and all it takes to go on from there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssahc.core.errors import UsageError
from ssahc.core.types import Float32Array


@dataclass(frozen=True)
class Epoch:
    """How far training had come after an epoch.

    Attributes
    ----------
    number : int
        0 is the start.
    loss : float or None
        Mean over the batches; None for the start.
    eer, min_dcf : float or None
        Of all pairs of held-out x-vectors, 0 to 1; None if none were held out.
    """

    number: int
    loss: float | None = None
    eer: float | None = None
    min_dcf: float | None = None


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """Return the first epoch of the lowest EER; the last one if none was judged."""
    judged = [(epoch.eer, epoch.number) for epoch in epochs if epoch.eer is not None]
    return epochs[min(judged)[1]] if judged else epochs[-1]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that training needs to go on after an epoch as if it had not stopped.

    Attributes
    ----------
    epochs : tuple of Epoch
        Those so far, the start included.
    arrays : dict
        By kind and number: layers (``layer0``, ...), those of the best epoch
        (``best0``), the loss's own parameters (``parameter0``), and what Adam knows of
        all of them (``step0``, ``exp_avg0``, ``exp_avg_sq0``).
    generator : str
        State of the random generator, as JSON.
    """

    epochs: tuple[Epoch, ...]
    arrays: dict[str, Float32Array]
    generator: str


class State:
    """What changes while a metric is trained.

    Parameters
    ----------
    layers : list of Tensor
        Of the network.
    parameters : list of Tensor
        That the loss learns beside it.
    generator : numpy.random.Generator
        Of all that is drawn.
    lr : float
        Learning rate.
    """

    def __init__(
        self,
        layers: list[Tensor],
        parameters: list[Tensor],
        generator: np.random.Generator,
        lr: float,
    ) -> None:
        self.layers, self.parameters, self.generator = layers, parameters, generator
        self.optimizer = torch.optim.Adam([*layers, *parameters], lr=lr)
        self.epochs: list[Epoch] = []
        self.best: list[Float32Array] = []

    def step(self, loss: Tensor) -> float:
        """Take one step downhill; return the loss before it."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.item()

    def end_epoch(self, epoch: Epoch) -> None:
        """Note an epoch, and the layers if it is the best so far."""
        self.epochs.append(epoch)
        if best_epoch(self.epochs) is epoch:
            self.best = [_fetch(layer) for layer in self.layers]

    def keep(self) -> Checkpoint:
        """Return all that is needed to go on."""
        groups = {"layer": self.layers, "parameter": self.parameters}
        arrays = {
            f"{kind}{number}": _fetch(tensor)
            for kind, tensors in groups.items()
            for number, tensor in enumerate(tensors)
        }
        for number, known in self.optimizer.state_dict()["state"].items():
            for name, tensor in known.items():
                arrays[f"{name}{number}"] = _fetch(tensor)
        arrays |= {f"best{number}": layer for number, layer in enumerate(self.best)}
        generator = json.dumps(self.generator.bit_generator.state)
        return Checkpoint(tuple(self.epochs), arrays, generator)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was made.

        Raises
        ------
        UsageError
            If it lacks something, or is of another network or loss.
        """
        try:
            self._restore(checkpoint)
        except (KeyError, ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise UsageError(
                "the checkpoint is broken, or of another network or loss; start anew"
            ) from error

    def _restore(self, checkpoint: Checkpoint) -> None:
        arrays = checkpoint.arrays

        def fetch(name: str, shape: torch.Size) -> Tensor:
            # copy_ would repeat what is too small.
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is of another shape")
            return torch.from_numpy(arrays[name].copy())

        groups = {"layer": self.layers, "parameter": self.parameters}
        with torch.no_grad():
            for kind, tensors in groups.items():
                for number, tensor in enumerate(tensors):
                    tensor.copy_(fetch(f"{kind}{number}", tensor.shape))
        known = self.optimizer.state_dict()
        known["state"] = {
            number: {
                "step": fetch(f"step{number}", torch.Size()),
                "exp_avg": fetch(f"exp_avg{number}", tensor.shape),
                "exp_avg_sq": fetch(f"exp_avg_sq{number}", tensor.shape),
            }
            for number, tensor in enumerate([*self.layers, *self.parameters])
            if f"step{number}" in arrays
        }
        self.optimizer.load_state_dict(known)
        self.generator.bit_generator.state = json.loads(checkpoint.generator)
        self.epochs = list(checkpoint.epochs)
        self.best = [
            fetch(f"best{number}", layer.shape).numpy()
            for number, layer in enumerate(self.layers)
        ]


def _fetch(tensor: Tensor) -> Float32Array:
    return tensor.detach().cpu().numpy().copy()
