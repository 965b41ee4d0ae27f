"""Log-mel energies and two convolutions: an encoder that a CPU trains fast."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, leaky_relu

from ssahc.frontend.segmentation.encoder import Encoder

# Seconds of the window of a spectrum, and from one to the next.
_WINDOW, _HOP = 0.025, 0.01
_MELS, _CHANNELS = 64, 96
# Bands whose levels are heard.
_BANDS = 8
# Hz.
_LOWEST = 30.0
# Spectra that the two convolutions see, and from one output of the first to the next.
_TAPS, _STRIDE = (5, 5), 2
# Energies below, as of dithered silence, are all the same: 80 dB under full scale.
_FLOOR = 1e-6
# Log energies of speech vary by this much, around about this.
_SCALE, _MEAN = 0.25, -3.0


class LogMel(Encoder):
    """Log-mel energies, and convolutions to 20 ms.

    The convolutions see energies minus their mean over the chunk, and what they give is
    normalised over it, so that lines and rooms matter less. Silence would sound as
    loud as speech then: the levels of a few bands are added as they are.

    Parameters
    ----------
    rate : int
        Of the audio, in Hz.
    """

    dim = _CHANNELS + _BANDS
    window: Tensor
    filters: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.size, self.grid = round(_WINDOW * rate), round(_HOP * rate)
        self.fft_size = 1 << (self.size - 1).bit_length()
        self.frame_shift = _STRIDE * self.grid
        reach = _TAPS[0] - 1 + _STRIDE * (_TAPS[1] - 1)
        self.receptive_field = self.size + reach * self.grid
        # Both follow from the rate.
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)
        filters = _mel_filters(rate, self.fft_size)
        self.register_buffer("filters", filters, persistent=False)
        self.convs = nn.ModuleList(
            [
                nn.Conv1d(_MELS, _CHANNELS, _TAPS[0], stride=_STRIDE),
                nn.Conv1d(_CHANNELS, _CHANNELS, _TAPS[1]),
            ]
        )
        self.norms = nn.ModuleList(
            nn.InstanceNorm1d(_CHANNELS, affine=True) for _ in _TAPS
        )

    def forward(self, chunks: Tensor) -> Tensor:
        """Return frames (B, D, T) of chunks (B, S)."""
        return self._encode(self._energies(chunks))

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return frames (B, D, T) of the chunks of a stretch (S,)."""
        width = (size - self.size) // self.grid + 1
        energies = self._energies(stretch[None])[0]
        chunks = energies.unfold(1, width, step // self.grid)
        return self._encode(chunks.transpose(0, 1))

    def _energies(self, chunks: Tensor) -> Tensor:
        """Return log energies (B, M, T) of chunks (B, S)."""
        with torch.no_grad():
            energies = (self._powers(chunks) @ self.filters + _FLOOR).log()
        return energies.transpose(1, 2)

    def _powers(self, chunks: Tensor) -> Tensor:
        """Return power spectra (B, T, F) of chunks (B, S)."""
        windows = chunks.unfold(-1, self.size, self.grid) * self.window
        spectra = torch.fft.rfft(windows, self.fft_size)
        return spectra.real.square() + spectra.imag.square()

    def _encode(self, energies: Tensor) -> Tensor:
        frames = _SCALE * (energies - energies.mean(dim=-1, keepdim=True))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            frames = leaky_relu(norm(conv(frames)))
        size, _, num_frames = energies.shape
        bands = energies.reshape(size, _BANDS, -1, num_frames).mean(dim=2)
        levels = _SCALE * (avg_pool1d(bands, _TAPS[0], _STRIDE) - _MEAN)
        edge = _TAPS[1] // 2
        return torch.cat([frames, levels[..., edge:-edge]], dim=1)


def _mel_filters(rate: int, fft_size: int) -> Tensor:
    """Return triangular filters (fft_size / 2 + 1, M), equal steps on the mel scale."""
    edges = torch.tensor([_LOWEST, rate / 2], dtype=torch.float64)
    low, high = (2595 * torch.log10(1 + edges / 700)).tolist()
    mels = torch.linspace(low, high, _MELS + 2, dtype=torch.float64)
    centres = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.arange(fft_size // 2 + 1, dtype=torch.float64)[:, None]
    places = bins * rate / fft_size
    rising = (places - centres[:-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[2:] - places) / (centres[2:] - centres[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    # The lowest may lie between two bins.
    nearest = (centres[1:-1] * fft_size / rate).round().long()
    empty = filters.sum(dim=0) == 0
    filters[nearest[empty], torch.arange(_MELS)[empty]] = 1
    return filters.float()
