from math import cos, exp, log, pi, sin, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.core.errors import DataError, UsageError
from ssahc.frontend.features import (
    FbankOptions,
    MfccOptions,
    fbank,
    feature_blocks,
    mfcc,
    num_frames,
)


def test_mfcc_equals_kaldi(kaldi):
    features = mfcc(kaldi.samples, kaldi.options)
    np.testing.assert_allclose(features, kaldi.read("mfcc"), rtol=0, atol=2e-3)


# ---- every option, against a loop over frames, samples and filters -----------------


def loop_window(kind, size, constant):
    def value(i):
        angle = 2 * pi * i / (size - 1)
        return {
            "povey": (0.5 - 0.5 * cos(angle)) ** 0.85,
            "hanning": 0.5 - 0.5 * cos(angle),
            "hamming": 0.54 - 0.46 * cos(angle),
            "sine": sin(pi * i / (size - 1)),
            "rectangular": 1.0,
            "blackman": constant - 0.5 * cos(angle) + (0.5 - constant) * cos(2 * angle),
        }[kind]

    return [value(i) for i in range(size)]


def loop_frame(samples, start, size):
    frame = []
    for place in range(start, start + size):
        while not 0 <= place < len(samples):
            place = -place - 1 if place < 0 else 2 * len(samples) - 1 - place
        frame.append(float(samples[place]))
    return frame


def loop_filters(power, o, padded):
    def mel(frequency):
        return 1127 * log(1 + frequency / 700)

    nyquist = o.sample_frequency / 2
    top = o.high_freq if o.high_freq > 0 else nyquist + o.high_freq
    low, high = mel(o.low_freq), mel(top)
    step = (high - low) / (o.num_mel_bins + 1)
    outputs = []
    for number in range(o.num_mel_bins):
        left, centre, right = (low + (number + k) * step for k in range(3))
        total = 0.0
        for k in range(padded // 2):
            place = mel(k * o.sample_frequency / padded)
            if left < place <= centre:
                total += power[k] * (place - left) / (centre - left)
            elif centre < place < right:
                total += power[k] * (right - place) / (right - centre)
        outputs.append(total)
    return outputs


def loop_features(samples, o):
    size = int(o.sample_frequency * 0.001 * o.frame_length)
    shift = int(o.sample_frequency * 0.001 * o.frame_shift)
    padded = 1
    while padded < size:
        padded *= 2
    padded = padded if o.round_to_power_of_two else size
    floor = 2.0**-23
    rows = []
    while True:
        begin = len(rows) * shift
        if o.snip_edges:
            if begin + size > len(samples):
                break
        else:
            if len(rows) == (len(samples) + shift // 2) // shift:
                break
            begin += shift // 2 - size // 2
        x = loop_frame(samples, begin, size)
        if o.remove_dc_offset:
            x = [v - sum(x) / size for v in x]
        energy = sum(v * v for v in x)
        x = [v - o.preemphasis_coefficient * x[max(i - 1, 0)] for i, v in enumerate(x)]
        window = loop_window(o.window_type, size, o.blackman_coeff)
        x = [v * w for v, w in zip(x, window)]
        if not o.raw_energy:
            energy = sum(v * v for v in x)
        log_energy = log(max(energy, floor, o.energy_floor))
        x += [0.0] * (padded - size)
        turns = np.exp(
            -2j * pi * np.outer(np.arange(padded // 2), range(padded)) / padded
        )
        spectrum = turns @ x
        power = abs(spectrum) ** (1 if getattr(o, "use_power", True) is False else 2)
        mel = loop_filters(power, o, padded)
        if getattr(o, "use_log_fbank", True):
            mel = [log(max(v, floor)) for v in mel]
        if isinstance(o, FbankOptions):
            row = [log_energy, *mel] if o.use_energy else mel
            if o.use_energy and o.htk_compat:
                row = [*mel, log_energy]
        else:
            row = []
            for k in range(o.num_ceps):
                scale = sqrt((1 if k == 0 else 2) / o.num_mel_bins)
                value = scale * sum(
                    v * cos(pi / o.num_mel_bins * (b + 0.5) * k)
                    for b, v in enumerate(mel)
                )
                q = o.cepstral_lifter
                row.append(value * (1 + q / 2 * sin(pi * k / q) if q else 1))
            if o.use_energy:
                row[0] = log_energy
            if o.htk_compat:
                c0 = row.pop(0)
                row.append(c0 if o.use_energy else c0 * sqrt(2))
        rows.append(row)
    return rows


COMMON = {"sample_frequency": 2000.0, "num_mel_bins": 5}
CASES = [
    MfccOptions(**COMMON, num_ceps=5, use_energy=False),
    MfccOptions(**COMMON, num_ceps=3, htk_compat=True, window_type="hamming"),
    MfccOptions(
        **COMMON, num_ceps=5, htk_compat=True, use_energy=False, cepstral_lifter=0.0
    ),
    MfccOptions(
        **COMMON, num_ceps=4, raw_energy=False, snip_edges=False, energy_floor=1e7
    ),
    MfccOptions(
        **COMMON, num_ceps=5, remove_dc_offset=False, preemphasis_coefficient=0.0
    ),
    FbankOptions(**COMMON, high_freq=-100.0, low_freq=0.0, snip_edges=False),
    FbankOptions(**COMMON, use_energy=True, window_type="blackman", blackman_coeff=0.4),
    FbankOptions(**COMMON, use_energy=True, htk_compat=True, use_log_fbank=False),
    FbankOptions(**COMMON, use_power=False, window_type="sine", frame_length=33.0),
    FbankOptions(**COMMON, round_to_power_of_two=False, window_type="rectangular"),
    FbankOptions(**COMMON, frame_shift=40.0, snip_edges=False, window_type="hanning"),
]


@pytest.mark.parametrize("options", CASES)
def test_every_option_equals_a_loop(options, rng):
    samples = np.cumsum(rng.normal(0, 500, 160)).astype(np.float32)
    # Digital silence, with an offset, has the least energy there is.
    samples[:70] = 40
    compute = mfcc if isinstance(options, MfccOptions) else fbank
    features = compute(samples, options)
    expected = np.array(loop_features(samples, options))
    assert features.shape == expected.shape == (len(features), options.dim)
    np.testing.assert_allclose(features, expected, rtol=2e-5, atol=2e-3)


# ---- blocks and lengths ------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.data(), st.booleans(), st.integers(0, 3000))
def test_blocks_of_any_size_give_the_same_features(data, snip_edges, length):
    options = FbankOptions(
        sample_frequency=1000, num_mel_bins=4, frame_shift=2, snip_edges=snip_edges
    )
    samples = np.random.default_rng(length).normal(0, 100, length).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=5)))
    blocks = list(feature_blocks(np.split(samples, cuts), options))
    whole = fbank(samples, options)
    assert len(whole) == num_frames(length, options)
    assert np.array_equal(np.concatenate([whole[:0], *blocks]), whole)


def test_shorter_audio_than_a_frame_is_reflected_again_and_again():
    options = MfccOptions(
        sample_frequency=2000, num_mel_bins=5, num_ceps=5, snip_edges=False
    )
    samples = np.array([3.0, -1, 40, 7, 0, 9, 2, 1, 5, 8, -60])
    np.testing.assert_allclose(
        mfcc(samples, options), loop_features(samples, options), atol=1e-3
    )
    assert mfcc(samples[:9], options).shape == (0, 5)
    assert mfcc(samples, MfccOptions()).shape == (0, 13)


def test_dither_is_the_same_in_every_run_and_lifts_silence():
    options = MfccOptions(sample_frequency=8000, dither=1.0)
    silence = np.zeros(20000, np.float32)
    once, again = (mfcc(silence, options) for _ in range(2))
    assert np.array_equal(once, again)
    # A frame of 200 samples of variance 1.
    assert abs(once[:, 0].mean() - log(200)) < 0.05
    assert not np.array_equal(once[0], once[1])
    still = mfcc(silence, MfccOptions(sample_frequency=8000))
    assert exp(still[0, 0]) == pytest.approx(2**-23)


# ---- faults ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        (MfccOptions, {"num_ceps": 40}, "--num-ceps must be at most --num-mel-bins"),
        (MfccOptions, {"window_type": "gauss"}, "--window-type must be one of povey"),
        (FbankOptions, {"high_freq": 9000.0}, "--high-freq 9000"),
        (FbankOptions, {"frame_length": 0.01}, "--frame-length 0.01"),
        (
            FbankOptions,
            {"sample_frequency": 11000.0, "round_to_power_of_two": False},
            "275 samples needs --round-to-power-of-two",
        ),
    ],
)
def test_impossible_options_are_refused(kind, values, named):
    with pytest.raises(UsageError, match=named):
        kind(**values)


def test_too_many_filters_are_refused():
    options = FbankOptions(sample_frequency=8000, num_mel_bins=200)
    with pytest.raises(UsageError, match="--num-mel-bins 200 are so many"):
        fbank(np.zeros(400), options)


def test_unusable_samples_are_refused():
    samples = np.zeros(10000)
    samples[9000] = np.nan
    with pytest.raises(DataError, match=r"sample 9000 \(at 1.125 s\) is NaN"):
        mfcc(samples, MfccOptions(sample_frequency=8000))
    with pytest.raises(DataError, match=r"one channel, shape \(N,\), found shape"):
        mfcc(np.zeros((2, 800)))
