"""Work on several recordings at once, for GPUs.

(On a CPU, compiled loops over one recording are faster than numpy on many that are
padded to one length.)
"""

import logging
from collections.abc import Callable, Sequence
from math import prod
from typing import TypeVar

from ssahc.core.errors import DataError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

# Errors that concern one recording and leave the others unharmed.
FAILURES = (DataError, MemoryError)
# A batch holds no recording shorter than this share of the longest: too much of it
# would be padding.
_LEAST_SHARE = 0.6

_logger = logging.getLogger("ssahc")


def do_all_or_halves(
    jobs: Sequence[Job],
    do: Callable[[Sequence[Job]], Sequence[Answer]],
    log: Callable[..., None] = _logger.warning,
) -> list[Answer | MemoryError]:
    """Do all jobs at once; where memory is too small for that, in halves.

    `do` raises MemoryError if there are too many. The answers are in the order of the
    jobs, with a MemoryError for a job that is too large by itself.
    """
    try:
        return list(do(jobs))
    except MemoryError as error:
        # Without the traceback, which would keep what fills the memory.
        failure = MemoryError(str(error))
    if len(jobs) == 1:
        return [failure]
    log(
        f"{len(jobs)} recordings do not fit into memory together (not enough memory: "
        f"{failure}); working on smaller batches"
    )
    # One warning is enough.
    half, quiet = len(jobs) // 2, _logger.debug
    first = do_all_or_halves(jobs[:half], do, quiet)
    return first + do_all_or_halves(jobs[half:], do, quiet)


def do_in_batches(
    jobs: Sequence[Job],
    shape_of: Callable[[Job], Sequence[int]],
    do: Callable[[Sequence[Job]], Sequence[Answer]],
    *,
    most: int,
) -> list[Answer | MemoryError]:
    """Do jobs in batches of similar length, padded to the longest.

    `shape_of` gives the shape of a job's array, the number of windows first. A batch
    holds no more than `most` values, padding included, unless it is a single job.
    Answers are those of `do_all_or_halves`.
    """
    shapes = [tuple(shape_of(job)) for job in jobs]
    waiting = sorted(range(len(jobs)), key=shapes.__getitem__)
    answers: dict[int, Answer | MemoryError] = {}
    while waiting:
        longest = shapes[waiting[-1]]
        batch: list[int] = []
        while waiting and shapes[waiting[-1]][0] >= _LEAST_SHARE * longest[0]:
            largest = tuple(map(max, longest, shapes[waiting[-1]]))
            if batch and (len(batch) + 1) * prod(largest) > most:
                break
            longest = largest
            batch.append(waiting.pop())
        found = do_all_or_halves([jobs[index] for index in batch], do)
        answers.update(zip(batch, found, strict=True))
    return [answers[index] for index in range(len(jobs))]
