"""Training the networks of recordings, one by one or in batches on a GPU."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import numpy as np

from ssahc.core.types import Float32Array, FloatArray
from ssahc.learning.losses.ssa import Loss, Place
from ssahc.learning.network import Network, Tensor
from ssahc.runtime.batching import do_in_batches
from ssahc.runtime.device import Device, has_gpu, memory_errors

# One array for each of W1 and W2.
Pair = tuple[Float32Array, Float32Array]

# Adam's constants (Kingma & Ba, "Adam", ICLR 2015).
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Input values of a batch on a GPU.
_MOST_ON_GPU = 1 << 27

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class Learner:
    """The network of one recording, with its inputs and the state of Adam.

    Inputs are (N, D), weights W1 (D', D) and W2 (d, D'), where D' is D unless the
    whitening projects; the offset (1, D') of an affine one is not trained. Adam keeps
    running means of gradients and of their squares.
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
        """Return an untrained network that starts with these weights.

        The whitening is (D', D), or (D', D + 1) with an offset in the last column; the
        projection is (d, D').
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
            means=zeros,
            squares=zeros,
            steps=0,
        )


@dataclass(frozen=True, eq=False)
class Training:
    """The outcome of a `TrainingJob`.

    Losses are those before each step, and that of the trained network. Training stopped
    with "no_gain" if the loss ends no lower than it began, with "diverged" if it is not
    finite. Embeddings (N, d) have unit length. The `learner` can be trained further.
    """

    losses: tuple[float, ...]
    stopped: Literal["eta", "max_steps", "no_gain", "diverged"]
    embeddings: FloatArray
    learner: Learner


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """The network of one recording, to be trained by full-batch Adam.

    Training stops, before the step, when the loss is below the share `eta` of its first
    value. Losses that are not steady are trained for all steps.
    """

    learner: Learner
    loss: Loss
    lr: float
    eta: float
    max_steps: int

    @property
    def kind(self) -> tuple[object, ...]:
        """What the jobs of one batch have in common."""
        dim = self.learner.inputs.shape[1]
        return type(self.loss), dim, self.lr, self.eta, self.max_steps


def train_networks(
    jobs: Sequence[TrainingJob], device: Device = "cpu"
) -> list[Training]:
    """Train the networks of several recordings, and return them in the same order.

    A MemoryError is raised if there is not enough memory for one of the recordings.
    """
    if not jobs or not has_gpu(device):
        # One at a time: padding would change sums in the last bit, so that the result
        # would depend on the other recordings.
        return [training for job in jobs for training in train_batch([job])]
    trained: dict[int, Training | MemoryError] = {}
    for kind in dict.fromkeys(job.kind for job in jobs):
        indices = [index for index, job in enumerate(jobs) if job.kind == kind]
        batched = do_in_batches(
            [jobs[index] for index in indices],
            lambda job: job.learner.inputs.shape,
            _train_on_gpu,
            most=_MOST_ON_GPU,
        )
        trained.update(zip(indices, batched, strict=True))
    return [
        _train_on_cpu_instead(job, found, device)
        if isinstance(found := trained[index], MemoryError)
        else found
        for index, job in enumerate(jobs)
    ]


def _train_on_gpu(jobs: Sequence[TrainingJob]) -> list[Training]:
    import torch

    with memory_errors():
        return train_batch(jobs, lambda array: torch.from_numpy(array).cuda())


def _train_on_cpu_instead(
    job: TrainingJob, failure: MemoryError, device: Device
) -> Training:
    """Train a network that is too large for the GPU, unless a GPU was asked for."""
    if device == "cuda":
        raise MemoryError(f"{failure}; leave out --device cuda")
    _logger.warning(
        f"a recording of {len(job.learner.inputs)} windows is trained on the CPU (not "
        f"enough memory: {failure})"
    )
    (training,) = train_batch([job])
    return training


def train_batch(
    jobs: Sequence[TrainingJob], place: Place = np.ascontiguousarray
) -> list[Training]:
    """Train networks of one kind in one batch; `place` puts an array where they are."""
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
    losses: Sequence[float], job: TrainingJob
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
    """The networks of several recordings, filled up to one shape with zeros."""

    def __init__(self, jobs: Sequence[TrainingJob], place: Place) -> None:
        learners = self.learners = [job.learner for job in jobs]

        def stack(matrices: Iterable[Float32Array]) -> Tensor:
            return place(_stack(list(matrices)))

        def stack_pairs(pairs: list[Pair]) -> list[Tensor]:
            return [stack(matrices) for matrices in zip(*pairs, strict=True)]

        self.inputs = stack(one.inputs for one in learners)
        first, second = stack_pairs([one.weights for one in learners])
        self.network = Network(first, stack(one.offset for one in learners), second)
        self.means = stack_pairs([one.means for one in learners])
        self.squares = stack_pairs([one.squares for one in learners])
        self.steps = place(np.array([[[one.steps]] for one in learners], np.float32))
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
