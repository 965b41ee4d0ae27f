"""From scenes to sound: voices, lines or rooms, and noise."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ssahc.core.types import FloatArray
from ssahc.simulation.audio.acoustics import (
    TELEPHONE_RATE,
    in_room,
    over_line,
    over_telephone,
    to_telephone,
)
from ssahc.simulation.audio.noise import (
    BABBLE_SECONDS,
    BABBLING,
    BoolArray,
    add_noise,
    draw_noise,
    draw_sounds,
    mix_babble,
    vary_noise,
)
from ssahc.simulation.audio.options import SimulateAudioOptions
from ssahc.simulation.audio.scenes import Scene
from ssahc.simulation.audio.turns import overlap_of
from ssahc.simulation.audio.voices import RATE, Reader, Supply, Voice

# Of rooms, in seconds.
REVERBERATION = 0.2, 0.7
# The highest sample, of full scale; with varied background, how much lower, in dB.
_PEAK, _LOWER = 0.7, (0.0, 25.0)
# Voices that babble is made of.
_BABBLERS = 4

# Returns noise of so many samples at `RATE`.
NoiseSource = Callable[[int, np.random.Generator], FloatArray]


class Mix(NamedTuple):
    """A recording: samples (n,) from -1 to 1, and its row in conditions.csv."""

    samples: FloatArray
    rate: int
    row: dict[str, str]


class Sources(NamedTuple):
    """What recordings are made of.

    Parameters
    ----------
    voices : sequence of Voice
        All of them; those that do not speak in a recording may babble.
    read : callable
        Returns the samples of an audio file at `RATE`.
    noise : callable, optional
        Returns noise of so many samples at `RATE`; by default it is drawn.
    """

    voices: Sequence[Voice]
    read: Reader
    noise: NoiseSource | None = None


def list_conditions(options: SimulateAudioOptions) -> tuple[str, ...]:
    """Return the conditions that recordings have in turn."""
    both = options.condition == "both"
    return ("room", "telephone") if both else (options.condition,)


def mix_scene(
    scene: Scene,
    condition: str,
    sources: Sources,
    options: SimulateAudioOptions,
    generator: np.random.Generator,
) -> Mix:
    """Mix a recording, by "telephone" or in a "room"."""
    snr = float(generator.uniform(options.min_snr, options.max_snr))
    speech, shared = overlap_of(scene.turns)
    row = {
        "recording": scene.name,
        "condition": condition,
        "seconds": f"{scene.seconds:.2f}",
        "speakers": str(len(scene.voices)),
        "snr": f"{snr:.1f}",
        "rt60": "",
        "speech": f"{speech:.2f}",
        "overlap": f"{shared:.2f}",
    }
    tracks, speaks = _fill_tracks(scene, sources.read, options.gains, generator)
    others = []
    if options.background == "varied":
        others = _list_disturbances(scene, sources, generator)
    if condition == "telephone":
        mixed, rate = over_telephone([*tracks, *others], generator), TELEPHONE_RATE
    else:
        reverberation = float(generator.uniform(*REVERBERATION))
        row["rt60"] = f"{reverberation:.2f}"
        mixed = in_room(tracks, reverberation, generator, options.near)
        if others:
            mixed += in_room(others, reverberation, generator)
        rate = RATE
    noise = _make_noise(len(speaks), rate, sources.noise, options, generator)
    mixed = add_noise(mixed, noise, speaks[:: RATE // rate], snr)
    peak = _PEAK
    if options.background == "varied":
        peak *= 10 ** (-generator.uniform(*_LOWER) / 20)
    return Mix(mixed * (peak / np.abs(mixed).max()), rate, row)


def _fill_tracks(
    scene: Scene, read: Reader, gains: float, generator: np.random.Generator
) -> tuple[list[FloatArray], BoolArray]:
    """Return a track (n,) of each voice's turns, and where anybody speaks (n,)."""
    count = round(scene.seconds * RATE)
    tracks, speaks = [], np.zeros(count, bool)
    for voice in scene.voices:
        track, supply = np.zeros(count), Supply(voice, read, generator)
        gain = 10 ** (generator.uniform(-gains / 2, gains / 2) / 20)
        for turn in scene.turns:
            if turn.speaker == voice.name:
                start, end = round(turn.start * RATE), round(turn.end * RATE)
                track[start:end] = gain * supply.take(end - start)
                speaks[start:end] = True
        tracks.append(track)
    return tracks, speaks


def _list_disturbances(
    scene: Scene, sources: Sources, generator: np.random.Generator
) -> list[FloatArray]:
    """Return tracks (n,) of short sounds and of babble of other voices, by chance."""
    count = round(scene.seconds * RATE)
    tracks = [draw_sounds(count, generator)]
    speaking = {voice.name for voice in scene.voices}
    others = [voice for voice in sources.voices if voice.name not in speaking]
    if generator.random() < BABBLING and len(others) > 1:
        chosen = generator.permutation(len(others))[:_BABBLERS]
        pieces: list[FloatArray] = []
        for index in chosen:
            seconds = min(0.9 * others[index].seconds, BABBLE_SECONDS)
            supply = Supply(others[index], sources.read, generator)
            pieces.append(supply.take(int(seconds * RATE)).astype(np.float64))
        tracks.append(mix_babble(pieces, count, generator))
    return tracks


def _make_noise(
    count: int,
    rate: int,
    source: NoiseSource | None,
    options: SimulateAudioOptions,
    generator: np.random.Generator,
) -> FloatArray:
    """Return noise for `count` samples at `RATE`, at the rate of the recording."""
    if source is None and options.background == "steady":
        noise = draw_noise(-(-count // (RATE // rate)), rate, generator)
    else:
        draw = source or (lambda size, own: draw_noise(size, RATE, own))
        noise = draw(count, generator)
        if options.background == "varied":
            noise = vary_noise(noise, generator)
        if rate != RATE:
            noise = to_telephone(noise)
    return over_line(noise, generator) if rate == TELEPHONE_RATE else noise
