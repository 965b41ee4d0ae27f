"""A network with normalised embeddings, as it is trained."""

import torch
from torch import Tensor, nn

from ssahc.frontend.extractors.networks.network import (
    EPSILON,
    BatchNorm,
    EmbeddingNetwork,
)


class NormalizedNetwork(nn.Module):
    """A network whose embeddings get zero mean, and a learned variance by dimension.

    At first they have unit length on average.

    Parameters
    ----------
    network : EmbeddingNetwork
        Its last layer, `embedding`, is affine.
    """

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network, self.norm = network, BatchNorm(network.dim)
        self.scale = nn.Parameter(torch.full((network.dim,), network.dim**-0.5))

    def forward(self, frames: Tensor) -> Tensor:
        """Return embeddings (B, D) of frames (B, T, F)."""
        embeddings: Tensor = self.norm(self.network(frames)) * self.scale
        return embeddings

    def folded(self) -> EmbeddingNetwork:
        """Return the network, changed so that it gives these embeddings by itself."""
        layer = self.network.embedding
        if not isinstance(layer, nn.Linear):
            raise TypeError("the last layer is not affine")
        with torch.no_grad():
            factors = self.scale / (self.norm.running_var + EPSILON).sqrt()
            layer.bias.sub_(self.norm.running_mean).mul_(factors)
            layer.weight.mul_(factors[:, None])
        return self.network.eval()
