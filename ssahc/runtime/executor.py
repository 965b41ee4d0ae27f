"""Process items in parallel: on this machine, or on the workers of a Dask cluster.

Work lost with a killed worker is retried.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from typing import Annotated, Generic

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval
from ssahc.runtime.memory import lack_of_memory
from ssahc.runtime.pools import ADDRESSES, PATIENCE, Pool, dask_workers, local_workers
from ssahc.runtime.worker import Done, Item, Result, Work

# Fraction of a full batch that an item takes.
Load = Callable[[Item], float]

# Batches per worker, so that none has to wait for the next one.
_AHEAD = 2

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class RunningOptions(Options, group="Execution"):
    """Where recordings are processed; the results are the same everywhere.

    Parameters
    ----------
    nj : int
        Number of local processes.
    dask : str, optional
        Scheduler of a Dask cluster (dask://HOST:PORT or tcp://HOST:PORT) whose workers
        replace local processes; ssahc must be installed there.
    """

    # More than there are cores in one machine.
    nj: Annotated[int, Interval(ge=1, le=4096)] = 1
    dask: str | None = field(default=None, metadata={"old": "cluster"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dask is not None and self.nj > 1:
            raise UsageError("--dask conflicts with --nj; leave out --nj")
        if self.dask is not None and not self.dask.startswith(ADDRESSES):
            wanted = " or ".join(f"{prefix}HOST:PORT" for prefix in ADDRESSES)
            raise UsageError(f"--dask must be {wanted}, found {self.dask!r}")


@dataclass(frozen=True)
class Undone:
    """In place of a result: the item failed even when it was processed alone."""

    reason: str


@dataclass(frozen=True)
class Each(Generic[Item, Result]):
    """Apply a function to each item of a batch."""

    work: Callable[[Item], Result]

    def __call__(self, batch: list[Item]) -> list[Result]:
        """Return the results in the order of the items."""
        return [self.work(item) for item in batch]


def map_unordered(
    work: Work[Item, Result],
    items: Iterable[Item],
    running: RunningOptions,
    *,
    total: int,
    load: Load[Item] | None = None,
) -> Iterator[tuple[Item, Result | Undone]]:
    """Do the work on every item, wherever the options say; yield items and results.

    They come in order of completion. `work`, from a batch to the list of results, is
    pickled for other processes, whose log records are forwarded. `items` are consumed
    lazily, `total` is about their number. `load` is the fraction of a full batch that
    an item takes: by default 1 in this process, where larger batches gain nothing, and
    1/8 in others; batches are smaller if there are too few to keep all workers busy. A
    UsageError is raised if the cluster cannot be used.
    """
    if running.nj == 1 and running.dask is None:
        yield from _work_here(work, iter(items), total, load or (lambda item: 1.0))
        return
    if running.dask is not None:
        workers = dask_workers(work, running.dask)
    else:
        workers = local_workers(work, running.nj)
    with workers as pool:
        yield from _work_elsewhere(pool, items, total, load or (lambda item: 1 / 8))


def _work_here(
    work: Work[Item, Result], source: Iterator[Item], most: int, load: Load[Item]
) -> Iterator[tuple[Item, Result]]:
    while batch := _take(source, most, load):
        yield from zip(batch, work(batch), strict=True)
        # Release results before the next items are read.
        del batch


def _work_elsewhere(
    pool: Pool[Item, Result], items: Iterable[Item], total: int, load: Load[Item]
) -> Iterator[tuple[Item, Result | Undone]]:
    most = max(1, total // (4 * max(1, pool.count())))
    source = iter(items)
    batches = iter(lambda: _take(source, most, load), [])
    lost = yield from _send(pool, batches, ahead=_AHEAD)
    # Retry one at a time: each has all the memory, and the one that kills is known.
    yield from (yield from _send(pool, ([item] for item, _ in lost), ahead=0))


def _take(source: Iterator[Item], most: int, load: Load[Item]) -> list[Item]:
    """Return the next items, no more than `most`, that make a batch."""
    batch: list[Item] = []
    full = 0.0
    for item in source:
        batch.append(item)
        full += load(item)
        if full >= 1 or len(batch) >= most:
            break
    return batch


def _send(
    pool: Pool[Item, Result], batches: Iterable[list[Item]], *, ahead: int
) -> Generator[tuple[Item, Result], None, list[tuple[Item, Undone]]]:
    """Send batches, at most `ahead` per worker (0: one batch at a time).

    Yields items and results. Returns the items that were lost with their worker, or too
    large to send.
    """
    source = iter(batches)
    under_way: dict[Future[Done[Result]], list[Item]] = {}
    lost: list[tuple[Item, Undone]] = []
    while True:
        while len(under_way) < max(1, ahead * pool.count()):
            if (batch := next(source, None)) is None:
                break
            under_way[pool.submit(batch)] = batch
        if not under_way:
            return lost
        done = wait(under_way, timeout=PATIENCE, return_when=FIRST_COMPLETED).done
        if not done and pool.count() == 0:
            _logger.warning("no worker is left; waiting for one")
        while done:
            future = done.pop()
            batch = under_way.pop(future)
            try:
                yield from zip(batch, _results(future), strict=True)
            except (MemoryError, pool.killed) as error:
                lost += [(item, _why_lost(error)) for item in batch]
                if ahead and isinstance(error, pool.killed):
                    _logger.warning("a worker was killed; its work is retried")
            # Release results while waiting for others.
            del future, batch


def _results(future: Future[Done[Result]]) -> list[Result]:
    try:
        done = future.result()
    except CancelledError as error:
        raise UsageError(
            "the connection to the workers was lost; start them again, and go on with "
            "--resume"
        ) from error
    for level, message in done.log:
        _logger.log(level, "%s", message)
    return done.results


def _why_lost(error: Exception) -> Undone:
    if isinstance(error, MemoryError):
        return Undone(f"could not be sent between processes: {lack_of_memory(error)}")
    return Undone(
        "every process that worked on it was killed; is there enough memory for it?"
    )
