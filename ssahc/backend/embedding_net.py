"""The embedding network trained once on labelled x-vectors (`EmbeddingNet`).

`run_network` works on numpy arrays and on torch tensors. The network of a recording
(`ssahc.learning.network`) has the same two layers but shares no code with it: it is
learned without torch, for batches of recordings, so it keeps what its hand-written
gradient needs; this one may have hidden layers, and torch differentiates it.
"""

from math import sqrt
from typing import Any

from ssahc.backend.preprocess import SHORTEST, check_dim
from ssahc.core.model import transform_dim
from ssahc.core.types import EmbeddingNet, FloatArray

# A numpy array or a torch tensor.
Tensor = Any


def apply_embedding_net(centered: FloatArray, net: EmbeddingNet) -> FloatArray:
    """Return the embeddings (N, d), not scaled, of centred x-vectors (N, D).

    Raises a DataError if the network is of another dimension.
    """
    dim = transform_dim(net.whitening, centered.shape[1])
    check_dim(centered, dim, "the embedding network")
    return run_network(centered, weights_of(net))


def weights_of(net: EmbeddingNet) -> list[FloatArray]:
    """Return the weights of a network, from its input to its output."""
    hidden = [weights for layer in net.hidden for weights in layer]
    return [net.whitening, *hidden, net.projection]


def as_embedding_net(weights: list[FloatArray]) -> EmbeddingNet:
    """Return the network with these weights; the inverse of `weights_of`."""
    whitening, *hidden, projection = weights
    return EmbeddingNet(whitening, _in_pairs(hidden), projection)


def run_network(inputs: Tensor, weights: list[Tensor]) -> Tensor:
    """Return the outputs (N, d) of a network for centred x-vectors (N, D)."""
    whitening, *hidden, projection = weights
    whitened = _affine(inputs, whitening)
    # Clipped before the root, which has no finite gradient at 0.
    square = (whitened * whitened).sum(axis=1)[:, None].clip(min=SHORTEST**2)
    normalized = whitened * (sqrt(whitened.shape[1]) / square**0.5)
    for inner, outer in _in_pairs(hidden):
        normalized = normalized + _affine(normalized, inner).clip(min=0.0) @ outer.T
    return normalized @ projection.T


def _in_pairs(hidden: list[Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
    return tuple(zip(hidden[::2], hidden[1::2], strict=True))


def _affine(inputs: Tensor, weights: Tensor) -> Tensor:
    """Apply weights (H, D), or (H, D + 1) with an offset in the last column."""
    dim = inputs.shape[1]
    return inputs @ weights[:, :dim].T + weights[:, dim:].sum(axis=1)
