"""Chunks of annotated recordings: frames, speakers, what is added."""

import numpy as np
import pytest

from ssahc.core.types import Turn
from ssahc.learning.segmentation.annotated import (
    AnnotatedAudio,
    Frames,
    keep_most_active,
)
from ssahc.learning.segmentation.drawing import ChunkDrawer, make_noises
from ssahc.learning.segmentation.options import AugmentationOptions

RATE = 100
FRAMES = Frames(RATE, chunk=200, frame_shift=2, receptive_field=5)


def annotated(turns, seconds, spans=None):
    """A recording whose samples are the sums of 1000 times the speakers' numbers."""
    samples = np.zeros(round(seconds * RATE), np.int16)
    for start, end, number in turns:
        samples[round(start * RATE) : round(end * RATE)] += 1000 * number
    turns = [Turn(start, end, str(number)) for start, end, number in turns]
    spans = [[0, seconds]] if spans is None else spans
    return AnnotatedAudio("a", samples, turns, np.array(spans, float))


def draw(recordings, options, rng, count=40, speakers=2):
    noises = make_noises(FRAMES.chunk, np.random.default_rng(0))
    return ChunkDrawer(recordings, FRAMES, speakers, options, noises).draw(count, rng)


def test_frames_have_the_speakers_at_their_centres():
    recording = annotated([(0.1, 0.5, 1), (0.4, 0.9, 2), (0.4, 0.41, 2)], 1)
    times = Frames(RATE, 100, 2, 5).times()
    np.testing.assert_allclose(times, (2.5 + 2 * np.arange(48)) / RATE)
    active = recording.active(times)
    expected = [[a <= time < b for a, b in ((0.1, 0.5), (0.4, 0.9))] for time in times]
    np.testing.assert_array_equal(active, expected)
    assert recording.active(times[:2]).shape == (2, 0)


def test_the_speakers_who_speak_most_are_kept():
    active = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1], [0, 0, 1]], bool)
    np.testing.assert_array_equal(keep_most_active(active, 2), active[:, [2, 0]])
    np.testing.assert_array_equal(
        keep_most_active(active, 4)[:, :3], active[:, [2, 0, 1]]
    )
    assert not keep_most_active(active, 4)[:, 3].any()


@pytest.mark.parametrize("spans", [None, [[0.5, 1.5], [2.5, 6]]])
@pytest.mark.parametrize("mix_share", [0, 1])
def test_labels_fit_the_audio_wherever_chunks_are_cut(rng, spans, mix_share):
    # Powers of two, so that the sum tells who speaks; nobody does beyond the spans.
    turns = [(0.6, 1.4, 1), (1.2, 1.5, 2), (2.6, 5, 2), (3.5, 4.5, 1), (3.7, 4, 4)]
    options = AugmentationOptions(mix_share=mix_share, noise_share=0)
    chunks, active = draw([annotated(turns, 6, spans)], options, rng, speakers=3)
    centres = chunks[:, 2:-2:2]
    np.testing.assert_array_equal(active.any(axis=-1), centres > 0)
    assert active.sum(axis=-1).max() == 3
    assert len({*np.round(chunks.max(axis=1), 6)}) > 20


def test_a_second_chunk_brings_its_speakers_and_noise_none(rng):
    first, second = annotated([(0, 9, 1)], 9), annotated([(0, 9, 2)], 9)
    mixed = AugmentationOptions(mix_share=1, noise_share=0)
    chunks, active = draw([first, second], mixed, rng)
    assert active.all()
    assert np.isfinite(chunks).all()
    noisy = AugmentationOptions(mix_share=0, noise_share=1)
    silence = annotated([], 9)
    chunks, active = draw([silence], noisy, rng)
    assert not active.any()
    assert (chunks.std(axis=1) > 0).all()


def test_the_same_seed_draws_the_same(rng):
    recordings = [annotated([(0, 3, 1), (4, 9, 2)], 9)]
    drawn = [
        draw(recordings, AugmentationOptions(), np.random.default_rng(3))
        for _ in range(2)
    ]
    for one, other in zip(*drawn):
        np.testing.assert_array_equal(one, other)
