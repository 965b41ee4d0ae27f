"""Simulated audio: the amounts of overlap and silence, voices, rooms and noise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ssahc.core.errors import UsageError
from ssahc.simulation.audio.acoustics import in_room, room_response
from ssahc.simulation.audio.noise import add_noise, draw_noise, draw_sounds, mix_babble
from ssahc.simulation.audio.options import SimulateAudioOptions
from ssahc.simulation.audio.turns import draw_conversation, overlap_of
from ssahc.simulation.audio.voices import LEVEL, RATE, Supply, Voice, condense


def test_overlap_and_silence_are_as_asked_on_average():
    generator = np.random.default_rng(0)
    for overlap, silence in ((0.0, 0.1), (0.1, 0.3), (0.25, 0.1)):
        shares = []
        for count in (2, 3, 4, 5) * 12:
            turns = draw_conversation(count, 60, overlap, silence, generator)
            # By a grid, which knows nothing of how amounts are computed.
            grid = np.zeros((5, 6000), int)
            for turn in turns:
                row = int(turn.speaker[1:]) - 1
                grid[row, round(turn.start * 100) : round(turn.end * 100)] += 1
            assert grid.max() == 1
            active = grid.sum(axis=0)
            speech, shared = overlap_of(turns)
            assert speech == pytest.approx((active > 0).sum() / 100)
            assert shared == pytest.approx((active > 1).sum() / 100)
            shares.append((shared / speech, 1 - speech / 60))
        means = np.mean(shares, axis=0)
        assert means[0] == pytest.approx(overlap, abs=0.05)
        assert means[1] == pytest.approx(silence, abs=0.05)
        if overlap:
            # Not all alike.
            assert np.std(shares, axis=0).min() > 0.03


def test_options_that_contradict_each_other_are_named():
    with pytest.raises(UsageError, match="--overlap needs --silence"):
        SimulateAudioOptions(overlap=0.1)
    with pytest.raises(UsageError, match="--min-snr must be at most --max-snr, 30"):
        SimulateAudioOptions(min_snr=40)


def test_supply_gives_no_sample_twice():
    noise = 3000 * np.random.default_rng(0).standard_normal((2, 2 * RATE))
    files = dict(zip("ab", noise.astype(np.float32), strict=True))
    voice = Voice("v", tuple(files), 4.0)
    supply = Supply(voice, files.__getitem__, np.random.default_rng(1))
    pieces = [supply.take(count) for count in (RATE, RATE, RATE // 2, RATE)]
    with pytest.raises(ValueError, match="no more speech"):
        supply.take(RATE)
    order = (
        "ba"
        if np.allclose(pieces[0][200:9000], condense(files["b"])[200:9000])
        else "ab"
    )
    whole = np.concatenate([condense(files[name]) for name in order])
    start = 0
    for piece in pieces:
        # But for the fading at both ends.
        expected = whole[start : start + len(piece)]
        assert_allclose(piece[200:-200], expected[200:-200])
        start += len(piece)


def test_silence_is_cut_and_level_is_equal():
    time = np.arange(7 * RATE) / RATE
    for amplitude in (600, 16_000):
        tone = amplitude * np.sin(2 * np.pi * 440 * time)
        # A second at the start, and two in the middle, of which 0.3 s are kept.
        speaks = (time > 1) & (np.abs(time - 4) > 1)
        speech = condense((tone * speaks).astype(np.float32))
        assert len(speech) / RATE == pytest.approx(4.3, abs=0.1)
        assert np.sqrt(np.mean(speech**2)) == pytest.approx(LEVEL, rel=0.01)


def test_room_decays_by_60_db_within_its_reverberation_time():
    size, source, microphone = np.array(
        [[6.0, 5.0, 3.0], [1.5, 1.2, 1.6], [3.0, 2.6, 0.8]]
    )
    generator = np.random.default_rng(0)
    for reverberation in (0.3, 0.6):
        response = room_response(size, source, microphone, reverberation, generator)
        # Schroeder's backward integration; T20 is three times -5 to -25 dB.
        decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
        assert decay[0] == pytest.approx(0, abs=1e-9)
        t20 = (np.argmax(decay < -25) - np.argmax(decay < -5)) / RATE
        assert 3 * t20 == pytest.approx(reverberation, rel=0.25)
        assert response.argmax() == 0


def test_near_voices_are_louder_and_less_reverberant():
    impulse = np.zeros(RATE)
    impulse[0] = 1
    shares, energies = [], []
    for near in (0.0, 1.0):
        for seed in range(5):
            heard = in_room([impulse], 0.5, np.random.default_rng(seed), near)
            energies.append(np.sum(heard**2))
            shares.append(np.sum(heard[:80] ** 2) / energies[-1])
    assert np.mean(shares[5:]) > 2 * np.mean(shares[:5])
    assert_allclose(energies[:5], 1)
    assert np.mean(energies[5:]) > 2


def test_noise_has_its_level_and_sounds_are_short():
    generator = np.random.default_rng(0)
    speech = generator.standard_normal(RATE)
    speaks = np.arange(RATE) < RATE // 2
    noise = draw_noise(RATE, RATE, generator)
    added = add_noise(speech * speaks, noise, speaks, 10) - speech * speaks
    ratio = np.mean(speech[speaks] ** 2) / np.mean(added**2)
    assert 10 * np.log10(ratio) == pytest.approx(10)
    tracks = np.array([draw_sounds(20 * RATE, generator) for _ in range(20)])
    # Nothing most of the time, and not the same everywhere.
    active = (tracks != 0).mean(axis=1)
    assert active.min() < 0.01 < active.max() < 0.9
    assert np.isfinite(tracks).all()
    babble = mix_babble([speech, speech[: RATE // 3]], 2 * RATE, generator)
    assert len(babble) == 2 * RATE
    assert babble.std() < LEVEL
