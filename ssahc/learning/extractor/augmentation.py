"""Rooms, noise, telephone lines and levels for chunks of speech, a batch at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.learning.extractor.drawing import Chunks
from ssahc.learning.extractor.options import SpeechAugmentationOptions

_FULL_SCALE = 32768
# Samples of 8-bit mu-law, and its constant.
_MU, _STEPS = 255.0, 127.0
# Peaks of speech before mu-law, of full scale.
_PEAK = 0.5
# Of a telephone line, in Hz: where its band begins and ends; tilt in dB per octave.
_LOW, _HIGH, _TILT, _TELEPHONE = (150, 380), (3100, 3800), 3.0, 4000
_SILENT = 1e-6


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is drawn once, and heard in many chunks.

    Parameters
    ----------
    rooms : (R, L) array
        Impulse responses, at the rate of the chunks; each starts with the direct sound.
    noises : (N, S) array
        Noise; its level does not matter. Longer than any chunk.
    """

    rooms: Float32Array
    noises: Float32Array


class Augmenter:
    """Makes samples (B, S) of chunks, as a microphone or a telephone may have them.

    Parameters
    ----------
    options : SpeechAugmentationOptions
    surroundings : Surroundings
    sample_rate : int
    device : str
    """

    def __init__(
        self,
        options: SpeechAugmentationOptions,
        surroundings: Surroundings,
        sample_rate: int,
        device: str,
    ) -> None:
        self._options, self._rate, self._device = options, sample_rate, device
        self._rooms = torch.from_numpy(surroundings.rooms).to(device)
        self._noises = torch.from_numpy(surroundings.noises).to(device)

    def apply(
        self, chunks: Chunks, size: int, generator: np.random.Generator
    ) -> Tensor:
        """Return samples (B, `size`) on the scale of 16-bit audio."""
        options = self._options
        samples = torch.empty(len(chunks.classes), size, device=self._device)
        for part, rows in zip(chunks.parts, chunks.rows, strict=True):
            values = torch.from_numpy(part).to(self._device).float()
            samples[self._index(rows)] = change_speed(values, size)
        samples = _to_unit_level(samples)
        dry = samples
        samples = self._in_rooms(samples, generator)
        rows = self._draw(len(samples), options.noise_share, generator)
        if len(rows):
            snr = generator.uniform(options.min_snr, options.max_snr, len(rows))
            self._add(samples, rows, self._noise(len(rows), size, generator), snr)
        rows = self._draw(len(samples), options.babble_share, generator)
        if len(rows):
            low, high = options.min_babble_snr, options.max_babble_snr
            snr = generator.uniform(low, high, len(rows))
            babble = self._babble(dry, chunks.classes, rows, generator)
            self._add(samples, rows, babble, snr)
        rows = self._draw(len(samples), options.telephone_share, generator)
        if len(rows):
            index = self._index(rows)
            samples[index] = self._over_lines(samples[index], generator)
        levels = generator.uniform(options.min_level, options.max_level, len(samples))
        samples = _to_unit_level(samples) * self._factors(levels)
        return _FULL_SCALE * samples.clamp(-1, 1)

    # ---- steps ---------------------------------------------------------------------

    def _in_rooms(self, samples: Tensor, generator: np.random.Generator) -> Tensor:
        rows = self._draw(len(samples), self._options.room_share, generator)
        if len(rows) == 0 or len(self._rooms) == 0:
            return samples
        index, size = self._index(rows), samples.shape[1]
        chosen = generator.integers(len(self._rooms), size=len(rows))
        total = _fast_size(size + self._rooms.shape[1])
        spectra = torch.fft.rfft(self._rooms[self._index(chosen)], total)
        spectra *= torch.fft.rfft(samples[index], total)
        wet = samples.clone()
        wet[index] = torch.fft.irfft(spectra, total)[:, :size]
        return wet

    def _noise(self, count: int, size: int, generator: np.random.Generator) -> Tensor:
        """Return parts (count, size) of noises."""
        numbers = generator.integers(len(self._noises), size=count).tolist()
        longest = self._noises.shape[1] - size
        starts = generator.integers(longest + 1, size=count).tolist()
        parts = [
            self._noises[number, start : start + size]
            for number, start in zip(numbers, starts, strict=True)
        ]
        return torch.stack(parts)

    def _babble(
        self,
        dry: Tensor,
        classes: IntArray,
        rows: IntArray,
        generator: np.random.Generator,
    ) -> Tensor:
        """Return speech (R, S) of others of the batch for some of its rows."""
        weights = np.zeros((len(rows), len(classes)), np.float32)
        for place, row in enumerate(rows.tolist()):
            others = np.flatnonzero(classes != classes[row])
            voices = generator.integers(1, self._options.babble_voices + 1)
            chosen = generator.permutation(len(others))[:voices]
            weights[place, others[chosen]] = 1
        return torch.from_numpy(weights).to(self._device) @ dry

    def _over_lines(self, samples: Tensor, generator: np.random.Generator) -> Tensor:
        """Return samples (B, S) in mu-law, and as telephone lines pass them."""
        peaks = samples.abs().amax(dim=1, keepdim=True).clamp(min=_SILENT)
        values = samples * (_PEAK / peaks)
        companded = torch.log1p(_MU * values.abs()) / np.log1p(_MU)
        companded = (companded * _STEPS).round() / _STEPS
        values = values.sign() * torch.expm1(companded * np.log1p(_MU)) / _MU
        size = samples.shape[1]
        gains = np.stack(
            [_draw_line(size, self._rate, generator) for _ in range(len(samples))]
        )
        # Behind the mu-law, so that its noise is within the band as well.
        spectra = torch.fft.rfft(values) * torch.from_numpy(gains).to(self._device)
        return torch.fft.irfft(spectra, size)

    # ---- helpers -------------------------------------------------------------------

    def _draw(
        self, count: int, share: float, generator: np.random.Generator
    ) -> IntArray:
        return np.flatnonzero(generator.random(count) < share)

    def _index(self, rows: IntArray) -> Tensor:
        return torch.from_numpy(rows).to(self._device)

    def _factors(self, decibels: FloatArray) -> Tensor:
        factors = (10 ** (decibels / 20)).astype(np.float32)
        return torch.from_numpy(factors).to(self._device)[:, None]

    def _add(
        self, samples: Tensor, rows: IntArray, noise: Tensor, snr: FloatArray
    ) -> None:
        """Add noise (R, S) to some rows of samples of unit level, in place."""
        samples[self._index(rows)] += _to_unit_level(noise) * self._factors(-snr)


def _to_unit_level(samples: Tensor) -> Tensor:
    """Return samples (B, S) with a root mean square of 1; silence stays."""
    level = samples.square().mean(dim=1, keepdim=True).sqrt()
    return samples / level.clamp(min=_SILENT)


def change_speed(samples: Tensor, size: int) -> Tensor:
    """Return samples (B, S) played faster or slower, so that they are `size`."""
    length = samples.shape[1]
    if length == size:
        return samples
    # The inverse FFT of another size keeps the frequencies that both have.
    spectra = torch.fft.rfft(samples)[:, : size // 2 + 1]
    return torch.fft.irfft(spectra, size) * (size / length)


def _fast_size(size: int) -> int:
    """Return a size of at least this for which FFTs are fast."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(size, real=True))


def _draw_line(size: int, rate: int, generator: np.random.Generator) -> Float32Array:
    """Draw the gains (F,) of a line at the frequencies of an FFT."""
    low, high = generator.uniform(*_LOW), generator.uniform(*_HIGH)
    tilt = generator.uniform(-_TILT, _TILT)
    edges = tilt * np.log2(np.array([low, 1000, high]) / 1000)
    top = (high + _TELEPHONE) / 2
    places = [0, 0.6 * low, low, 1000, high, top, _TELEPHONE]
    frequencies = np.arange(size // 2 + 1) * (rate / size)
    gains = np.interp(frequencies, places, [-60, -25, *edges, -40, -60])
    return (10 ** (gains / 20)).astype(np.float32)
