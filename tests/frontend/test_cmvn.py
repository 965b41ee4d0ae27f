import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.core.errors import DataError
from ssahc.frontend import cmvn
from ssahc.frontend.cmvn import SlidingCmvnOptions, sliding_cmvn
from ssahc.frontend.vad import energy_vad

CAUSAL = SlidingCmvnOptions(
    cmn_window=600, center=False, min_cmn_window=100, norm_vars=True
)


@pytest.mark.parametrize(
    ("table", "options"),
    [("cmn", SlidingCmvnOptions()), ("cmvn_varnorm_causal", CAUSAL)],
)
def test_equals_kaldi(kaldi, table, options):
    normalised = sliding_cmvn(kaldi.read("mfcc"), options)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, kaldi.read(table), rtol=0, atol=1e-5)


def loop(features, o):
    """As Kaldi's comments describe it, frame by frame."""
    total, rows = len(features), []
    for t in range(total):
        start, end = (
            (t - o.cmn_window // 2, t - o.cmn_window // 2 + o.cmn_window)
            if o.center
            else (t - o.cmn_window, t + 1)
        )
        if start < 0:
            start, end = 0, end - start
        if not o.center:
            end = max(t + 1, o.min_cmn_window)
        if end > total:
            start, end = max(0, start - (end - total)), total
        window = features[start:end].astype(np.float64)
        row = features[t] - window.mean(axis=0)
        if o.norm_vars:
            row = row / np.sqrt(np.maximum(window.var(axis=0), 1e-10))
            row = row if end - start > 1 else 0 * row
        rows.append(row)
    return np.array(rows).reshape(features.shape)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 30),
    st.builds(
        SlidingCmvnOptions,
        cmn_window=st.integers(1, 40),
        center=st.booleans(),
        min_cmn_window=st.integers(1, 40),
        norm_vars=st.booleans(),
    ),
)
def test_every_option_equals_a_loop_in_blocks_of_any_size(length, options):
    features = np.random.default_rng(length).normal(5, 2, (length, 3)).astype("f4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cmvn, "_BLOCK", 7)
        normalised = sliding_cmvn(features, options)
    np.testing.assert_allclose(normalised, loop(features, options), atol=2e-5)


def test_features_that_do_not_vary_stay_finite():
    features = np.full((500, 2), 13.3, np.float32)
    normalised = sliding_cmvn(features, SlidingCmvnOptions(norm_vars=True))
    assert np.abs(normalised).max() < 1e-3


def test_frames_with_nan_are_named():
    features = np.zeros((9, 2), np.float32)
    features[4:6, 1] = np.nan
    for use in (sliding_cmvn, energy_vad):
        with pytest.raises(
            DataError, match=r"frame 4 hold NaN .*\(2 such frames of 9\)"
        ):
            use(features)
