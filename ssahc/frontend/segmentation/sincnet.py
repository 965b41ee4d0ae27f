"""SincNet, the encoder of pyannote's segmentation networks.

Ravanelli, Bengio: Speaker recognition from raw waveform with SincNet (SLT 2018). Names
of modules are those of the published weights.
"""

from math import pi

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, leaky_relu, max_pool1d

from ssahc.frontend.segmentation.encoder import Encoder

# Samples that a filter sees, and from one of its outputs to the next, in seconds:
# 251 and 10 samples at 16 kHz.
_KERNEL, _STRIDE = 251 / 16000, 1 / 1600
_FILTERS, _CHANNELS = 80, 60
# Outputs that a pooling joins, and inputs of the later convolutions.
_POOL, _TAPS = 3, 5
# Lowest frequency of a filter and its least width, in Hz.
_LOWEST, _NARROWEST = 50.0, 50.0


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
        # Odd, so that there is a sample in the centre.
        self.kernel = int(_KERNEL * rate) // 2 * 2 + 1
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
                nn.ModuleDict({"filterbank": _Filterbank(rate, self.kernel)}),
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


class _Filterbank(nn.Module):
    """Band-pass filters that are learned by their edges, each with two phases."""

    window_: Tensor
    n_: Tensor

    def __init__(self, rate: int, kernel: int) -> None:
        super().__init__()
        self.highest = rate / 2
        half = kernel // 2
        # Equal steps on the mel scale.
        top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700))
        bottom = 2595 * torch.log10(torch.tensor(1 + 30 / 700))
        mels = torch.linspace(float(bottom), float(top), _FILTERS // 2 + 1)
        edges = 700 * (10 ** (mels / 2595) - 1)
        self.low_hz_ = nn.Parameter(edges[:-1, None])
        self.band_hz_ = nn.Parameter(edges.diff()[:, None])
        self.register_buffer("window_", torch.hamming_window(kernel, False)[:half])
        places = torch.arange(-half, 0).view(1, -1)
        self.register_buffer("n_", 2 * pi * places / rate)

    def forward(self) -> Tensor:
        """Return filters (80, K): all cosine phases, then all sine phases."""
        low = _LOWEST + self.low_hz_.abs()
        high = (low + _NARROWEST + self.band_hz_.abs()).clamp(_LOWEST, self.highest)
        width = 2 * (high - low)
        # In this order, rounding is that of the networks that were trained.
        even = ((high * self.n_).sin() - (low * self.n_).sin()) / (self.n_ / 2)
        odd = ((low * self.n_).cos() - (high * self.n_).cos()) / (self.n_ / 2)
        even, odd = even * self.window_, odd * self.window_
        cosines = torch.cat([even, width, even.flip(1)], dim=1)
        sines = torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], dim=1)
        return torch.cat([cosines / width, sines / width])
