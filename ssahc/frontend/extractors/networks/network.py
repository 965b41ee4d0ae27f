"""What networks that embed speech have in common."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions

# Kaldi's: least variance of pooled frames, and what is added to the variance of those
# that are normalised.
LEAST_VARIANCE, EPSILON = 1e-10, 1e-3
# Of the running mean and variance, of every batch.
_MOMENTUM = 0.1


class EmbeddingNetwork(nn.Module):
    """A network that turns the frames of a stretch of speech into one embedding.

    A call takes frames (B, T, F), which `feature_source` and `normalize_features` make,
    and returns embeddings (B, D). In training, batch normalisation is by the batch, and
    its running mean and variance are buffers, of float32 as all that is kept.

    Attributes
    ----------
    options : ExtractorNetworkOptions
    dim : int
        Dimension D of the embeddings.
    fewest_frames : int
        Least number of frames T.
    """

    fewest_frames: int = 1

    def __init__(self, options: ExtractorNetworkOptions) -> None:
        super().__init__()
        self.options = options
        self.dim = options.embedding_dim


class BatchNorm(nn.Module):
    """Batch normalisation of (B, C) or (B, C, T) without a scale and offset, Kaldi's.

    Its buffers are float32, and do not count batches as those of torch's module do.
    `count` is the number of frames that Kaldi says its statistics are of; training does
    not change it.
    """

    running_mean: Tensor
    running_var: Tensor
    count: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))
        self.register_buffer("count", torch.ones(()))

    def forward(self, values: Tensor) -> Tensor:
        """Return values of zero mean and unit variance over all axes but the second."""
        return batch_norm(
            values,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=_MOMENTUM,
            eps=EPSILON,
        )


def pool_frames(frames: Tensor, pooling: Literal["statistics", "average"]) -> Tensor:
    """Return the mean of frames (B, C, T), and their standard deviation if wanted."""
    if pooling == "average":
        return frames.mean(dim=2)
    variance, mean = torch.var_mean(frames, dim=2, correction=0)
    return torch.cat([mean, variance.clamp(min=LEAST_VARIANCE).sqrt()], dim=1)


def pooled_dim(dim: int, pooling: Literal["statistics", "average"]) -> int:
    """Return the dimension of what `pool_frames` returns of frames of C dimensions."""
    return 2 * dim if pooling == "statistics" else dim
