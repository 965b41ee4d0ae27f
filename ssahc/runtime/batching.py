"""Recordings side by side: the same step of many of them is done at once.

What is done to a recording is written for one, from top to bottom, as a coroutine.
A step that a GPU does best for many recordings is a `Job` that the coroutine awaits:
jobs of one kind that wait at the same time are done together, on arrays with an axis
for recordings. (On a CPU, compiled loops over one recording are faster than numpy on
many that are filled up to one length.)
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import (
    Callable,
    Coroutine,
    Generator,
    Hashable,
    Iterable,
    Sequence,
)
from functools import partial
from math import prod
from typing import Any, Generic, Self, TypeVar

from ssahc.core.errors import DataError

Answer = TypeVar("Answer")
Result = TypeVar("Result")
AnyJob = TypeVar("AnyJob", bound="Job[Any]")

# What is done to one recording.
Steps = Coroutine["Job[Any]", Any, Result]
# Recordings shorter than this share of the longest in a batch are filled up too much.
_LIKE = 0.6
# What may befall a recording without a harm to others.
FAILURES = (DataError, MemoryError)
Failure = DataError | MemoryError

_logger = logging.getLogger("ssahc")


class Job(ABC, Generic[Answer]):
    """A step that can be done for many recordings at once."""

    def __await__(self) -> Generator[Self, Answer, Answer]:
        return (yield self)

    @property
    def kind(self) -> Hashable:
        """What the jobs that are done together have in common."""
        return type(self)

    @classmethod
    @abstractmethod
    def do_all(cls, jobs: Sequence[Self]) -> Sequence[Answer | MemoryError]:
        """Return the answers to several jobs of this kind, in their order."""


def work_alone(steps: Steps[Result]) -> Result:
    """Return what the steps of a single recording return, or raise what they raise."""
    (result,) = work_together([steps])
    if isinstance(result, FAILURES):
        raise result
    return result


def work_together(recordings: Iterable[Steps[Result]]) -> list[Result | Failure]:
    """Go through the steps of several recordings side by side.

    Parameters
    ----------
    recordings : iterable of coroutine

    Returns
    -------
    list
        What each of them returns; a DataError or MemoryError that it raises stands in
        its place. Any other error ends all.
    """
    steps = list(recordings)
    results: dict[int, Result | Failure] = {}
    waiting: dict[int, Job[Any]] = {}

    def advance(index: int, go_on: Callable[[], Job[Any]]) -> None:
        try:
            waiting[index] = go_on()
        except StopIteration as end:
            results[index] = end.value
        except FAILURES as error:
            results[index] = error

    try:
        for index, one in enumerate(steps):
            advance(index, partial(one.send, None))
        while waiting:
            for index, answer in _do_most_common(waiting):
                del waiting[index]
                one = steps[index]
                if isinstance(answer, MemoryError):
                    advance(index, partial(one.throw, answer))
                else:
                    advance(index, partial(one.send, answer))
    finally:
        for one in steps:
            one.close()
    return [results[index] for index in range(len(steps))]


def _do_most_common(waiting: dict[int, Job[Any]]) -> list[tuple[int, Any]]:
    """Do the jobs of the kind that most recordings wait for."""
    by_kind: dict[Hashable, list[int]] = {}
    for index, job in waiting.items():
        by_kind.setdefault(job.kind, []).append(index)
    indices = max(by_kind.values(), key=len)
    jobs = [waiting[index] for index in indices]
    return list(zip(indices, do_all_or_halves(jobs, jobs[0].do_all), strict=True))


def do_all_or_halves(
    jobs: Sequence[AnyJob], do: Callable[[Sequence[AnyJob]], Sequence[Answer]]
) -> list[Answer | MemoryError]:
    """Do jobs at once; where memory does not reach for that, one half and the other.

    Parameters
    ----------
    jobs : sequence of Job
    do : callable
        From jobs to their answers. A MemoryError means that they are too many.

    Returns
    -------
    list
        The answers in the order of the jobs; for one that is too large by itself, a
        MemoryError.
    """
    return _halve(jobs, do, _logger.warning)


def _halve(
    jobs: Sequence[AnyJob],
    do: Callable[[Sequence[AnyJob]], Sequence[Answer]],
    tell: Callable[..., None],
) -> list[Answer | MemoryError]:
    try:
        return list(do(jobs))
    except MemoryError as error:
        # Without the traceback, which would keep what fills the memory.
        failure = MemoryError(str(error))
    if len(jobs) == 1:
        return [failure]
    tell(
        "%d recordings side by side are too much (not enough memory: %s); they are "
        "done in smaller groups",
        *(len(jobs), failure),
    )
    # Said once is enough.
    half, quiet = len(jobs) // 2, _logger.debug
    return _halve(jobs[:half], do, quiet) + _halve(jobs[half:], do, quiet)


def in_batches(
    jobs: Sequence[AnyJob],
    shape_of: Callable[[AnyJob], Sequence[int]],
    do: Callable[[Sequence[AnyJob]], Sequence[Answer]],
    *,
    most: int,
) -> list[Answer | MemoryError]:
    """Do jobs in batches of recordings of like lengths, filled up to the longest.

    Parameters
    ----------
    jobs : sequence of Job
    shape_of : callable
        The shape of a job's array, the number of windows first.
    do : callable
        From the jobs of a batch to their answers.
    most : int
        A batch holds no more values than this, unless it is a single job.

    Returns
    -------
    list
        The answers in the order of the jobs, as of `do_all_or_halves`.
    """
    shapes = [tuple(shape_of(job)) for job in jobs]
    waiting = sorted(range(len(jobs)), key=shapes.__getitem__)
    answers: dict[int, Answer | MemoryError] = {}
    while waiting:
        longest = shapes[waiting[-1]]
        batch: list[int] = []
        while waiting and shapes[waiting[-1]][0] >= _LIKE * longest[0]:
            largest = tuple(map(max, longest, shapes[waiting[-1]]))
            if batch and (len(batch) + 1) * prod(largest) > most:
                break
            longest = largest
            batch.append(waiting.pop())
        found = do_all_or_halves([jobs[index] for index in batch], do)
        answers.update(zip(batch, found, strict=True))
    return [answers[index] for index in range(len(jobs))]
