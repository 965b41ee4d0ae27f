"""Augmentation of chunks of speech."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import fftconvolve

from ssahc.learning.extractor.augmentation import Augmenter, Surroundings
from ssahc.learning.extractor.drawing import ChunkDrawer
from ssahc.learning.extractor.options import (
    NO_AUGMENTATION,
    ExtractorTrainingOptions,
    SpeechAugmentationOptions,
)
from ssahc.learning.extractor.speech import LabelledSpeech

RATE, SIZE = 16000, 8000
ONE_LEVEL = replace(NO_AUGMENTATION, min_level=-20.0, max_level=-20.0)


@pytest.fixture
def speech():
    """Tones of another pitch for each of six speakers."""
    times = np.arange(2 * RATE) / RATE
    pitches = range(400, 1000, 100)
    signals = [
        (8000 * np.sin(2 * np.pi * pitch * times)).astype(np.int16) for pitch in pitches
    ]
    names = [f"s{pitch}" for pitch in pitches]
    return LabelledSpeech(names, names, signals)


def augment(speech, options, rooms=(), noises=(), seed=0):
    training = ExtractorTrainingOptions(speakers_per_batch=6)
    generator = np.random.default_rng(seed)
    drawer = ChunkDrawer(speech, training, options)
    chunks = drawer.draw(SIZE, generator)
    surroundings = Surroundings(
        np.array(rooms, np.float32).reshape(len(rooms), -1 if len(rooms) else 1),
        np.array(noises, np.float32).reshape(len(noises), -1 if len(noises) else SIZE),
    )
    made = Augmenter(options, surroundings, RATE, "cpu").apply(chunks, SIZE, generator)
    return chunks, made.numpy() / 32768


def pitches(samples):
    peaks = np.abs(np.fft.rfft(samples * np.hanning(SIZE))).argmax(axis=1)
    return peaks * RATE / SIZE


def level(samples):
    return 20 * np.log10(np.sqrt(np.mean(samples**2, axis=-1)))


def test_chunks_have_a_level(speech):
    _, plain = augment(speech, ONE_LEVEL)
    np.testing.assert_allclose(level(plain), -20, atol=0.1)


@pytest.mark.parametrize("further", [True, False])
def test_other_speeds_are_other_pitches_and_maybe_speakers(speech, further):
    options = replace(ONE_LEVEL, speed_share=1.0, speed_speakers=further)
    chunks, samples = augment(speech, options)
    own = 400 + 100 * (chunks.classes % 6)
    ratios = pitches(samples) / own
    slow, fast = np.isclose(ratios, 0.9, atol=0.01), np.isclose(ratios, 1.1, atol=0.01)
    assert (slow | fast).all()
    assert slow.any()
    assert fast.any()
    if further:
        np.testing.assert_array_equal(chunks.classes // 6, np.where(slow, 1, 2))
    else:
        assert chunks.classes.max() < 6


def test_rooms_convolve(speech):
    response = np.exp(-np.arange(600) / 100) * np.random.default_rng(1).normal(size=600)
    _, dry = augment(speech, ONE_LEVEL)
    _, wet = augment(speech, replace(ONE_LEVEL, room_share=1.0), rooms=[response])
    expected = fftconvolve(dry, response[None], axes=1)[:, :SIZE]
    expected *= 10 ** ((-20 - level(expected)) / 20)[:, None]
    np.testing.assert_allclose(wet, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["noise", "babble"])
def test_noise_has_its_ratio(speech, kind):
    noise = np.random.default_rng(1).standard_normal((3, 2 * SIZE))
    changes = {"babble_share": 1.0, "min_babble_snr": 6.0, "max_babble_snr": 6.0}
    if kind == "noise":
        changes = {"noise_share": 1.0, "min_snr": 6.0, "max_snr": 6.0}
    chunks, noisy = augment(speech, replace(ONE_LEVEL, **changes), noises=noise)
    own = 400 + 100 * chunks.classes
    spectra = np.abs(np.fft.rfft(noisy * np.hanning(SIZE))) ** 2
    for row, pitch in zip(spectra, own):
        near = slice(pitch * SIZE // RATE - 5, pitch * SIZE // RATE + 6)
        ratio = row[near].sum() / (row.sum() - row[near].sum())
        assert 10 * np.log10(ratio) == pytest.approx(6, abs=0.5)


def test_a_telephone_passes_its_band(speech):
    noise = 5000 * np.random.default_rng(1).standard_normal(2 * RATE)
    loud = LabelledSpeech([*"ab"], [*"ab"], [noise.astype(np.int16)] * 2)
    _, samples = augment(loud, replace(ONE_LEVEL, telephone_share=1.0))
    power = (np.abs(np.fft.rfft(samples)) ** 2).mean(axis=0)
    frequencies = np.fft.rfftfreq(SIZE, 1 / RATE)
    inside = power[(frequencies > 500) & (frequencies < 3000)].mean()
    assert power[frequencies > 4200].mean() < 1e-4 * inside
    assert power[frequencies < 60].mean() < 1e-2 * inside


def test_all_together_is_the_same_again_and_within_full_scale(speech):
    noise = np.random.default_rng(1).standard_normal((3, 2 * SIZE))
    options = SpeechAugmentationOptions(max_level=0.0)
    (_, first), (_, second), (_, other) = (
        augment(speech, options, noise[:, :500], noise, seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert np.abs(first).max() <= 1
