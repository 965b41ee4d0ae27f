"""Sliding chunks, and what is found in them put together."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ssahc.core.errors import DataError
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import (
    SegmentationOptions,
    find_regions,
    segment,
)
from ssahc.frontend.segmentation.powerset import speaker_sets

STEP = SegmentationOptions(segmentation_step=0.1)


def _loudness(stretch, size, step):
    """Choose a class by the sample in the centre of a frame: 0, 1 or 4 at 1, 2, 3."""
    chunks = np.lib.stride_tricks.sliding_window_view(stretch, size)[::step]
    centres = chunks[:, 10:-10:4] * 32768
    outputs = np.full((*centres.shape, 7), -np.inf, np.float32)
    for level, number in ((1, 0), (2, 1), (3, 4)):
        outputs[centres == level, number] = 0
    return outputs


@pytest.fixture
def toy():
    """A model of frames of 4 samples that see 21, in chunks of 101."""
    return Segmenter(speaker_sets(3, 2), _loudness, 100, 101, 4, 21)


@pytest.mark.parametrize("length", [1, 20, 30, 101, 102, 300, 1000, 5003])
def test_every_frame_is_counted_once_however_the_audio_is_cut(toy, rng, length):
    levels = np.repeat(rng.integers(1, 4, -(-length // 50)), 50)[:length]
    samples = levels.astype(np.float32)
    cuts = np.sort(rng.integers(0, length, 5))
    found = segment(np.split(samples, cuts), toy, STEP)
    if length < 25:
        assert len(found.counts) == 2
        return
    assert found.first[-1] * 4 + min(length, 101) > length - 4
    counts = found.counts
    assert len(counts) == (length - 21) // 4 + 1
    np.testing.assert_array_equal(counts, samples[10:-10:4][: len(counts)] - 1)
    # A frame is the time around the sample in the middle of what it sees.
    edges = found.edges
    assert (edges[0], edges[-1]) == (0, length / 100)
    centres = (edges[1:-2] + edges[2:-1]) / 2
    expected = (10.5 + 4 * np.arange(1, len(centres) + 1)) / 100
    np.testing.assert_allclose(centres, expected)
    whole = segment([samples], replace(toy), STEP)
    np.testing.assert_array_equal(found.active, whole.active)


def test_no_audio_has_no_frames(toy):
    found = segment([], toy)
    assert len(found.counts) == 0
    assert find_regions(found.counts > 0, found.edges).shape == (0, 2)
    with pytest.raises(DataError, match="NaN"):
        segment([np.array([1, np.nan], np.float32)], toy)


def test_regions_are_where_frames_start_and_end():
    edges = np.array([0, 0.3, 0.5, 0.7, 1])
    found = find_regions(np.array([True, False, True, True]), edges)
    assert found.tolist() == [[0, 0.3], [0.5, 1]]


def test_speech_of_a_meeting_is_found(segmenter, golden):
    path = golden / "frontend" / "wav" / "trn06-8k.wav"
    samples = np.repeat(soundfile.read(path, dtype="int16")[0], 2)
    silence = np.zeros(32_000, np.float32)
    found = segment([samples[:200_000].astype(np.float32), silence], segmenter)
    counts = found.counts
    speech = find_regions(counts >= 1, found.edges)
    assert 8 < (speech[:, 1] - speech[:, 0]).sum() < 12.7
    assert speech[-1, 1] < 12.7
    assert found.edges[-1] == 14.5
