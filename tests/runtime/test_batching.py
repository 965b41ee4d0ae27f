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
@pytest.mark.parametrize("values", [{}, {"triplets": "sampled"}, {"periods": 3}])
def test_a_gpu_finds_what_a_cpu_finds(corpus, values):
    recordings = [item.recording for item in corpus["a"].conversations]
    model = corpus["b"].model
    on_gpu = diarize_together(recordings, model, **values)
    for recording, ours in zip(recordings, on_gpu, strict=True):
        options = make_options(device="cpu", **values)
        theirs = diarize_recording(recording, model, options)
        assert ours.labels.tolist() == theirs.labels.tolist()
        np.testing.assert_allclose(
            ours.affinity.dense(), theirs.affinity.dense(), atol=1e-4
        )
        assert [p.stopped for p in ours.learning] == [
            p.stopped for p in theirs.learning
        ]


@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_memory_for_all_trains_some(corpus, monkeypatch):
    sizes, together = [], optimizer.train_batch

    def run_out(jobs, place):
        sizes.append(len(jobs))
        if len(jobs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return together(jobs, place)

    monkeypatch.setattr(optimizer, "train_batch", run_out)
    recordings = [item.recording for item in corpus["a"].conversations]
    found = diarize_together(recordings, corpus["b"].model)
    assert sizes == [3, 1, 2, 1, 1]
    assert all(answer.learning for answer in found)


@pytest.fixture
def full_gpu(gpu, monkeypatch):
    """A GPU without memory for anything."""
    together = optimizer.train_batch

    def run_out(jobs, place=None):
        if place is not None:
            # What torch says goes on like this.
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of"
            )
        return together(jobs)

    monkeypatch.setattr(optimizer, "train_batch", run_out)


@pytest.mark.usefixtures("full_gpu")
def test_what_is_too_large_for_a_gpu_is_trained_on_the_cpu(corpus, caplog):
    recordings = [item.recording for item in corpus["a"].conversations[:2]]
    found = diarize_together(recordings, corpus["b"].model)
    why = (
        "not enough memory: on the GPU: CUDA out of memory. Tried to allocate 2.00 GiB"
    )
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "2 recordings do not fit" in warnings[0]
    assert why in warnings[0]
    assert warnings[1:3] == [
        f"a recording of {len(one.segments)} windows is trained on the CPU ({why})"
        for one in recordings
    ]
    for recording, ours in zip(recordings, found, strict=True):
        options = make_options(device="cpu")
        theirs = diarize_recording(recording, corpus["b"].model, options)
        assert np.array_equal(ours.affinity.dense(), theirs.affinity.dense())


@pytest.mark.usefixtures("full_gpu")
def test_what_is_to_be_on_a_gpu_and_cannot_is_a_fault(corpus):
    recording = corpus["a"].conversations[0].recording
    with pytest.raises(MemoryError, match=r"2\.00 GiB; leave out --device cuda"):
        diarize_recording(recording, corpus["b"].model, make_options(device="cuda"))


@pytest.mark.usefixtures("gpu")
def test_recordings_of_other_dimensions_are_trained_apart(corpus):
    recordings = [
        replace(item.recording, xvectors=item.recording.xvectors[:, : 12 + 4 * index])
        for index, item in enumerate(corpus["a"].conversations)
    ]
    found = diarize_together(recordings, NO_MODEL)
    assert all(answer.learning[0].losses for answer in found)
