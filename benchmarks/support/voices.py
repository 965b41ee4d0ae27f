"""Voices: folders of audio files, each of one speaker, as a supply of dense speech."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from ssahc.core.errors import FormatError
from ssahc.core.types import Float32Array
from ssahc.frontend.resampling import resample_blocks
from ssahc.io.audio import read_audio
from ssahc.io.audio_list import AUDIO_SUFFIXES

# Of what a supply gives, in Hz.
RATE = 16_000
# Root mean square of every file, so that only gains decide how loud a voice is.
LEVEL = 0.05
# Frames are 10 ms. Pauses are cut down to this many; frames are silent that are so many
# dB below the loud ones, or in the lowest part of the range between quiet and loud.
_FRAME, _PAUSE, _SMOOTHING = RATE // 100, 30, 5
_BELOW_LOUD, _LOWEST = 28.0, 0.3
# Files with less speech are mostly noise; pieces fade in and out over so many samples.
_SHORTEST, _FADE = RATE // 2, 80
# A voice is drawn among this share of those that are long enough, the shortest ones, so
# that the long ones are left for those who speak a lot; and among this many at least.
_SHARE, _CHOICE = 3, 3


@dataclass(frozen=True)
class Voice:
    """A speaker's audio files, and the seconds of speech in them."""

    name: str
    files: tuple[Path, ...]
    seconds: float


class Supply:
    """The speech of a voice, each part of which is given once."""

    def __init__(self, voice: Voice, generator: np.random.Generator) -> None:
        order = generator.permutation(len(voice.files))
        self._speech = np.concatenate([read_speech(voice.files[i]) for i in order])
        self._given = 0

    def take(self, count: int) -> Float32Array:
        """Return the next samples; a ValueError is raised if there are too few."""
        piece = self._speech[self._given : self._given + count]
        if len(piece) < count:
            raise ValueError("the voice has no more speech")
        self._given += count
        return fade(piece)


def read_voices(folder: Path) -> list[Voice]:
    """Return the voices of a folder: its sub-folders, by name, with their files."""
    voices = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = sorted(place.rglob("*"))
        files = [path for path in found if path.suffix.lower() in AUDIO_SUFFIXES]
        speech = {path: _measure_speech(path) for path in files}
        files = [path for path in files if speech[path]]
        if files:
            seconds = sum(speech.values()) / RATE
            voices.append(Voice(place.name, tuple(files), seconds))
    if not voices:
        raise SystemExit(f"{folder}: no sub-folder has audio files with speech")
    return voices


def _measure_speech(path: Path) -> int:
    """Return the samples of speech in a file; 0, and a line, if it cannot be read."""
    try:
        return len(read_speech(path))
    except FormatError as error:
        print(f"left out: {error}", file=sys.stderr)
        return 0


def read_speech(path: Path) -> Float32Array:
    """Return the speech of a file without long pauses, at one level; perhaps none."""
    samples, rate = read_audio(path)
    speech = _shorten_pauses(np.concatenate([*resample_blocks([samples], rate, RATE)]))
    if len(speech) < _SHORTEST:
        return np.zeros(0, np.float32)
    return fade(speech * np.float32(LEVEL / np.sqrt(np.mean(speech**2))))


def fade(samples: Float32Array) -> Float32Array:
    """Return a piece that begins and ends softly."""
    faded, length = samples.copy(), min(_FADE, len(samples) // 4)
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded


def _shorten_pauses(samples: Float32Array) -> Float32Array:
    """Cut silence at both ends, and what is long of that in between."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
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
    used: set[str],
    generator: np.random.Generator,
) -> dict[str, Voice] | None:
    """Choose a voice of its own for each speaker of a recording; None if there is none.

    Parameters
    ----------
    needed : mapping
        Speaker to seconds of speech.
    voices : iterable of Voice
    used : set of str
        Voices of other recordings, which are taken only if no other is long enough.
    generator : numpy.random.Generator
    """
    free = sorted(voices, key=lambda voice: (voice.seconds, voice.name))
    chosen: dict[str, Voice] = {}
    for speaker in sorted(needed, key=lambda name: (-needed[name], name)):
        fitting = [voice for voice in free if voice.seconds > needed[speaker]]
        fitting = [one for one in fitting if one.name not in used] or fitting
        if not fitting:
            return None
        few = max(_CHOICE, len(fitting) // _SHARE)
        chosen[speaker] = fitting[generator.integers(min(few, len(fitting)))]
        free.remove(chosen[speaker])
    return chosen
