"""State of the training of a network, and checkpoints to resume it from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import LARGEST, Float32Array
from ssahc.learning.adam import Adam, Moments


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch; number 0 is the state before training.

    The loss is the mean over the batches, None for epoch 0.
    """

    number: int
    loss: float | None = None

    @property
    def error(self) -> float | None:
        """Error rate on held-out data, by which epochs are compared, if known."""
        return None


E = TypeVar("E", bound=Epoch)


def best_epoch(epochs: Sequence[E]) -> E:
    """Return the first epoch with the lowest error; if none is known, the last."""
    rated = [(epoch.error, epoch.number) for epoch in epochs if epoch.error is not None]
    return epochs[min(rated)[1]] if rated else epochs[-1]


def share_done(epoch: float, epochs: int, minutes: float, limit: float | None) -> float:
    """Return the share of a training that is done after an epoch.

    Parameters
    ----------
    epoch, epochs : float, int
        Number of the epoch, with a part of the next one, and of the last one.
    minutes, limit : float
        Those that the training took so far, and takes at most.
    """
    share = epoch / epochs
    return share if limit is None else max(share, minutes / limit)


@dataclass(frozen=True, eq=False)
class Checkpoint(Generic[E]):
    """All that is needed to continue after an epoch as if not interrupted.

    Epochs are all so far, epoch 0 included. Arrays are named by kind and number: the
    network's weights (``layer0``, ...) and buffers (``buffer0``), both of the best
    epoch (``best0``, weights first), the loss's own parameters (``parameter0``), and
    Adam's state for what is trained (``step0``, ``exp_avg0``, ``exp_avg_sq0``). The
    state of the random generator is JSON.
    """

    epochs: tuple[E, ...]
    arrays: Mapping[str, Float32Array]
    generator: str

    def to_json(self) -> str:
        """Return everything but the arrays."""
        epochs = [asdict(epoch) for epoch in self.epochs]
        return json.dumps({"epochs": epochs, "generator": self.generator})

    @classmethod
    def from_json(
        cls, arrays: Mapping[str, Float32Array], text: str, epoch_class: type[E]
    ) -> "Checkpoint[E]":
        """Return the checkpoint with these arrays; the inverse of `to_json`.

        A ValueError is raised if the text does not describe a checkpoint.
        """
        try:
            record = json.loads(text)
            epochs = tuple(epoch_class(**epoch) for epoch in record["epochs"])
            generator = record["generator"]
            values = [value for epoch in epochs for value in asdict(epoch).values()]
            finite = all(value is None or isfinite(value) for value in values)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError("not the record of a checkpoint") from error
        numbers = [epoch.number for epoch in epochs]
        if not finite or not numbers or numbers != [*range(len(numbers))]:
            raise ValueError("epochs are missing, or a value is not finite")
        return cls(epochs, arrays, generator)


class TrainingState(Generic[E]):
    """Everything that changes during training: network, loss, generator and Adam.

    Networks of recordings, learned without torch, have an Adam of their own.

    Parameters
    ----------
    weights, parameters : list of tensors
        Of the network and of the loss.
    generator : numpy.random.Generator
    lr : float
        Learning rate.
    weight_decay : float
        Of AdamW (Loshchilov & Hutter 2019); with 0 it is Adam.
    buffers : list of tensors
        What else of the network changes in training, such as running means.
    """

    def __init__(
        self,
        weights: list[Tensor],
        parameters: list[Tensor],
        generator: np.random.Generator,
        lr: float,
        weight_decay: float = 0.0,
        buffers: list[Tensor] | None = None,
    ) -> None:
        self.weights, self.parameters, self.generator = weights, parameters, generator
        self.buffers = buffers or []
        self.lr, self.optimizer = lr, Adam([*weights, *parameters], weight_decay)
        self.epochs: list[E] = []
        self.best_weights: list[Float32Array] = []

    def set_lr(self, lr: float) -> None:
        """Change the learning rate of the next steps."""
        self.lr = lr

    def step(self, loss: Tensor, max_norm: float = inf) -> float:
        """Take one step downhill; return the loss before it.

        Gradients of a larger norm than `max_norm` are scaled to it.
        """
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        if max_norm < inf:
            clip_grad_norm_([*self.weights, *self.parameters], max_norm)
        self.optimizer.step(self.lr)
        return loss.item()

    def check(self, loss: float) -> None:
        """Raise a DataError if the mean loss of an epoch or a weight is of no use."""
        tensors = [*self.weights, *self.parameters]
        is_usable = all(bool((tensor.abs() < LARGEST).all()) for tensor in tensors)
        if not (is_usable and isfinite(loss)):
            raise DataError(
                f"training diverged: after epoch {len(self.epochs)} the loss or a "
                f"weight is not finite, or beyond {LARGEST:g}; train with a smaller "
                "--lr"
            )

    def end_epoch(self, epoch: E) -> None:
        """Record an epoch, and its weights if it is the best so far."""
        self.epochs.append(epoch)
        if best_epoch(self.epochs) is epoch:
            self.best_weights = [_to_array(kept) for kept in self._kept()]

    def load_best(self) -> None:
        """Give the network the weights and buffers of the best epoch."""
        with torch.no_grad():
            for tensor, kept in zip(self._kept(), self.best_weights, strict=True):
                tensor.copy_(torch.from_numpy(kept))

    def checkpoint(self) -> Checkpoint[E]:
        """Return a copy of the state."""
        arrays = {
            f"{kind}{number}": _to_array(tensor)
            for kind, tensors in self._tensors().items()
            for number, tensor in enumerate(tensors)
        }
        for number, moments in self.optimizer.moments.items():
            for name, tensor in moments._asdict().items():
                arrays[f"{name}{number}"] = _to_array(tensor)
        for number, weight in enumerate(self.best_weights):
            arrays[f"best{number}"] = weight
        generator = json.dumps(self.generator.bit_generator.state)
        return Checkpoint(tuple(self.epochs), arrays, generator)

    def restore(self, checkpoint: Checkpoint[E]) -> None:
        """Return to the state of a checkpoint; a UsageError if it does not fit."""
        try:
            self._restore(checkpoint)
        except (KeyError, ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise UsageError(
                "the checkpoint is broken, or of another network or loss; start anew"
            ) from error

    def _restore(self, checkpoint: Checkpoint[E]) -> None:
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
        self.optimizer.moments = {
            number: Moments(
                load(f"step{number}", torch.Size()),
                load(f"exp_avg{number}", tensor.shape).to(tensor),
                load(f"exp_avg_sq{number}", tensor.shape).to(tensor),
            )
            for number, tensor in enumerate(self.optimizer.tensors)
            if f"step{number}" in checkpoint.arrays
        }
        self.generator.bit_generator.state = json.loads(checkpoint.generator)
        self.epochs = list(checkpoint.epochs)
        self.best_weights = [
            load(f"best{number}", kept.shape).numpy()
            for number, kept in enumerate(self._kept())
        ]

    def _tensors(self) -> dict[str, list[Tensor]]:
        return {
            "layer": self.weights,
            "parameter": self.parameters,
            "buffer": self.buffers,
        }

    def _kept(self) -> list[Tensor]:
        """Return what is kept of the best epoch."""
        return [*self.weights, *self.buffers]


def _to_array(tensor: Tensor) -> Float32Array:
    return tensor.detach().cpu().numpy().copy()
