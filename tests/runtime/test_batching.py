"""Batches of recordings, and their training on a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssahc.api import make_options
from ssahc.core.types import NO_MODEL
from ssahc.learning import optimizer
from ssahc.pipeline.diarize import diarize_batch, diarize_recording
from ssahc.runtime.batching import do_all_or_halves, do_in_batches


def test_batches_that_do_not_fit_are_halved(caplog):
    tried = []

    def double(numbers):
        tried.append(list(numbers))
        if len(numbers) > 1 and 99 in numbers:
            raise MemoryError("too many")
        if 99 in numbers:
            raise MemoryError("too large")
        return [2 * number for number in numbers]

    first, large, third = do_all_or_halves([1, 99, 3], double)
    assert (first, third) == (2, 6)
    assert isinstance(large, MemoryError)
    assert tried == [[1, 99, 3], [1], [99, 3], [99], [3]]
    (warning,) = caplog.records
    assert "3 recordings" in warning.getMessage()
    assert "too many" in warning.getMessage()


def test_batches_hold_similar_lengths_within_the_limit():
    shapes = [(10, 2), (100, 2), (90, 3), (55, 2), (11, 1), (300, 9), (80, 2)]
    batches = []

    def do(batch):
        batches.append(sorted(batch))
        return [shape[0] for shape in batch]

    answers = do_in_batches(shapes, lambda shape: shape, do, most=700)
    assert answers == [shape[0] for shape in shapes]
    # 300 x 9 is more than allowed, but cannot be split; three of 100 x 3 would be too
    # much, and 10 is too short beside 55.
    expected = [[(300, 9)], [(90, 3), (100, 2)], [(55, 2), (80, 2)], [(10, 2), (11, 1)]]
    assert batches == expected


def diarize_together(recordings, model, **values):
    return diarize_batch(recordings, model, [make_options(**values)] * len(recordings))


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, as far as ssahc can tell."""
    monkeypatch.setattr(optimizer, "has_gpu", lambda device: device != "cpu")
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("values", [{"triplets": "sampled"}, {"periods": 3}])
def test_a_gpu_finds_what_a_cpu_finds(corpus, values):
    recordings = [item.recording for item in corpus["a"].conversations]
    model = corpus["b"].model
    on_gpu = diarize_together(recordings, model, **values)
    for recording, ours in zip(recordings, on_gpu, strict=True):
        options = make_options(device="cpu", **values)
        theirs = diarize_recording(recording, model, options)
        assert ours.labels.tolist() == theirs.labels.tolist()
        ours, theirs = ours.affinity.dense(), theirs.affinity.dense()
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.usefixtures("gpu")
def test_recordings_of_other_dimensions_are_trained_apart(corpus):
    recordings = [
        replace(item.recording, xvectors=item.recording.xvectors[:, : 12 + 4 * index])
        for index, item in enumerate(corpus["a"].conversations)
    ]
    found = diarize_together(recordings, NO_MODEL, system="ssahc")
    assert all(answer.learning[0].losses for answer in found)
