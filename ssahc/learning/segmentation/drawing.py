"""Random chunks of annotated recordings, and what is added to them.

Chunks get a random level; some get another chunk on top, so that more speakers are
active at once, and some get noise.
"""

from collections.abc import Sequence

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.types import Float32Array
from ssahc.frontend.segmentation.powerset import BoolArray
from ssahc.learning.segmentation.annotated import (
    AnnotatedAudio,
    Frames,
    keep_most_active,
)
from ssahc.learning.segmentation.options import AugmentationOptions

_FULL_SCALE = 32768
# Decibels: of a chunk, of one chunk over another, and of a chunk over noise.
_GAIN, _BALANCE, _SNR = (-15, 5), (-10, 10), (3, 30)
# Powers of 1/f in the spectra of noise: from white to brown.
_COLOURS = (0, 2)
_NUM_NOISES = 16


class ChunkDrawer:
    """Draws chunks of recordings.

    Parameters
    ----------
    recordings : sequence of AnnotatedAudio
    frames : Frames
        Those of the network.
    num_speakers : int
        Of a chunk; of more, those who speak most count.
    options : AugmentationOptions
    noises : (N, S) array
        See `make_noises`.
    """

    def __init__(
        self,
        recordings: Sequence[AnnotatedAudio],
        frames: Frames,
        num_speakers: int,
        options: AugmentationOptions,
        noises: Float32Array,
    ) -> None:
        self._recordings, self._frames = recordings, frames
        self._num_speakers, self._options = num_speakers, options
        self._noises, self._times = noises, frames.times()
        parts = [
            (number, start, end)
            for number, recording in enumerate(recordings)
            for start, end in recording.spans.tolist()
        ]
        if not parts:
            raise DataError(
                "no part of the audio to train on (--train) is annotated; is its "
                "all.uem that of other recordings?"
            )
        self._parts = parts
        lengths = np.array([end - start for _, start, end in parts])
        self._shares = lengths / lengths.sum()

    def draw(
        self, count: int, generator: np.random.Generator
    ) -> tuple[Float32Array, BoolArray]:
        """Return chunks (B, S), from -1 to 1, and who is active (B, T, K)."""
        chunks = np.empty((count, self._frames.chunk), np.float32)
        active = np.empty((count, len(self._times), self._num_speakers), bool)
        for row in range(count):
            chunks[row], active[row] = self._draw_one(generator)
        return chunks, active

    def _draw_one(
        self, generator: np.random.Generator
    ) -> tuple[Float32Array, BoolArray]:
        options = self._options
        samples, active = self._cut(generator)
        if generator.random() < options.mix_share:
            other, also = self._cut(generator)
            level, added = _level(samples), _level(other)
            # Nobody who is heard is to be left out.
            has_room = active.shape[1] + also.shape[1] <= self._num_speakers
            if has_room and min(level, added) > 0:
                samples += level / added * _factor(_BALANCE, generator) * other
                active = np.hstack([active, also])
        if generator.random() < options.noise_share:
            noise = self._noises[generator.integers(len(self._noises))]
            first = generator.integers(len(noise) - len(samples) + 1)
            # Even of silence, the noise may be heard.
            level = max(_level(samples), 1e-3) / _factor(_SNR, generator)
            samples += level * noise[first : first + len(samples)]
        samples *= _factor(_GAIN, generator)
        return samples, keep_most_active(active, self._num_speakers)

    def _cut(self, generator: np.random.Generator) -> tuple[Float32Array, BoolArray]:
        """Return a chunk (S,) and who is active (T, N) in it."""
        number, start, end = self._parts[
            generator.choice(len(self._parts), p=self._shares)
        ]
        recording, rate = self._recordings[number], self._frames.sample_rate
        size = self._frames.chunk
        first, last = (
            round(start * rate),
            min(round(end * rate), len(recording.samples)),
        )
        if last - first > size:
            first += int(generator.integers(last - first - size + 1))
        found = recording.samples[first : min(first + size, last)]
        samples = np.zeros(size, np.float32)
        # Shorter parts are surrounded by silence.
        place = int(generator.integers(size - len(found) + 1))
        samples[place : place + len(found)] = found
        samples /= _FULL_SCALE
        active = recording.active(self._times + (first - place) / rate)
        if len(found) < size:
            inside = (self._times * rate >= place) & (
                self._times * rate < place + len(found)
            )
            active &= inside[:, None]
        return samples, active


def make_noises(size: int, generator: np.random.Generator) -> Float32Array:
    """Return noises (N, S) of level 1 and various colours, longer than `size`."""
    length = 2 * size
    frequencies = np.maximum(np.fft.rfftfreq(length), 1e-3)
    noises = np.empty((_NUM_NOISES, length), np.float32)
    for row in range(_NUM_NOISES):
        colour = generator.uniform(*_COLOURS)
        spectrum = np.fft.rfft(generator.standard_normal(length))
        noise = np.fft.irfft(spectrum * frequencies ** (-colour / 2), length)
        noises[row] = noise / noise.std()
    return noises


def _level(samples: Float32Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(samples))))


def _factor(decibels: tuple[float, float], generator: np.random.Generator) -> float:
    return float(10 ** (generator.uniform(*decibels) / 20))
