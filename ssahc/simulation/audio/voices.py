"""Voices: speakers with audio files, as a supply of dense speech."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssahc.core.types import Float32Array

# Of what a supply gives, in Hz.
RATE = 16_000
# Root mean square of every file, so that only gains decide how loud a voice is.
LEVEL = 0.05
# Frames are 10 ms. Pauses are cut down to this many; frames are silent that are so many
# dB below the loud ones, or in the lowest part of the range between quiet and loud.
_PAUSE, _SMOOTHING = 30, 5
_BELOW_LOUD, _LOWEST = 28.0, 0.3
# Files with less speech, in seconds, are mostly noise; pieces fade in and out over so
# many samples.
_SHORTEST, _FADE = 0.5, 80
# A voice is drawn among this share of those that are long enough, the shortest ones, so
# that the long ones are left for those who speak a lot; and among this many at least.
_SHARE, _CHOICE = 3, 3

# Returns the samples of an audio file at `RATE`, on the scale of 16-bit audio.
Reader = Callable[[Path], Float32Array]


@dataclass(frozen=True)
class Voice:
    """A speaker's audio files, and the seconds of speech in them."""

    name: str
    files: tuple[Path, ...]
    seconds: float


class Supply:
    """The speech of a voice, each part of which is given once."""

    def __init__(
        self, voice: Voice, read: Reader, generator: np.random.Generator
    ) -> None:
        order = generator.permutation(len(voice.files))
        self._files = iter([voice.files[index] for index in order])
        self._read = read
        self._speech = np.zeros(0, np.float32)

    def take(self, count: int) -> Float32Array:
        """Return the next samples; a ValueError is raised if there are too few."""
        pieces, length = [self._speech], len(self._speech)
        while length < count:
            path = next(self._files, None)
            if path is None:
                raise ValueError("the voice has no more speech")
            pieces.append(condense(self._read(path)))
            length += len(pieces[-1])
        speech = np.concatenate(pieces)
        self._speech = speech[count:]
        return fade(speech[:count])


def condense(samples: Float32Array, rate: int = RATE) -> Float32Array:
    """Return the speech of samples (n,) without long pauses, at `LEVEL`; maybe none.

    Samples are on the scale of 16-bit audio, at a rate in Hz.
    """
    speech = _shorten_pauses(samples, rate // 100)
    if len(speech) < _SHORTEST * rate:
        return np.zeros(0, np.float32)
    return fade(speech * np.float32(LEVEL / np.sqrt(np.mean(speech**2))))


def fade(samples: Float32Array) -> Float32Array:
    """Return a piece that begins and ends softly."""
    faded, length = samples.copy(), min(_FADE, len(samples) // 4)
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded


def _shorten_pauses(samples: Float32Array, size: int) -> Float32Array:
    """Cut silence at both ends, and what is long of it in between; frames of `size`."""
    # Here, as it loads slowly.
    from scipy.ndimage import binary_dilation

    frames = samples[: len(samples) // size * size].reshape(-1, size)
    if len(frames) < _SMOOTHING or not frames.any():
        return frames[:0].ravel()
    energy = 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1e-10)
    energy = np.convolve(energy, np.full(_SMOOTHING, 1 / _SMOOTHING), "same")
    quiet, loud = np.percentile(energy, (5, 95))
    floor = max(loud - _BELOW_LOUD, quiet + _LOWEST * (loud - quiet))
    speaks = energy >= floor
    first, last = np.flatnonzero(speaks)[[0, -1]]
    kept = binary_dilation(speaks, np.ones(_PAUSE + 1, bool))
    kept[:first] = kept[last + 1 :] = False
    return frames[kept].ravel()


# ---- who speaks --------------------------------------------------------------------


def choose_voices(
    needed: Mapping[str, float],
    voices: Iterable[Voice],
    uses: Counter[str],
    generator: np.random.Generator,
) -> dict[str, Voice] | None:
    """Choose a voice of its own for each speaker of a recording; None if there is none.

    Parameters
    ----------
    needed : mapping
        Speaker to seconds of speech.
    voices : iterable of Voice
    uses : Counter of str
        How many other recordings have a voice; of the voices that are long enough,
        those with the fewest are taken.
    generator : numpy.random.Generator
    """
    free = sorted(voices, key=lambda voice: (voice.seconds, voice.name))
    chosen: dict[str, Voice] = {}
    for speaker in sorted(needed, key=lambda name: (-needed[name], name)):
        fitting = [voice for voice in free if voice.seconds > needed[speaker]]
        if not fitting:
            return None
        fewest = min(uses[voice.name] for voice in fitting)
        fitting = [voice for voice in fitting if uses[voice.name] == fewest]
        few = max(_CHOICE, len(fitting) // _SHARE)
        chosen[speaker] = fitting[generator.integers(min(few, len(fitting)))]
        free.remove(chosen[speaker])
    return chosen
