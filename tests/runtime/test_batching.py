"""Recordings side by side: what is done at once, and what befalls only one of them."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from ssahc.api import make_options
from ssahc.core.errors import DataError, UsageError
from ssahc.learning import optimizer
from ssahc.pipeline.diarize import diarize_recording, diarize_steps
from ssahc.runtime.batching import Job, in_batches, work_alone, work_together


@dataclass(frozen=True)
class Double(Job):
    """Twice a number; what was done together is noted."""

    number: int
    done: ClassVar[list] = []

    @classmethod
    def do_all(cls, jobs):
        cls.done.append([job.number for job in jobs])
        if len(jobs) > 1 and any(job.number == 99 for job in jobs):
            raise MemoryError("too many")
        if jobs[0].number == 99:
            raise MemoryError("too large")
        return [2 * job.number for job in jobs]


@dataclass(frozen=True)
class Add(Double):
    """One more."""

    @classmethod
    def do_all(cls, jobs):
        cls.done.append([-job.number for job in jobs])
        return [job.number + 1 for job in jobs]


@pytest.fixture(autouse=True)
def done(monkeypatch):
    noted = []
    monkeypatch.setattr(Double, "done", noted)
    return noted


async def double(number, times):
    for _ in range(times):
        number = await Double(number)
    return number


def test_jobs_that_wait_are_done_together(done):
    steps = [double(1, 1), double(2, 3), double(3, 2), double(4, 0)]
    assert work_together(steps) == [2, 16, 12, 4]
    assert done == [[1, 2, 3], [4, 6], [8]]


def test_the_kind_that_most_wait_for_comes_first(done):
    async def add(number):
        return await Double(await Add(number))

    assert work_together([double(1, 1), add(5), add(6)]) == [2, 12, 14]
    # The one that waited alone is joined by the others.
    assert done == [[-5, -6], [1, 6, 7]]


def test_a_failure_is_that_of_one_recording():
    async def fail():
        await Double(1)
        raise DataError("cannot be done")

    first, second, third = work_together([double(1, 1), fail(), double(3, 2)])
    assert (first, third) == (2, 12)
    assert isinstance(second, DataError)
    with pytest.raises(DataError, match="cannot be done"):
        work_alone(fail())


def test_what_is_too_much_together_is_done_in_halves(done, caplog):
    first, large, third = work_together([double(1, 1), double(99, 1), double(3, 1)])
    assert (first, third) == (2, 6)
    assert isinstance(large, MemoryError)
    assert done == [[1, 99, 3], [1], [99, 3], [99], [3]]
    assert [record.getMessage() for record in caplog.records] == [
        "3 recordings side by side are too much (not enough memory: too many); they "
        "are done in smaller groups"
    ]


def test_a_recording_may_go_on_without_memory():
    async def cope():
        try:
            return await Double(99)
        except MemoryError:
            return -1

    assert work_together([cope()]) == [-1]


def test_other_errors_end_all():
    ended = []

    async def wait():
        try:
            await Double(1)
            await Double(1)
        finally:
            ended.append(True)

    async def misuse():
        await Double(1)
        raise UsageError("no such option")

    with pytest.raises(UsageError, match="no such option"):
        work_together([wait(), misuse(), wait()])
    assert ended == [True, True]


def test_batches_are_of_like_lengths_and_no_larger_than_allowed():
    shapes = [(10, 2), (100, 2), (90, 3), (55, 2), (11, 1), (300, 9), (80, 2)]
    batches = []

    def do(batch):
        batches.append(sorted(batch))
        return [shape[0] for shape in batch]

    answers = in_batches(shapes, lambda shape: shape, do, most=700)
    assert answers == [shape[0] for shape in shapes]
    # 300 x 9 is more than allowed, but cannot be split; three of 100 x 3 would be too
    # much, and 10 is too short beside 55.
    expected = [[(300, 9)], [(90, 3), (100, 2)], [(55, 2), (80, 2)], [(10, 2), (11, 1)]]
    assert batches == expected


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
    on_gpu = work_together(
        diarize_steps(one, model, make_options(**values)) for one in recordings
    )
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
    sizes, together = [], optimizer.train_side_by_side

    def run_out(jobs, place):
        sizes.append(len(jobs))
        if len(jobs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return together(jobs, place)

    monkeypatch.setattr(optimizer, "train_side_by_side", run_out)
    recordings = [item.recording for item in corpus["a"].conversations]
    found = work_together(diarize_steps(one, corpus["b"].model) for one in recordings)
    assert sizes == [3, 1, 2, 1, 1]
    assert all(answer.learning for answer in found)


@pytest.fixture
def full_gpu(gpu, monkeypatch):
    """A GPU without memory for anything."""
    together = optimizer.train_side_by_side

    def run_out(jobs, place=None):
        if place is not None:
            # What torch says goes on like this.
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of"
            )
        return together(jobs)

    monkeypatch.setattr(optimizer, "train_side_by_side", run_out)


@pytest.mark.usefixtures("full_gpu")
def test_what_is_too_large_for_a_gpu_is_trained_on_the_cpu(corpus, caplog):
    recordings = [item.recording for item in corpus["a"].conversations[:2]]
    found = work_together(diarize_steps(one, corpus["b"].model) for one in recordings)
    why = (
        "not enough memory: on the GPU: CUDA out of memory. Tried to allocate 2.00 GiB"
    )
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings[0] == (
        f"2 recordings side by side are too much ({why}); they are done in smaller "
        "groups"
    )
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
    steps = diarize_steps(recording, corpus["b"].model, make_options(device="cuda"))
    (failure,) = work_together([steps])
    assert isinstance(failure, MemoryError)
    assert "Tried to allocate 2.00 GiB; leave out --device cuda" in str(failure)


@pytest.mark.usefixtures("gpu")
def test_recordings_of_other_dimensions_are_trained_apart(corpus):
    recordings = [
        replace(item.recording, xvectors=item.recording.xvectors[:, : 12 + 4 * index])
        for index, item in enumerate(corpus["a"].conversations)
    ]
    found = work_together(diarize_steps(one) for one in recordings)
    assert all(answer.learning[0].losses for answer in found)
