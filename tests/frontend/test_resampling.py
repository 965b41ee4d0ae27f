from math import gcd

import numpy as np
import pytest
from scipy.signal import firwin, resample_poly

from ssahc.frontend.resampling import Resampler, resample_blocks


def resample(samples, rate, new_rate):
    return np.concatenate([samples[:0], *resample_blocks([samples], rate, new_rate)])


RATES = [(16000, 8000), (8000, 16000), (44100, 16000), (11025, 8000), (8000, 7900)]


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_equals_scipys_with_the_same_filter(rng, rate, new_rate):
    samples = rng.normal(0, 1, 60_000).astype(np.float32)
    up, down = new_rate // gcd(rate, new_rate), rate // gcd(rate, new_rate)
    taps = firwin(64 * max(up, down) + 1, 1 / max(up, down), window=("kaiser", 8.0))
    expected = resample_poly(samples.astype(np.float64), up, down, window=taps)
    assert len(expected) == -(-len(samples) * up // down)
    resampled = resample(samples, rate, new_rate)
    np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-4)
    cuts = sorted(rng.integers(0, len(samples), 9))
    blocks = resample_blocks(np.split(samples, cuts), rate, new_rate)
    assert np.array_equal(np.concatenate(list(blocks)), resampled)
    # Or as soon as they come, but for the rounding of float32.
    resampler = Resampler(rate, new_rate)
    parts = [resampler.add(block) for block in np.split(samples, cuts)]
    assert len(resampled) - sum(map(len, parts)) < 0.06 * new_rate
    parts.append(resampler.finish())
    np.testing.assert_allclose(np.concatenate(parts), resampled, rtol=0, atol=1e-5)


def test_a_tone_is_kept_and_what_would_alias_is_not():
    time = np.arange(48000) / 16000
    low, high = (np.sin(2 * np.pi * f * time).astype("f4") for f in (3600, 4400))
    middle = slice(1000, -1000)
    kept = resample(low, 16000, 8000)[middle]
    np.testing.assert_allclose(kept, low[::2][middle], atol=1e-3)
    assert np.abs(resample(high, 16000, 8000)[middle]).max() < 1e-3


def test_short_audio():
    for length in range(4):
        ones = np.ones(length, np.float32)
        assert len(resample(ones, 44100, 16000)) == -(-length * 160 // 441)
    assert np.array_equal(resample(ones, 8000, 8000), ones)
