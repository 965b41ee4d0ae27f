"""What all extractors promise: shapes, times, and errors that name what is wrong."""

from functools import partial

import numpy as np
import pytest

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.frontend import extractors
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.per_window import embed_windows
from ssahc.frontend.feature_options import FbankOptions
from ssahc.frontend.features import fbank, feature_blocks


def average(windows):
    return windows.mean(axis=1)


def make_extractor(mean="none", network=average, context=0):
    """An extractor whose embeddings are means of features over windows."""
    options = FbankOptions(num_mel_bins=5, sample_frequency=8000)
    return Extractor(
        name="average",
        sample_rate=8000,
        dim=5,
        frame_shift=0.01,
        frame_length=0.025,
        overhang=2,
        context=context,
        lookahead=context // 2,
        compute_features=partial(feature_blocks, options=options),
        embed_frames=partial(embed_windows, network=network, mean=mean),
    )


@pytest.fixture
def samples(rng):
    return (3000 * rng.standard_normal(8000 * 90)).astype(np.float32)


def test_embeddings_are_of_the_frames_within_windows(samples):
    features = fbank(samples, FbankOptions(num_mel_bins=5, sample_frequency=8000))
    windows = np.array([[80.0, 81.5], [0.5, 2.0], [0.5, 60.0], [3.0, 3.2]])
    found = make_extractor().embed(samples, windows)
    for row, (first, last) in zip(found, (100 * windows).astype(int)):
        within = features[first : last - 2]
        if len(within) < 50:
            within = within[np.arange(50) % len(within)]
        np.testing.assert_allclose(row, within.mean(axis=0), rtol=1e-5)
    again = make_extractor().embed_features(features, windows)
    np.testing.assert_allclose(again, found, rtol=1e-5)


def test_means_are_those_of_windows_or_around_frames(samples):
    windows = [[10.0, 11.5], [50.0, 51.5]]
    found = make_extractor("window").embed(samples, windows)
    np.testing.assert_allclose(found, np.zeros((2, 5)), atol=1e-4)
    found = make_extractor("sliding", context=300).embed(samples, windows)
    expected = make_extractor("sliding", context=9000).embed(samples, windows)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize(
    ("windows", "named"),
    [
        ([[0, 1.5], [89.8, 90.4], [90.0, 90.4]], r"window 2 \(90-90.4 s\).*89.9"),
        ([[0, 1.5], [89.5, 91.0]], r"window 1 \(89.5-91 s\) is not within"),
        ([[500, 501.5]], "ends at 89.9"),
        ([[1.5, 1.5]], "1.5 and 1.5 of window 0"),
        ([[0, np.nan]], "window 0"),
        ([[0, 1.5], [1.0, 1.02]], r"window 1 \(1-1.02 s\) is shorter than a frame"),
        ([[0, 1, 2]], "windows"),
    ],
)
def test_windows_without_frames_are_named(samples, windows, named):
    with pytest.raises(DataError, match=named):
        make_extractor().embed(samples, windows)


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        ([500, 501.5], "windows beyond the audio"),
        ([1, 1.02], "windows without a frame"),
    ],
)
def test_windows_without_frames_are_named_as_documented(
    samples, faults_page, window, fault
):
    row = faults_page["Audio"][f"{fault}, in Python"]
    with pytest.raises(DataError) as raised:
        make_extractor().embed(samples, [window])
    assert row.is_said_in(f"ssahc: error: {raised.value}")


def test_no_windows_have_no_embeddings(samples):
    extractor = make_extractor()
    assert extractor.embed(samples, np.zeros((0, 2))).shape == (0, extractor.dim)


@pytest.mark.parametrize("dtype", [np.float32, "U3"])
def test_samples_that_are_not_of_one_channel_are_named(dtype):
    stereo = np.zeros((8000, 2), dtype)
    for samples in (stereo, [stereo]):
        with pytest.raises(DataError, match=r"of one channel, found .*\(8000, 2\)"):
            make_extractor().embed(samples, [[0, 1]])


def test_samples_and_embeddings_that_are_not_finite_are_named(samples):
    samples[8000] = np.nan
    with pytest.raises(DataError, match="sample 8000"):
        make_extractor().embed(samples, [[0, 1.5]])
    broken = make_extractor(network=lambda windows: np.full((len(windows), 5), np.nan))
    with pytest.raises(DataError, match=r"average gives NaN .* window 0 \(3-4.5 s\)"):
        broken.embed(samples[8001:], [[3, 4.5]])


def test_memory_does_not_grow_with_the_recording(monkeypatch):
    held = []
    take = extractors._Stretches.take

    def watch(self, first, last):
        features = take(self, first, last)
        held.append(sum(map(len, self._held)))
        return features

    monkeypatch.setattr(extractors._Stretches, "take", watch)
    blocks = (np.ones(8000, np.float32) for _ in range(400))
    windows = np.arange(0, 398, 0.75)[:, None] + [0, 1.5]
    make_extractor().embed(blocks, windows)
    assert max(held) < 4500
    assert len(held) > 10


def test_a_model_that_does_not_work_is_named_when_loaded(monkeypatch):
    def load(model, device):
        return make_extractor(network=lambda windows: windows[:, 0, :3])

    monkeypatch.setattr("ssahc.frontend.extractors.loading.load_extractor", load)
    with pytest.raises(UsageError, match="average: does not embed a second of noise"):
        Extractor.load("anything")


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nothing-here: .*campplus"):
        Extractor.load("nothing-here")
    with pytest.raises(FormatError, match=r"mfcc\.conf"):
        Extractor.load(tmp_path)
    (tmp_path / "final.raw").write_bytes(b"\0B<Nnet3> ")
    with pytest.raises(FormatError, match="folder"):
        Extractor.load(tmp_path / "final.raw")
    (tmp_path / "mfcc.conf").touch()
    with pytest.raises(FormatError, match=r"final\.raw: truncated"):
        Extractor.load(tmp_path)
