"""MFCC of batches against those of recordings, which equal Kaldi's."""

import numpy as np
import pytest
import torch

from ssahc.frontend.batch_features import batch_mfcc, subtract_sliding_mean
from ssahc.frontend.cmvn import SlidingCmvnOptions, sliding_cmvn
from ssahc.frontend.feature_options import MfccOptions
from ssahc.frontend.features import mfcc


@pytest.mark.parametrize(
    "options",
    [
        {"sample_frequency": 16000.0, "high_freq": 7600.0, "num_mel_bins": 30},
        {"snip_edges": True, "use_energy": False, "remove_dc_offset": False},
        {"raw_energy": False, "energy_floor": 1e9, "preemphasis_coefficient": 0.0},
    ],
)
def test_features_of_a_batch_equal_those_of_recordings(options):
    options = MfccOptions(
        **({"sample_frequency": 8000.0, "snip_edges": False} | options)
    )
    generator = np.random.default_rng(0)
    size = int(0.7 * options.sample_frequency) + 11
    samples = 3000 * generator.standard_normal((2, size)) * np.linspace(0, 1, size)
    samples = samples.astype(np.float32)
    found = batch_mfcc(options, "cpu")(torch.from_numpy(samples))
    expected = np.stack([mfcc(row, options) for row in samples])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("count", [30, 71])
def test_the_sliding_mean_of_a_batch_is_that_of_recordings(count):
    features = np.random.default_rng(0).standard_normal((2, count, 3)) + 5
    features = features.astype(np.float32)
    options = SlidingCmvnOptions(cmn_window=41)
    found = subtract_sliding_mean(torch.from_numpy(features), options)
    expected = np.stack([sliding_cmvn(row, options) for row in features])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
