import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.frontend.features import mfcc
from ssahc.frontend.vad import (
    EnergyVadOptions,
    RegionOptions,
    energy_vad,
    speech_regions,
)
from ssahc.io.kaldi_conf import read_conf


def test_decisions_equal_kaldis(kaldi, golden):
    options = read_conf(golden / "frontend" / "conf" / "vad.conf", EnergyVadOptions)
    expected = kaldi.read("vad", "vector") == 1
    for features in (kaldi.read("mfcc"), mfcc(kaldi.samples, kaldi.options)):
        assert np.array_equal(energy_vad(features, options), expected)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-20, 20, width=32), max_size=30),
    st.integers(0, 4),
    st.sampled_from([0.12, 0.5, 0.6, 0.99]),
)
def test_votes_equal_a_loop(energies, context, share):
    options = EnergyVadOptions(
        vad_frames_context=context,
        vad_proportion_threshold=share,
        vad_energy_mean_scale=0.0,
    )
    features = np.array(energies, np.float32).reshape(-1, 1)
    expected = []
    for t in range(len(energies)):
        votes = energies[max(t - context, 0) : t + context + 1]
        expected.append(sum(e > 5 for e in votes) / len(votes) >= share)
    assert energy_vad(features, options).tolist() == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (RegionOptions(0, 0, 0), [(0, 0.3), (0.5, 0.6), (0.8, 1.0)]),
        (RegionOptions(0.2, 0, 0), [(0, 0.3), (0.5, 0.6), (0.8, 1.0)]),
        (RegionOptions(0.21, 0, 0), [(0, 1.0)]),
        (RegionOptions(0, 0.2, 0), [(0, 0.3), (0.8, 1.0)]),
        (RegionOptions(0, 0.2, 0.1), [(0, 0.4), (0.7, 1.0)]),
        (RegionOptions(0, 0, 0.1), [(0, 1.0)]),
        (RegionOptions(5, 5, 5), []),
    ],
)
def test_regions(options, expected):
    is_speech = np.array([1, 1, 1, 0, 0, 1, 0, 0, 1, 1], bool)
    regions = speech_regions(is_speech, 0.1, options)
    assert regions.tolist() == [list(region) for region in expected]


def test_no_speech_has_no_regions():
    for frames in (0, 5):
        assert speech_regions(np.zeros(frames, bool)).shape == (0, 2)
