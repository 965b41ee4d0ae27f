"""Writing segmentation networks as ONNX files; see `ssahc.frontend.segmentation.onnx`.

The network is traced by torch's exporter.
"""

from copy import deepcopy
from dataclasses import asdict
from math import pi
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from ssahc.frontend.onnx_tracing import trace_onnx
from ssahc.frontend.segmentation.loading import TrainedNet
from ssahc.frontend.segmentation.logmel import LogMel
from ssahc.frontend.segmentation.model import set_probabilities, sets_of
from ssahc.frontend.segmentation.onnx import OnnxMetadata
from ssahc.frontend.segmentation.sincnet import SincNet
from ssahc.frontend.sinc_filters import FixedFilters


def write_onnx(path: Path, trained: TrainedNet) -> OnnxMetadata:
    """Write a network as an ONNX file, and return what is in its metadata.

    What a multi-label network says of its speakers becomes probabilities of all sets of
    them, by its threshold. UsageError if onnx is not installed.
    """
    metadata = _describe(trained)
    # A short chunk; others, and several, work as well.
    size = metadata.receptive_field_size + metadata.receptive_field_shift
    trace_onnx(
        path,
        _Exported(trained),
        torch.zeros(1, 1, size),
        input=("x", {0: "N", 2: "S"}),
        output=("y", {0: "N", 1: "T"}),
        metadata={key: str(value) for key, value in asdict(metadata).items()},
    )
    return metadata


def _describe(trained: TrainedNet) -> OnnxMetadata:
    options, encoder = trained.network.options, trained.network.encoder
    sets = sets_of(options)
    return OnnxMetadata(
        sample_rate=options.sample_rate,
        window_size=round(options.chunk * options.sample_rate),
        receptive_field_size=encoder.receptive_field,
        receptive_field_shift=encoder.frame_shift,
        num_speakers=sets.shape[1],
        powerset_max_classes=int(sets.sum(axis=1).max()),
        num_classes=len(sets),
    )


class _Exported(nn.Module):
    """Log-probabilities (N, T, C) of sets, of chunks (N, 1, S)."""

    sets: Tensor

    def __init__(self, trained: TrainedNet) -> None:
        super().__init__()
        self.network = deepcopy(trained.network).cpu()
        self.threshold = trained.threshold
        encoder = self.network.encoder
        if isinstance(encoder, LogMel):
            self.network.encoder = _TracedLogMel(encoder)
        elif isinstance(encoder, SincNet):
            _fix_filters(encoder)
        self.register_buffer("sets", torch.from_numpy(sets_of(self.network.options)))

    def forward(self, chunks: Tensor) -> Tensor:
        outputs: Tensor = self.network(chunks[:, 0])
        if self.network.options.head == "multilabel":
            return set_probabilities(outputs, self.sets, self.threshold)
        return outputs


def _fix_filters(encoder: SincNet) -> None:
    """Have an encoder keep its filters as they are."""
    (filterbank,) = encoder.conv1d[0].children()
    encoder.conv1d[0] = nn.ModuleDict({"filterbank": FixedFilters(filterbank)})


class _TracedLogMel(LogMel):
    """An encoder whose spectra are convolutions, since torch exports no FFT."""

    waves: Tensor

    def __init__(self, encoder: LogMel) -> None:
        super().__init__(encoder.rate)
        self.load_state_dict(encoder.state_dict())
        bins = torch.arange(self.fft_size // 2 + 1, dtype=torch.float64)[:, None]
        # Whole turns left out, so that angles are exact.
        turns = bins * torch.arange(self.size) % self.fft_size
        angles = 2 * pi / self.fft_size * turns
        waves = torch.cat([angles.cos(), angles.sin()]) * self.window
        self.register_buffer("waves", waves.float()[:, None], persistent=False)

    def _powers(self, chunks: Tensor) -> Tensor:
        spectra = conv1d(chunks[:, None], self.waves, stride=self.grid)
        real, imaginary = spectra.square().chunk(2, dim=1)
        return (real + imaginary).transpose(1, 2)
