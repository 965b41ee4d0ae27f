"""Noise of recordings: a stationary one, and what makes it vary."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import FloatArray
from ssahc.simulation.audio.voices import LEVEL, RATE

BoolArray = NDArray[np.bool_]

# How often the level of noise changes slowly; by how much, in dB (standard deviation),
# and in how many seconds.
_CHANGING, _CHANGE, _SLOWLY = 0.5, (1.0, 6.0), (1.0, 20.0)
# How often there is hum, of so many harmonics; its level to that of the noise, in dB.
_HUMMING, _HARMONICS, _HUM = 0.3, 12, (-15.0, 5.0)
# How often there are short sounds, how many a minute, and their level to speech, in dB.
_SOUNDING, _RATE_OF_SOUNDS, _SOUND = 0.8, (1.0, 40.0), (-25.0, 6.0)
# Level of noise to speech if there are short sounds, in dB.
_FLOOR = -30.0, -5.0
# How often others babble, their streams, the seconds of speech to make them of, and
# their level below that of speech, in dB.
BABBLING = 0.3
_STREAMS, BABBLE_SECONDS, _BABBLE = 6, 10.0, (8.0, 25.0)


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


def vary_noise(noise: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return noise (n,) at `RATE` with hum and a slowly changing level, by chance."""
    if generator.random() < _CHANGING:
        seconds = len(noise) / RATE
        points = 2 + int(seconds / generator.uniform(*_SLOWLY))
        levels = generator.normal(0, generator.uniform(*_CHANGE), points)
        times = np.linspace(0, points - 1, len(noise))
        noise = noise * 10 ** (np.interp(times, np.arange(points), levels) / 20)
    if generator.random() < _HUMMING:
        base = generator.choice([50.0, 60.0, generator.uniform(80, 300)])
        time = np.arange(len(noise)) / RATE
        hum = np.zeros(len(noise))
        for harmonic in range(1, _HARMONICS + 1):
            phase = generator.uniform(0, 2 * np.pi)
            amplitude = generator.exponential(1 / harmonic)
            hum += amplitude * np.sin(2 * np.pi * harmonic * base * time + phase)
        hum *= noise.std() / hum.std() * 10 ** (generator.uniform(*_HUM) / 20)
        noise = noise + hum
    return noise


def draw_background(count: int, generator: np.random.Generator) -> FloatArray:
    """Draw noise (n,) at `RATE` that varies, with short sounds by chance."""
    noise = vary_noise(draw_noise(count, RATE, generator), generator)
    level = LEVEL * 10 ** (generator.uniform(*_FLOOR) / 20)
    return noise * (level / noise.std()) + draw_sounds(count, generator)


def draw_sounds(count: int, generator: np.random.Generator) -> FloatArray:
    """Draw a track (n,) of short sounds by chance; else of zeros."""
    track = np.zeros(count)
    if generator.random() >= _SOUNDING:
        return track
    low, high = np.log(_RATE_OF_SOUNDS)
    per_minute = np.exp(generator.uniform(low, high))
    # As the recording's own sounds are: a keyboard has others than paper.
    odds = generator.dirichlet(np.full(len(_KINDS), 0.5))
    typical = generator.uniform(*_SOUND)
    for _ in range(generator.poisson(per_minute * count / RATE / 60)):
        kind = _KINDS[generator.choice(len(_KINDS), p=odds)]
        sound = kind(generator)
        level = typical + generator.normal(0, 4)
        sound *= LEVEL * 10 ** (level / 20) / np.sqrt(np.mean(sound**2))
        start = int(generator.integers(count))
        track[start : start + len(sound)] += sound[: count - start]
    return track


def _draw_click(generator: np.random.Generator) -> FloatArray:
    """Draw a noise that decays within some milliseconds."""
    decay = RATE * generator.uniform(0.001, 0.01)
    time = np.arange(int(5 * decay) + 1)
    return np.exp(-time / decay) * generator.standard_normal(len(time))


def _draw_knock(generator: np.random.Generator) -> FloatArray:
    """Draw some resonances that decay, as of a table or a door."""
    time = np.arange(int(RATE * generator.uniform(0.05, 0.3))) / RATE
    sound = np.zeros(len(time))
    for _ in range(generator.integers(2, 6)):
        frequency = np.exp(generator.uniform(np.log(60), np.log(2500)))
        decay = generator.uniform(0.01, 0.06)
        phase = generator.uniform(0, 2 * np.pi)
        sound += np.exp(-time / decay) * np.sin(2 * np.pi * frequency * time + phase)
    return sound


def _draw_rustling(generator: np.random.Generator) -> FloatArray:
    """Draw a noise of 0.1 to 1.5 s around 0.3 to 6 kHz: paper, clothes, breath."""
    return _draw_swelling((0.1, 1.5), (300, 6000), generator)


def _draw_rumble(generator: np.random.Generator) -> FloatArray:
    """Draw a noise of 0.2 to 3 s around 40 to 300 Hz: wind, steps, a hand."""
    return _draw_swelling((0.2, 3.0), (40, 300), generator)


def _draw_swelling(
    seconds: tuple[float, float],
    centres: tuple[float, float],
    generator: np.random.Generator,
) -> FloatArray:
    """Draw a coloured noise that swells and fades, unevenly."""
    count = int(RATE * np.exp(generator.uniform(*np.log(seconds))))
    noise = np.fft.rfft(generator.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    centre = np.exp(generator.uniform(*np.log(centres)))
    width = generator.uniform(0.3, 1.5)
    band = np.exp(-(np.log(np.maximum(frequencies, 20) / centre) ** 2) / 2 / width**2)
    swell = np.hanning(count) * np.exp(
        generator.normal(0, 0.8, count // 400 + 2)[np.arange(count) // 400]
    )
    return np.fft.irfft(noise * band, count) * swell


_KINDS = (_draw_click, _draw_knock, _draw_rustling, _draw_rumble)


def mix_babble(
    speech: Sequence[FloatArray], count: int, generator: np.random.Generator
) -> FloatArray:
    """Return a track (n,) of babble: many who speak at once, some way off.

    `speech` is a piece of each of some voices, at `LEVEL`.
    """
    # Here, as it loads slowly.
    from scipy.signal import fftconvolve

    track = np.zeros(count)
    for _ in range(_STREAMS):
        piece = speech[int(generator.integers(len(speech)))]
        shift = int(generator.integers(len(piece)))
        track += np.resize(np.roll(piece, shift), count)
    track *= LEVEL / track.std()
    # Some distance blurs it.
    smear = np.exp(-np.arange(RATE // 4) / (0.05 * RATE))
    smear *= generator.standard_normal(len(smear))
    track = fftconvolve(track, smear / np.linalg.norm(smear))[:count]
    return track * 10 ** (-generator.uniform(*_BABBLE) / 20)
