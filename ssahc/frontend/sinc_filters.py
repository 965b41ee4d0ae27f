"""Band-pass filters that are learned by their edges.

Ravanelli, Bengio: Speaker recognition from raw waveform with SincNet (SLT 2018), Eq. 4
to 8. Names of parameters and buffers are those of pyannote's published weights.
"""

from math import pi

import torch
from torch import Tensor, nn

# Bands, each with two filters.
NUM_BANDS = 40
# Seconds that a filter sees: 251 samples at 16 kHz.
_KERNEL = 251 / 16000
# Lowest frequency of a filter and its least width, in Hz.
_LOWEST, _NARROWEST = 50.0, 50.0


class SincFilters(nn.Module):
    """Band-pass filters, each with two phases; a call returns them.

    Parameters
    ----------
    rate : int
        Of the audio, in Hz.

    Attributes
    ----------
    kernel : int
        Samples that a filter sees.
    """

    window_: Tensor
    n_: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        # Odd, so that there is a sample in the centre.
        self.kernel = int(_KERNEL * rate) // 2 * 2 + 1
        self.highest = rate / 2
        half = self.kernel // 2
        # Equal steps on the mel scale.
        top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700))
        bottom = 2595 * torch.log10(torch.tensor(1 + 30 / 700))
        mels = torch.linspace(float(bottom), float(top), NUM_BANDS + 1)
        edges = 700 * (10 ** (mels / 2595) - 1)
        self.low_hz_ = nn.Parameter(edges[:-1, None])
        self.band_hz_ = nn.Parameter(edges.diff()[:, None])
        self.register_buffer("window_", torch.hamming_window(self.kernel, False)[:half])
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


class FixedFilters(nn.Module):
    """Filters as they are, for ONNX files.

    They are differences of sines: onnxruntime's would be others by 1e-4 in the output.

    Parameters
    ----------
    filters : Module
        A call returns them.
    """

    value: Tensor

    def __init__(self, filters: nn.Module) -> None:
        super().__init__()
        with torch.no_grad():
            self.register_buffer("value", filters())

    def forward(self) -> Tensor:
        """Return filters (80, K)."""
        return self.value
