"""Training the networks of recordings, several side by side."""

import logging
import os
import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.types import Float32Array, FloatArray
from ssahc.learning.losses.ssa import Loss, Place
from ssahc.learning.network import Network, Tensor
from ssahc.runtime.batching import Job, in_batches

Device = Literal["auto", "cpu", "cuda"]
# One array for each of W1 and W2.
Pair = tuple[Float32Array, Float32Array]

# Adam's constants (Kingma & Ba, "Adam", ICLR 2015).
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Input values of a batch on a GPU.
_MOST_ON_GPU = 1 << 27

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class Learner:
    """The network of one recording with its inputs and the state of its optimiser.

    Parameters
    ----------
    inputs : (N, D) array
    weights : (D, D) and (d, D) array
        W1 and W2.
    offset : (1, D) array
        Of an affine whitening.
    means, squares : two arrays each
        Adam's running means of the weights' gradients and of their squares.
    steps : int
        That were taken.
    """

    inputs: Float32Array
    weights: Pair
    offset: Float32Array
    means: Pair
    squares: Pair
    steps: int

    @classmethod
    def at_start(
        cls, inputs: FloatArray, whitening: FloatArray, projection: FloatArray
    ) -> "Learner":
        """Return a network that has not been trained.

        Parameters
        ----------
        inputs : (N, D) array
        whitening : (D, D) or (D, D + 1) array
            Start of W1, the offset in the last column if there is one.
        projection : (d, D) array
            Start of W2.
        """
        dim = inputs.shape[1]
        first, second = (
            np.ascontiguousarray(weight, np.float32)
            for weight in (whitening[:, :dim], projection)
        )
        offset = whitening[:, dim:].sum(axis=1, keepdims=True).T
        zeros = np.zeros_like(first), np.zeros_like(second)
        return cls(
            inputs.astype(np.float32),
            (first, second),
            offset.astype(np.float32),
            *(zeros, zeros, 0),
        )


@dataclass(frozen=True, eq=False)
class Training:
    """What a training run did.

    Attributes
    ----------
    losses : tuple of float
        Loss before each step and, at the end, of the network as it is left.
    stopped : {"eta", "max_steps", "no_gain", "diverged"}
        "no_gain" if the loss ends no lower than it began, "diverged" if it is not
        finite.
    embeddings : (N, d) array
        What the network makes of its inputs as it is left, rows of unit length.
    learner : Learner
        As it is left, to be trained on.
    """

    losses: tuple[float, ...]
    stopped: Literal["eta", "max_steps", "no_gain", "diverged"]
    embeddings: FloatArray
    learner: Learner


@dataclass(frozen=True, eq=False)
class Train(Job[Training]):
    """The training of one recording's network by full-batch Adam.

    Parameters
    ----------
    learner : Learner
    loss : Loss
        Of the network's output.
    lr : float
        Learning rate.
    eta : float
        Stop, before the step, when the loss is below this share of its first value.
        Losses that are not steady are trained for all steps.
    max_steps : int
    device : {"auto", "cpu", "cuda"}
    """

    learner: Learner
    loss: Loss
    lr: float
    eta: float
    max_steps: int
    device: Device = "cpu"

    @property
    def kind(self) -> Hashable:
        """What recordings have in common that are trained together."""
        options = (self.lr, self.eta, self.max_steps, self.device)
        return Train, type(self.loss), self.learner.inputs.shape[1], options

    @classmethod
    def do_all(cls, jobs: Sequence["Train"]) -> list[Training | MemoryError]:
        """Train the networks of several recordings."""
        if has_gpu(jobs[0].device):
            on_gpu = in_batches(
                *(jobs, lambda job: job.learner.inputs.shape, _train_on_gpu),
                most=_MOST_ON_GPU,
            )
            return [
                _train_after_all(job, failure=found)
                if isinstance(found, MemoryError)
                else found
                for job, found in zip(jobs, on_gpu, strict=True)
            ]
        # A CPU is busy with one. What is filled up would change sums in the last bit,
        # so that what is learned would depend on the other recordings.
        return [training for job in jobs for training in train_side_by_side([job])]


def train_side_by_side(
    jobs: Sequence[Train], place: Place = np.ascontiguousarray
) -> list[Training]:
    """Train networks in one batch.

    Parameters
    ----------
    jobs : sequence of Train
        With the same options.
    place : callable
        Puts an array where the networks are trained.
    """
    first = jobs[0]
    batch = _Batch(jobs, place)
    losses: list[list[float]] = [[] for _ in jobs]
    done: dict[int, Training] = {}
    while True:
        # What overflows is noticed by the loss.
        with np.errstate(over="ignore", invalid="ignore"):
            passed = batch.network.run(batch.inputs)
            values, gradient = batch.loss.evaluate(passed)
        for index, value in enumerate(values.tolist()):
            if index in done:
                continue
            losses[index].append(value)
            stopped = _why_stop(losses[index], jobs[index])
            if stopped is not None:
                done[index] = Training(
                    tuple(losses[index]), stopped, *batch.leave(index, passed.unit)
                )
        if len(done) == len(jobs):
            return [done[index] for index in range(len(jobs))]
        with np.errstate(over="ignore", invalid="ignore"):
            batch.step(passed.gradients(gradient), first.lr)


def _why_stop(
    losses: Sequence[float], job: Train
) -> Literal["eta", "max_steps", "no_gain", "diverged"] | None:
    """Return why training stops after these losses; None if it goes on."""
    if not isfinite(losses[-1]):
        return "diverged"
    compares = job.loss.is_steady
    # A loss that starts below zero (large gamma) has no ratio to speak of.
    if compares and losses[0] > 0 and losses[-1] < job.eta * losses[0]:
        return "eta"
    if len(losses) <= job.max_steps:
        return None
    has_gained = losses[-1] < losses[0] or job.max_steps == 0 or not compares
    return "max_steps" if has_gained else "no_gain"


class _Batch:
    """The networks of several recordings, filled up to one shape with zeros.

    What is filled up has no gradient.
    """

    def __init__(self, jobs: Sequence[Train], place: Place) -> None:
        self.learners = [job.learner for job in jobs]
        self.inputs = place(_stack([one.inputs for one in self.learners]))
        self.network = Network(
            place(_stack([one.weights[0] for one in self.learners])),
            place(_stack([one.offset for one in self.learners])),
            place(_stack([one.weights[1] for one in self.learners])),
        )
        self.means = [
            place(_stack([one.means[weight] for one in self.learners]))
            for weight in (0, 1)
        ]
        self.squares = [
            place(_stack([one.squares[weight] for one in self.learners]))
            for weight in (0, 1)
        ]
        steps = [[[one.steps]] for one in self.learners]
        self.steps = place(np.array(steps, np.float32))
        count = self.inputs.shape[1]
        self.loss = type(jobs[0].loss).stack([job.loss for job in jobs], count, place)

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Take one step of Adam with every network."""
        self.steps += 1
        bias1, bias2 = 1 - _BETA1**self.steps, 1 - _BETA2**self.steps
        for weight, gradient, mean, square in zip(
            self.network.weights, gradients, self.means, self.squares, strict=True
        ):
            mean *= _BETA1
            mean += (1 - _BETA1) * gradient
            square *= _BETA2
            square += (1 - _BETA2) * (gradient * gradient)
            weight -= lr / bias1 * mean / ((square / bias2) ** 0.5 + _EPSILON)
        self.loss.step(lr)

    def leave(self, index: int, unit: Tensor) -> tuple[FloatArray, Learner]:
        """Return a recording's embeddings, and its network as it is now."""
        one = self.learners[index]
        rows = [len(weight) for weight in one.weights]

        def take(tensors: Sequence[Tensor]) -> Pair:
            first, second = (
                _fetch(tensor[index, :kept])
                for tensor, kept in zip(tensors, rows, strict=True)
            )
            return first, second

        after = replace(
            one,
            weights=take(self.network.weights),
            means=take(self.means),
            squares=take(self.squares),
            steps=int(self.steps[index, 0, 0]),
        )
        embeddings = _fetch(unit[index, : len(one.inputs), : rows[1]])
        return embeddings.astype(np.float64), after


def _stack(matrices: Sequence[Float32Array]) -> Float32Array:
    """Return matrices as one, with rows of zeros where they are short."""
    rows = max(len(matrix) for matrix in matrices)
    stacked = np.zeros((len(matrices), rows, matrices[0].shape[1]), np.float32)
    for index, matrix in enumerate(matrices):
        stacked[index, : len(matrix)] = matrix
    return stacked


def _fetch(tensor: Tensor) -> Float32Array:
    """Return a copy of a tensor as an array of this machine's memory."""
    return np.array(tensor if isinstance(tensor, np.ndarray) else tensor.cpu().numpy())


# ---- where -------------------------------------------------------------------------


def _train_on_gpu(jobs: Sequence[Train]) -> list[Training]:
    import torch

    with memory_errors():
        return train_side_by_side(jobs, lambda array: torch.from_numpy(array).cuda())


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's errors of an allocation into MemoryError."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        # How much was asked for; what more torch has to say fills a screen.
        said = ". ".join(str(error).split(". ")[:2])
        raise MemoryError(f"on the GPU: {said}") from error
    except RuntimeError as error:
        # On the CPU it has no error of its own.
        if "can't allocate memory" not in str(error):
            raise
        raise MemoryError(str(error)) from error


def _train_after_all(job: Train, *, failure: MemoryError) -> Training | MemoryError:
    """Train on the CPU what is too large for the GPU, unless that was asked for."""
    if job.device == "cuda":
        return MemoryError(f"{failure}; leave out --device cuda")
    _logger.warning(
        "a recording of %d windows is trained on the CPU (not enough memory: %s)",
        *(len(job.learner.inputs), failure),
    )
    try:
        (training,) = train_side_by_side([job])
    except MemoryError as error:
        # Without the arrays of what failed, which its traceback would keep.
        return MemoryError(str(error))
    return training


def has_gpu(device: Device) -> bool:
    """Whether networks are trained on a GPU.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        "auto" is the GPU if there is one.

    Raises
    ------
    UsageError
        If "cuda" is asked for and there is none.
    """
    if device == "cpu" or (device == "auto" and not _has_driver()):
        return False
    import torch

    if torch.cuda.is_available():
        return True
    if device == "cuda":
        raise UsageError("no CUDA device is available; use --device cpu")
    return False


def _has_driver() -> bool:
    """Whether there may be a GPU; to ask torch for certain takes seconds to load it."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return sys.platform != "linux" or any(map(os.path.exists, drivers))
