"""Telephone lines and rooms, for speech of one track per source of sound.

Tracks are of equal length, at `RATE` of `ssahc.simulation.audio.voices`, and keep their
times: what delays them is taken back.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from ssahc.core.types import Float32Array, FloatArray
from ssahc.simulation.audio.voices import RATE

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
# Of those who are close to the microphone: their distance, in metres, and how much
# louder they are, in dB.
_CLOSE, _LOUDER = (0.1, 0.5), (0.0, 12.0)


def over_telephone(
    tracks: Sequence[FloatArray], generator: np.random.Generator
) -> FloatArray:
    """Return the mix of tracks at `TELEPHONE_RATE`, each over a line of its own."""
    return np.sum([over_line(to_telephone(track), generator) for track in tracks], 0)


def to_telephone(track: FloatArray) -> FloatArray:
    """Return a track at `TELEPHONE_RATE`."""
    # Here and below, as it loads slowly.
    from scipy.signal import resample_poly

    return resample_poly(track, 1, RATE // TELEPHONE_RATE)


def over_line(narrow: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return samples at `TELEPHONE_RATE` as a line that is drawn for them has them."""
    from scipy.signal import fftconvolve

    return fftconvolve(narrow, _draw_line(generator), "same")


def _draw_line(generator: np.random.Generator) -> FloatArray:
    """Draw the filter of a line: the edges of its band, in Hz, and its tilt."""
    from scipy.signal import firwin2

    low, high = generator.uniform(150, 380), generator.uniform(3100, 3800)
    tilt = generator.uniform(-3, 3)
    top = TELEPHONE_RATE / 2
    frequencies = [0, 0.6 * low, low, 1000, high, (high + top) / 2, top]
    edges = tilt * np.log2(np.array([low, 1000, high]) / 1000)
    gains = np.array([-60, -25, *edges, -40, -60])
    return firwin2(257, np.array(frequencies) / top, 10 ** (gains / 20))


def draw_responses(
    count: int,
    rate: int,
    reverberation: tuple[float, float],
    generator: np.random.Generator,
) -> Float32Array:
    """Return impulse responses (count, L) of rooms with one speaker each.

    Parameters
    ----------
    count : int
    rate : int
        In Hz, of the responses: `RATE` or `TELEPHONE_RATE`.
    reverberation : (float, float)
        Range of RT60, in seconds.
    generator : numpy.random.Generator
    """
    from scipy.signal import resample_poly

    responses = []
    for _ in range(count):
        size, microphone = _draw_room(generator)
        place = _draw_place(size, generator)
        seconds = generator.uniform(*reverberation)
        response = room_response(size, place, microphone, seconds, generator)
        responses.append(resample_poly(response, 1, RATE // rate))
    longest = max((len(response) for response in responses), default=1)
    padded = np.zeros((count, longest), np.float32)
    for row, response in zip(padded, responses, strict=True):
        row[: len(response)] = response
    return padded


def _draw_room(generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw the size of a room, and where on its table the microphone is."""
    size = np.array([*generator.uniform([3, 3], [9, 7]), generator.uniform(2.4, 3.5)])
    microphone = size * generator.uniform(0.3, 0.7, 3)
    microphone[2] = generator.uniform(0.7, 1.2)
    return size, microphone


def _draw_place(size: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Draw where somebody speaks."""
    place = size * generator.uniform(0.08, 0.92, 3)
    place[2] = generator.uniform(1.0, 1.7)
    return place


def in_room(
    tracks: Sequence[FloatArray],
    reverberation: float,
    generator: np.random.Generator,
    near: float = 0.0,
) -> FloatArray:
    """Return the mix of tracks as a microphone on the table of a room has it.

    Sources are anywhere in the room.

    Parameters
    ----------
    tracks : sequence of (n,) arrays
    reverberation : float
        RT60, in seconds.
    generator : numpy.random.Generator
    near : float
        Probability that a source is close to the microphone, and louder.
    """
    from scipy.signal import fftconvolve

    size, microphone = _draw_room(generator)
    mixed = np.zeros(len(tracks[0]))
    for track in tracks:
        place = _draw_place(size, generator)
        gain = 1.0
        if near > 0 and generator.random() < near:
            way = generator.standard_normal(3)
            way *= generator.uniform(*_CLOSE) / np.linalg.norm(way)
            place = microphone + way
            gain = 10 ** (generator.uniform(*_LOUDER) / 20)
        response = room_response(size, place, microphone, reverberation, generator)
        mixed += gain * fftconvolve(track, response)[: len(mixed)]
    return mixed


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
