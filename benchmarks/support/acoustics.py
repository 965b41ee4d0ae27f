"""Telephone lines, rooms and noise, for speech of one track per speaker.

A condition mixes tracks of equal length at `RATE` of `benchmarks.support.voices` and
keeps their times: what delays them is taken back.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2, resample_poly

from benchmarks.support.voices import RATE
from ssahc.core.types import FloatArray

BoolArray = NDArray[np.bool_]

TELEPHONE_RATE = 8_000
# Of sound, in metres per second.
_SPEED = 343.0
# Reflections are computed one by one as long as they arrive within this time, in
# seconds; later ones are a decaying noise.
_EARLY = 0.06
# Mirror images on each side of the room that may be that early.
_IMAGES = 8
# The latest reverberation, in seconds and in shares of the reverberation time.
_LATEST, _DECAYED = 0.8, 1.1


def over_telephone(
    tracks: Sequence[FloatArray],
    speaks: BoolArray,
    snr: float,
    generator: np.random.Generator,
) -> FloatArray:
    """Return the mix of tracks at `TELEPHONE_RATE`, each over a line of its own.

    Parameters
    ----------
    tracks : sequence of (n,) arrays
    speaks : (n,) bool array
        Where anybody speaks; the ratio of signal to noise is that of these times.
    snr : float
        In dB.
    generator : numpy.random.Generator
    """
    factor = RATE // TELEPHONE_RATE
    narrow = [resample_poly(track, 1, factor) for track in tracks]
    lines = [fftconvolve(track, _draw_line(generator), "same") for track in narrow]
    mixed = np.sum(lines, axis=0)
    noise = draw_noise(len(mixed), TELEPHONE_RATE, generator)
    noise = fftconvolve(noise, _draw_line(generator), "same")
    return add_noise(mixed, noise, speaks[::factor], snr)


def _draw_line(generator: np.random.Generator) -> FloatArray:
    """Draw the filter of a line: the edges of its band, in Hz, and its tilt."""
    low, high = generator.uniform(150, 380), generator.uniform(3100, 3800)
    tilt = generator.uniform(-3, 3)
    top = TELEPHONE_RATE / 2
    frequencies = [0, 0.6 * low, low, 1000, high, (high + top) / 2, top]
    edges = tilt * np.log2(np.array([low, 1000, high]) / 1000)
    gains = np.array([-60, -25, *edges, -40, -60])
    return firwin2(257, np.array(frequencies) / top, 10 ** (gains / 20))


def in_room(
    tracks: Sequence[FloatArray],
    speaks: BoolArray,
    snr: float,
    reverberation: float,
    generator: np.random.Generator,
) -> FloatArray:
    """Return the mix of tracks as a microphone on the table of a room has it.

    Speakers sit anywhere in the room. Parameters as for `over_telephone`;
    `reverberation` is the RT60, in seconds.
    """
    size = np.array([*generator.uniform([3, 3], [9, 7]), generator.uniform(2.4, 3.5)])
    microphone = size * generator.uniform(0.3, 0.7, 3)
    microphone[2] = generator.uniform(0.7, 1.2)
    mixed = np.zeros(len(tracks[0]))
    for track in tracks:
        place = size * generator.uniform(0.08, 0.92, 3)
        place[2] = generator.uniform(1.0, 1.7)
        response = room_response(size, place, microphone, reverberation, generator)
        mixed += fftconvolve(track, response)[: len(mixed)]
    noise = draw_noise(len(mixed), RATE, generator)
    return add_noise(mixed, noise, speaks, snr)


def room_response(
    size: FloatArray,
    source: FloatArray,
    microphone: FloatArray,
    reverberation: float,
    generator: np.random.Generator,
) -> FloatArray:
    """Return the impulse response of a room from the arrival of the direct sound on.

    Early reflections are those of the image method (Allen and Berkley, 1979) with walls
    that absorb as Eyring's formula says; the later ones are a noise that decays by
    60 dB within the reverberation time. The energy is 1.

    Parameters
    ----------
    size, source, microphone : (3,) array
        In metres, from a corner of the room.
    reverberation : float
        RT60, in seconds.
    generator : numpy.random.Generator
    """
    volume = size.prod()
    surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    reflection = np.exp(-0.0805 * volume / (surface * reverberation))
    grid = np.arange(-_IMAGES, _IMAGES + 1)
    # Along each axis, images lie in two rows: those mirrored an odd number of times,
    # and the others.
    offsets, bounces = [], []
    for mirrored in (0, 1):
        sign = 1 - 2 * mirrored
        offsets.append(
            sign * source[:, None] + 2 * grid * size[:, None] - microphone[:, None]
        )
        bounces.append(abs(2 * grid - mirrored))
    first = round(np.linalg.norm(source - microphone) / _SPEED * RATE)
    early = round(_EARLY * RATE)
    length = early + round(min(_DECAYED * reverberation, _LATEST) * RATE)
    response = np.zeros(length)
    for x, y, z in product((0, 1), repeat=3):
        distance = np.sqrt(
            offsets[x][0][:, None, None] ** 2
            + offsets[y][1][None, :, None] ** 2
            + offsets[z][2][None, None, :] ** 2
        )
        count = (
            bounces[x][:, None, None]
            + bounces[y][None, :, None]
            + bounces[z][None, None, :]
        )
        arrival = np.round(distance / _SPEED * RATE).astype(int) - first
        is_early = arrival < early
        amplitude = reflection**count / distance
        np.add.at(response, arrival[is_early], amplitude[is_early])
    decay = 10 ** (-3 * np.arange(length) / RATE / reverberation)
    late = decay * generator.standard_normal(length)
    late[:early] = 0
    # It goes on at the level of the last third of the early reflections.
    before = response[2 * early // 3 : early] / decay[2 * early // 3 : early]
    response += late * np.sqrt(np.mean(before**2))
    return response / np.linalg.norm(response)


def draw_noise(count: int, rate: int, generator: np.random.Generator) -> FloatArray:
    """Draw stationary noise whose spectrum falls by 0 to 6 dB per octave."""
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    spectrum = np.fft.rfft(generator.standard_normal(count))
    return np.fft.irfft(
        spectrum / np.maximum(frequencies, 40) ** generator.uniform(0, 1), count
    )


def add_noise(
    signal: FloatArray, noise: FloatArray, speaks: BoolArray, snr: float
) -> FloatArray:
    """Add noise that is `snr` dB below the signal where anybody speaks."""
    power = np.mean(signal[speaks] ** 2) / np.mean(noise**2)
    return signal + noise * np.sqrt(power) * 10 ** (-snr / 20)
