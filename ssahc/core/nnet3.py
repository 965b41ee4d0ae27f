"""A Kaldi nnet3 network as data: what `ssahc.io.nnet3` reads from a file."""

from dataclasses import dataclass

import numpy as np

from ssahc.core.types import BriefRepr, Float32Array, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Affine(BriefRepr):
    """``W x + b`` with `weight` (D_out, D_in) and `bias` (D_out,)."""

    weight: Float32Array
    bias: Float32Array


@dataclass(frozen=True)
class Relu:
    """``max(0, x)`` of `dim` dimensions."""

    dim: int


@dataclass(frozen=True, eq=False, repr=False)
class Normalization(BriefRepr):
    """Batch normalisation in test mode, by `mean` and `variance` (D,).

    They are of `count` frames. Outputs have the root mean square `target_rms`.
    """

    mean: FloatArray
    variance: FloatArray
    count: float = 1.0
    epsilon: float = 1e-3
    target_rms: float = 1.0

    @property
    def scale(self) -> FloatArray:
        """Factor (D,) of the input."""
        return self.target_rms / np.sqrt(np.maximum(self.variance, 0) + self.epsilon)

    @property
    def offset(self) -> FloatArray:
        """What is added (D,) to the scaled input."""
        return -self.mean * self.scale


@dataclass(frozen=True)
class StatisticsExtraction:
    """Count, sum and, if `include_variance`, sum of squares of `dim` dimensions."""

    dim: int
    include_variance: bool


@dataclass(frozen=True)
class StatisticsPooling:
    """Mean and standard deviation over frames t - left to t + right, both included.

    `dim` counts the statistics that come in, the number of frames among them.
    The mean of the squares in place of the standard deviation unless `output_stddevs`.
    The logarithm of the number of frames precedes them `num_log_counts` times.
    """

    dim: int
    left: int
    right: int
    num_log_counts: int
    output_stddevs: bool
    variance_floor: float


@dataclass(frozen=True)
class LogSoftmax:
    """``x - log(sum(exp(x)))`` of `dim` dimensions."""

    dim: int


Component = (
    Affine
    | Relu
    | Normalization
    | StatisticsExtraction
    | StatisticsPooling
    | LogSoftmax
)


@dataclass(frozen=True)
class Input:
    """A node, or "input", whose output is taken `offset` frames later."""

    node: str
    offset: int


@dataclass(frozen=True)
class Node:
    """A component applied to the concatenated `inputs`; None passes them on.

    `dim` is the dimension of the output.
    """

    name: str
    component: Component | None
    inputs: tuple[Input, ...]
    dim: int


@dataclass(frozen=True)
class Nnet3:
    """The nodes that the output depends on, each after its inputs; the last is it.

    `input_dim` is the dimension of a frame of features, read by the name "input".
    """

    input_dim: int
    nodes: tuple[Node, ...]

    @property
    def output_dim(self) -> int:
        """Dimension of the output."""
        return self.nodes[-1].dim
