"""SincNet, the encoder of pyannote's segmentation networks.

Ravanelli, Bengio: Speaker recognition from raw waveform with SincNet (SLT 2018). Names
of modules are those of the published weights.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, leaky_relu, max_pool1d

from ssahc.frontend.segmentation.encoder import Encoder
from ssahc.frontend.sinc_filters import NUM_BANDS, SincFilters

# From one output of a filter to the next, in seconds: 10 samples at 16 kHz.
_STRIDE = 1 / 1600
_FILTERS, _CHANNELS = 2 * NUM_BANDS, 60
# Outputs that a pooling joins, and inputs of the later convolutions.
_POOL, _TAPS = 3, 5


class SincNet(Encoder):
    """Band-pass filters and two convolutions, all normalised over the chunk.

    Parameters
    ----------
    rate : int
        Of the audio, in Hz.
    """

    dim = _CHANNELS

    def __init__(self, rate: int) -> None:
        super().__init__()
        filterbank = SincFilters(rate)
        self.kernel = filterbank.kernel
        self.stride = round(_STRIDE * rate)
        # Samples from one output of the first pooling to the next.
        self.grid = self.stride * _POOL
        self.frame_shift = self.stride * _POOL**3
        self.receptive_field = self.kernel + self.stride * (
            (_POOL - 1) * (1 + _POOL + _POOL**2) + (_TAPS - 1) * (_POOL + _POOL**2)
        )
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        self.conv1d = nn.ModuleList(
            [
                nn.ModuleDict({"filterbank": filterbank}),
                nn.Conv1d(_FILTERS, _CHANNELS, _TAPS),
                nn.Conv1d(_CHANNELS, _CHANNELS, _TAPS),
            ]
        )
        self.norm1d = nn.ModuleList(
            nn.InstanceNorm1d(size, affine=True)
            for size in (_FILTERS, _CHANNELS, _CHANNELS)
        )

    def forward(self, chunks: Tensor) -> Tensor:
        """Return frames (B, 60, T) of chunks (B, S)."""
        waveforms = self.wav_norm1d(chunks[:, None])
        filtered = conv1d(waveforms, self._filters()[:, None], stride=self.stride)
        return self._encode(max_pool1d(filtered.abs(), _POOL))

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return frames (B, 60, T) of the chunks of a stretch (S,).

        Filters are linear, so that they are computed before chunks are normalised.
        """
        filters = self._filters()
        filtered = conv1d(stretch[None], filters[:, None], stride=self.stride)
        # Of what is pooled, one of the two is the largest when normalised.
        highest, lowest = max_pool1d(filtered, _POOL), -max_pool1d(-filtered, _POOL)
        width = (size - self.kernel + self.stride) // self.grid
        frames = []
        # Chunk by chunk, activations stay in the cache of a CPU.
        for number, chunk in enumerate(stretch.unfold(0, size, step)):
            variance, mean = torch.var_mean(chunk, correction=0)
            scale = self.wav_norm1d.weight * (variance + self.wav_norm1d.eps).rsqrt()
            offset = self.wav_norm1d.bias - scale * mean
            # A filter adds up what is constant in its input.
            constant = offset * filters.sum(dim=1, keepdim=True)
            first = number * step // self.grid
            own = slice(first, first + width)
            pooled = torch.maximum(
                (constant + scale * highest[:, own]).abs(),
                (constant + scale * lowest[:, own]).abs(),
            )
            frames.append(self._encode(pooled[None]))
        return torch.cat(frames)

    def _encode(self, pooled: Tensor) -> Tensor:
        frames = leaky_relu(self.norm1d[0](pooled))
        for conv, norm in zip(self.conv1d[1:], self.norm1d[1:], strict=True):
            frames = leaky_relu(norm(max_pool1d(conv(frames), _POOL)))
        return frames

    def _filters(self) -> Tensor:
        (filterbank,) = self.conv1d[0].children()
        filters: Tensor = filterbank()
        return filters
