"""An encoder of scaled dot-product attention.

Song, Willi, Thiagarajan, Berisha, Spanias: Triplet network with attention for speaker
diarization (Interspeech 2018); Narayanaswamy et al.: Designing an effective metric
learning pipeline for speaker diarization (ICASSP 2019). As there, positions are encoded
by sinusoids (Vaswani et al. 2017) and frames are pooled over time. Other than there,
two convolutions come first, and take three frames at a time; frames are normalised
before each layer, not behind it; and what is pooled are rectified linear units.
"""

from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from ssahc.frontend.extractors.networks.network import (
    BatchNorm,
    EmbeddingNetwork,
    pool_frames,
    pooled_dim,
)
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions

# Taps and stride of the convolutions before the attention.
_CONVOLUTIONS = ((5, 1), (3, 3))
# Units between the two affine transforms of a layer, and those that are pooled, as
# multiples of the width.
_INNER, _POOLED = 2, 3
# Longest wavelength of the encoded positions, divided by 2 pi.
_LONGEST_WAVE = 10_000.0
# Of the encoded positions, when training starts.
_POSITION_SCALE = 0.1


class AttentionNetwork(EmbeddingNetwork):
    """Layers of self-attention on MFCC, pooled over time."""

    fewest_frames = 1 + sum(taps - 1 for taps, _ in _CONVOLUTIONS)

    def __init__(self, options: ExtractorNetworkOptions) -> None:
        super().__init__(options)
        width, pooled = options.width, _POOLED * options.width
        # Cepstra are large: beside them, positions and layers would hardly count.
        self.input_norm = BatchNorm(options.feature_dim)
        dims = (options.feature_dim, width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dim, width, taps, stride)
            for dim, (taps, stride) in zip(dims, _CONVOLUTIONS, strict=True)
        )
        self.norms = nn.ModuleList(BatchNorm(width) for _ in _CONVOLUTIONS)
        self.position_scale = nn.Parameter(torch.full((), _POSITION_SCALE))
        self.layers = nn.ModuleList(
            _Layer(width, options.attention_heads)
            for _ in range(options.attention_layers)
        )
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, pooled)
        self.pooled_norm = BatchNorm(pooled)
        self.embedding = nn.Linear(
            pooled_dim(pooled, options.pooling), options.embedding_dim
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return embeddings (B, D) of frames (B, T, F)."""
        outputs = self.input_norm(frames.transpose(1, 2))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            outputs = norm(relu(convolution(outputs)))
        hidden = outputs.transpose(1, 2)
        hidden = hidden + self.position_scale * _encode_positions(hidden)
        for layer in self.layers:
            hidden = layer(hidden)
        units = relu(self.output(self.output_norm(hidden))).transpose(1, 2)
        pooled = pool_frames(self.pooled_norm(units), self.options.pooling)
        embeddings: Tensor = self.embedding(pooled)
        return embeddings


class _Layer(nn.Module):
    """Attention of several heads, then two affine transforms; each adds to its input.

    (Vaswani et al. 2017, eq. 1 and 2.)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        # Queries, keys and values of all heads.
        self.projections = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.inner_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, _INNER * width)
        self.outer = nn.Linear(_INNER * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the layer's outputs (B, T, W) of (B, T, W)."""
        projected = self.projections(self.attention_norm(hidden))
        # (3, B, heads, T, W / heads)
        parts = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(parts[0], parts[1], parts[2])
        hidden = hidden + self.merge(attended.transpose(1, 2).flatten(2))
        return hidden + self.outer(relu(self.inner(self.inner_norm(hidden))))


def _encode_positions(hidden: Tensor) -> Tensor:
    """Return sines and cosines (T, W) of the places of frames (B, T, W)."""
    width = hidden.shape[2]
    steps = torch.arange(0, width, 2, device=hidden.device)
    rates = torch.exp(-log(_LONGEST_WAVE) / width * steps)
    times = torch.arange(hidden.shape[1], device=hidden.device)
    angles = times[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
