"""The segmentation network of pyannote.audio: SincNet, LSTM and powerset classes.

Bredin, Laurent: End-to-end speaker segmentation for overlap-aware resegmentation
(Interspeech 2021); Ravanelli, Bengio: Speaker recognition from raw waveform with
SincNet (SLT 2018). Names of modules are those of the published weights.
"""

from functools import partial
from math import pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, leaky_relu, log_softmax, max_pool1d

from ssahc.core.errors import FormatError
from ssahc.core.types import Float32Array
from ssahc.frontend.extractors.checkpoints import read_checkpoint
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.powerset import speaker_sets

# Seconds of a chunk; local speakers in it, and how many of them speak at once.
_CHUNK, _SPEAKERS, _AT_ONCE = 10, 3, 2
# Types that pyannote.audio's own checkpoints have beside the weights.
_PYANNOTES = (
    "pyannote.audio.core.task.Problem",
    "pyannote.audio.core.task.Resolution",
    "pyannote.audio.core.task.Specifications",
    "torch.torch_version.TorchVersion",
)
RATE = 16000
# Samples that the first convolution sees, and from one of its outputs to the next.
_KERNEL, _STRIDE = 251, 10
_FILTERS, _CHANNELS, _HIDDEN, _LAYERS = 80, 60, 128, 4
# Outputs that a pooling joins, and inputs of the later convolutions.
_POOL, _TAPS = 3, 5
# Lowest frequency of a filter and its least width, in Hz.
_LOWEST, _NARROWEST = 50.0, 50.0
# Samples from one frame to the next, and that a frame depends on.
FRAME_SHIFT = _STRIDE * _POOL**3
RECEPTIVE_FIELD = _KERNEL + _STRIDE * (
    (_POOL - 1) * (1 + _POOL + _POOL**2) + (_TAPS - 1) * (_POOL + _POOL**2)
)
# Samples from one output of the first pooling to the next.
GRID = _STRIDE * _POOL


def load_segmenter(path: Path, device: str = "cpu") -> Segmenter:
    """Load segmentation-3.0, or a network of its shape, from a checkpoint's weights.

    Raises a FormatError if the checkpoint is damaged or of another network.
    """
    sets = speaker_sets(_SPEAKERS, _AT_ONCE)
    checkpoint = read_checkpoint(path, inert=_PYANNOTES)
    network = SegmentationNet(len(sets))
    try:
        network.load_state_dict(checkpoint["state_dict"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise FormatError(
            "these are not the weights of pyannote's segmentation-3.0", path=path
        ) from error
    return Segmenter(
        sets=sets,
        run=partial(_run, network.eval().to(device), device),
        sample_rate=RATE,
        chunk=_CHUNK * RATE,
        frame_shift=FRAME_SHIFT,
        receptive_field=RECEPTIVE_FIELD,
    )


def _run(
    network: "SegmentationNet",
    device: str,
    stretch: Float32Array,
    size: int,
    step: int,
) -> Float32Array:
    with torch.inference_mode():
        outputs = network.slide(torch.from_numpy(stretch).to(device), size, step)
    return np.asarray(outputs.cpu().numpy(), np.float32)


class SegmentationNet(nn.Module):
    """Log-probabilities of the sets of speakers in each frame of a chunk.

    Frame t depends on `RECEPTIVE_FIELD` samples from t * `FRAME_SHIFT` on.

    Parameters
    ----------
    num_classes : int
        See `ssahc.frontend.segmentation.powerset`.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.sincnet = _SincNet()
        self.lstm = nn.LSTM(
            _CHANNELS, _HIDDEN, _LAYERS, batch_first=True, bidirectional=True
        )
        self.linear = nn.ModuleList(
            [nn.Linear(2 * _HIDDEN, _HIDDEN), nn.Linear(_HIDDEN, _HIDDEN)]
        )
        self.classifier = nn.Linear(_HIDDEN, num_classes)

    def forward(self, chunks: Tensor) -> Tensor:
        """Return (B, T, C) of chunks (B, S), samples from -1 to 1."""
        return self._classify(self.sincnet(chunks))

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return (B, T, C) of the chunks of `size` samples of a stretch (S,).

        Equals `forward` of every chunk up to rounding, but filters each sample once.
        `step`, the samples from one chunk to the next, is a multiple of `GRID`.
        """
        return self._classify(self.sincnet.slide(stretch, size, step))

    def _classify(self, frames: Tensor) -> Tensor:
        hidden, _ = self.lstm(frames.transpose(1, 2))
        for layer in self.linear:
            hidden = leaky_relu(layer(hidden))
        return log_softmax(self.classifier(hidden), dim=-1)


class _SincNet(nn.Module):
    """Band-pass filters and two convolutions, all normalised over the chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        self.conv1d = nn.ModuleList(
            [
                nn.ModuleDict({"filterbank": _Filterbank()}),
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
        filtered = conv1d(waveforms, self._filters()[:, None], stride=_STRIDE)
        return self._encode(max_pool1d(filtered.abs(), _POOL))

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return frames (B, 60, T) of the chunks of a stretch (S,).

        Filters are linear, so that they are computed before chunks are normalised.
        """
        filters = self._filters()
        filtered = conv1d(stretch[None], filters[:, None], stride=_STRIDE)
        # Of what is pooled, one of the two is the largest when normalised.
        highest, lowest = max_pool1d(filtered, _POOL), -max_pool1d(-filtered, _POOL)
        width = (size - _KERNEL + _STRIDE) // GRID
        frames = []
        # Chunk by chunk, activations stay in the cache of a CPU.
        for number, chunk in enumerate(stretch.unfold(0, size, step)):
            variance, mean = torch.var_mean(chunk, correction=0)
            scale = self.wav_norm1d.weight * (variance + self.wav_norm1d.eps).rsqrt()
            offset = self.wav_norm1d.bias - scale * mean
            # A filter adds up what is constant in its input.
            constant = offset * filters.sum(dim=1, keepdim=True)
            own = slice(number * step // GRID, number * step // GRID + width)
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

    def __init__(self) -> None:
        super().__init__()
        half = _KERNEL // 2
        # Equal steps on the mel scale.
        top = 2595 * torch.log10(torch.tensor(1 + RATE / 2 / 700))
        bottom = 2595 * torch.log10(torch.tensor(1 + 30 / 700))
        mels = torch.linspace(float(bottom), float(top), _FILTERS // 2 + 1)
        edges = 700 * (10 ** (mels / 2595) - 1)
        self.low_hz_ = nn.Parameter(edges[:-1, None])
        self.band_hz_ = nn.Parameter(edges.diff()[:, None])
        self.register_buffer("window_", torch.hamming_window(_KERNEL, False)[:half])
        places = torch.arange(-half, 0).view(1, -1)
        self.register_buffer("n_", 2 * pi * places / RATE)

    def forward(self) -> Tensor:
        """Return filters (80, 251): all cosine phases, then all sine phases."""
        low = _LOWEST + self.low_hz_.abs()
        high = (low + _NARROWEST + self.band_hz_.abs()).clamp(_LOWEST, RATE / 2)
        width = 2 * (high - low)
        # In this order, rounding is that of the networks that were trained.
        even = ((high * self.n_).sin() - (low * self.n_).sin()) / (self.n_ / 2)
        odd = ((low * self.n_).cos() - (high * self.n_).cos()) / (self.n_ / 2)
        even, odd = even * self.window_, odd * self.window_
        cosines = torch.cat([even, width, even.flip(1)], dim=1)
        sines = torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], dim=1)
        return torch.cat([cosines / width, sines / width])
