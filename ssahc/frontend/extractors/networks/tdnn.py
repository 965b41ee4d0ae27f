"""Kaldi's x-vector network in torch.

Snyder, Garcia-Romero, Sell, Povey, Khudanpur: X-vectors: robust DNN embeddings for
speaker recognition (ICASSP 2018). Layers are named as in Kaldi's recipes.
"""

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import relu

from ssahc.frontend.extractors.networks.network import (
    BatchNorm,
    EmbeddingNetwork,
    pool_frames,
)
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions

# Taps and dilation of the layers below the pooling.
LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))
# Units of the last of them, as multiples of the others'; in the recipes 1500 and 512.
WIDENING = 3
# Frames behind the first one that statistics are of, in Kaldi's recipes of 16 kHz.
LONGEST = 10_000


class FrameLevel(nn.Module):
    """Layers below the pooling: affine transform of spliced frames, ReLU, BatchNorm.

    Parameters
    ----------
    input_dim, width, pooled_dim : int
        Dimensions of a frame, of the layers, and of the last of them.
    """

    # Frames that an output depends on.
    context = 1 + sum((taps - 1) * dilation for taps, dilation in LAYERS)

    def __init__(self, input_dim: int, width: int, pooled_dim: int) -> None:
        super().__init__()
        dims = [input_dim, *[width] * (len(LAYERS) - 1), pooled_dim]
        self.affine = nn.ModuleList(
            nn.Conv1d(before, after, taps, dilation=dilation)
            for before, after, (taps, dilation) in zip(
                dims[:-1], dims[1:], LAYERS, strict=True
            )
        )
        self.norm = nn.ModuleList(BatchNorm(dim) for dim in dims[1:])

    def forward(self, frames: Tensor) -> Tensor:
        """Return (B, C, T - context + 1) of frames (B, F, T)."""
        for affine, norm in self.layers():
            frames = norm(relu(affine(frames)))
        return frames

    def layers(self) -> Iterator[tuple[nn.Conv1d, BatchNorm]]:
        """Yield the affine transform and the normalisation of each layer."""
        for affine, norm in zip(self.affine, self.norm, strict=True):
            yield cast(nn.Conv1d, affine), cast(BatchNorm, norm)


class TdnnNetwork(EmbeddingNetwork):
    """X-vector network, whose embedding is the affine transform behind the pooling.

    What Kaldi trains behind it is a part of the loss. Statistics are of `longest` + 1
    frames at most.
    """

    fewest_frames = FrameLevel.context

    def __init__(
        self, options: ExtractorNetworkOptions, longest: int = LONGEST
    ) -> None:
        super().__init__(options)
        self.longest = longest
        pooled = options.pooled_width or WIDENING * options.width
        self.frame_level = FrameLevel(options.feature_dim, options.width, pooled)
        self.embedding = nn.Linear(2 * pooled, options.embedding_dim)

    def forward(self, frames: Tensor) -> Tensor:
        """Return embeddings (B, D) of frames (B, T, F)."""
        outputs = self.frame_level(frames.transpose(1, 2))[..., : self.longest + 1]
        embeddings: Tensor = self.embedding(pool_frames(outputs, "statistics"))
        return embeddings
