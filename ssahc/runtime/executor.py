"""Work in other processes: on this machine, or on the workers of a Dask cluster.

Both are reached through `concurrent.futures`. joblib, which could stand before both, is
not used: where a worker is killed it gives everything up on one machine, and waits for
ever on a Dask cluster (measured with joblib 1.6 and distributed 2026.8). Here a killed
worker costs nothing but time: what it had in hand is done again by others.
"""

import logging
import multiprocessing
import pickle
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, Self

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval
from ssahc.runtime.memory import lack_of_memory
from ssahc.runtime.worker import (
    Done,
    Item,
    Result,
    Work,
    own_settings,
    start_worker,
    work_on,
    work_on_held,
)

if TYPE_CHECKING:
    from distributed import Client

# The share of a full batch that an item takes.
Load = Callable[[Item], float]

# Tasks for each process, so that none waits for the next one.
_AHEAD = 2
_CLUSTER = "dask://"
_PATIENCE = 30.0
_KILLED = "every process that worked on it was killed; is there enough memory for it?"

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class RunningOptions(Options, group="Execution"):
    """Where recordings are processed; the results are the same everywhere.

    Parameters
    ----------
    nj : int
        Number of local processes.
    cluster : str, optional
        Scheduler of a Dask cluster (dask://HOST:PORT) whose workers replace local
        processes; ssahc must be installed there.
    """

    # More than there are cores in one machine.
    nj: Annotated[int, Interval(ge=1, le=4096)] = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cluster is not None and self.nj > 1:
            raise UsageError(
                "--cluster works on the cluster's processes; leave out --nj"
            )
        if self.cluster is not None and not self.cluster.startswith(_CLUSTER):
            raise UsageError(
                f"--cluster must be {_CLUSTER}HOST:PORT, found {self.cluster!r}"
            )


@dataclass(frozen=True)
class Undone:
    """In place of a result: the item was lost even when it was the only one under way.

    Attributes
    ----------
    reason : str
    """

    reason: str


@dataclass(frozen=True)
class Each(Generic[Item, Result]):
    """The same work on each item of a batch."""

    work: Callable[[Item], Result]

    def __call__(self, batch: list[Item]) -> list[Result]:
        """Return the results, in the order of the items."""
        return [self.work(item) for item in batch]


def _an_eighth(item: Any) -> float:
    """Return the load of items of which eight are a batch."""
    return 1 / 8


def _all(item: Any) -> float:
    """Return the load of an item that is a batch by itself."""
    return 1.0


def map_unordered(
    work: Work[Item, Result],
    items: Iterable[Item],
    running: RunningOptions,
    *,
    total: int,
    load: Load[Item] | None = None,
) -> Iterator[tuple[Item, Result | Undone]]:
    """Do the work on every item, wherever the options say.

    Parameters
    ----------
    work : callable
        Pickled if other processes are to call it. What it logs is logged here.
    items : iterable
        Taken as they are needed, not all at once.
    running : RunningOptions
    total : int
        About how many items there are.
    load : callable, optional
        The share of a full batch that an item takes; by default all of it here, where
        nothing is gained by holding more than one, and an eighth elsewhere. What is
        worked on elsewhere goes in smaller batches if there are too few items to keep
        all processes busy.

    Yields
    ------
    (item, result)
        In the order in which they are done.

    Raises
    ------
    UsageError
        If the cluster cannot be used.
    """
    if running.nj == 1 and running.cluster is None:
        yield from _work_here(work, iter(items), total, load or _all)
        return
    pool: _Pool[Item, Result]
    if running.cluster is not None:
        pool = _DaskPool(work, running.cluster)
    else:
        pool = _LocalPool(work, running.nj)
    with pool:
        yield from _work_off(pool, items, total, load or _an_eighth)


def _work_here(
    work: Work[Item, Result], source: Iterator[Item], most: int, load: Load[Item]
) -> Iterator[tuple[Item, Result]]:
    while batch := _take(source, most, load):
        yield from zip(batch, work(batch), strict=True)
        # Not to be held while the next ones are read.
        del batch


# ---- where the workers are ---------------------------------------------------------


class _Pool(Protocol[Item, Result]):
    """Processes that hold the work and take batches."""

    # Raised in place of results that were lost with their worker.
    lost: tuple[type[BaseException], ...]

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...

    def count(self) -> int:
        """Return the number of processes; 0 if all have gone."""

    def submit(self, batch: list[Item]) -> Future[Done[Result]]:
        """Send a batch."""

    def repair(self) -> None:
        """Make ready for new batches after something was lost."""

    def check(self) -> None:
        """See to it that what is lost is known to be: nothing has come for a while."""


class _LocalPool(Generic[Item, Result]):
    """Processes on this machine."""

    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def __init__(self, work: Work[Item, Result], count: int) -> None:
        self._work, self._count = work, count

    def __enter__(self) -> Self:
        self._start()
        return self

    def _start(self) -> None:
        # A fork would copy the locks of torch's threads, held for ever.
        self._executor = ProcessPoolExecutor(
            self._count,
            multiprocessing.get_context("spawn"),
            initializer=start_worker,
            initargs=(self._work,),
        )

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            # What is under way may take hours, and nobody waits for it any more.
            self._give_up()
        self._executor.shutdown(cancel_futures=True)

    def _processes(self) -> list[BaseProcess]:
        # No public name leads to them, nor to the queue below.
        executor: Any = self._executor
        return [*(executor._processes or {}).values()]

    def _give_up(self) -> None:
        for process in self._processes():
            process.kill()
        # A process that dies while it sends a result leaves half of it behind. For the
        # rest the executor would wait for ever, as long as anybody could write it, and
        # this process holds that end as well.
        results: Any = self._executor._result_queue
        if results is not None:
            results._writer.close()

    def count(self) -> int:
        return self._count

    def submit(self, batch: list[Item]) -> Future[Done[Result]]:
        # Processes start here and inherit what is blocked: an interrupt from the
        # terminal is for the main process to act on.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._executor.submit(work_on_held, batch, own_settings())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def repair(self) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._start()

    def check(self) -> None:
        if any(process.exitcode is not None for process in self._processes()):
            # It was killed a while ago, and the executor has not said so.
            self._give_up()


class _DaskPool(Generic[Item, Result]):
    """The workers of a Dask cluster."""

    def __init__(self, work: Work[Item, Result], address: str) -> None:
        try:
            from distributed import KilledWorker
        except ImportError as error:
            raise UsageError(
                "--cluster needs Dask: pip install 'ssahc[cluster]'"
            ) from error
        self.lost: tuple[type[BaseException], ...] = (KilledWorker,)
        self._work, self._address = work, address

    def __enter__(self) -> Self:
        self._client = _connect(self._address)
        try:
            # A task rather than data: if its worker dies, it is done again elsewhere.
            self._held = self._client.submit(
                pickle.loads, pickle.dumps(self._work), pure=False
            )
            self._held.result(timeout=_PATIENCE)
        except ImportError as error:
            self._client.close()
            raise UsageError(
                f"{self._address}: the workers cannot load ssahc ({error}); install "
                "the same version there"
            ) from error
        except TimeoutError as error:
            self._client.close()
            raise UsageError(
                f"{self._address}: no worker has answered for {_PATIENCE:g} s; wait "
                "until they have done what they are at, or start more"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        return self

    def __exit__(self, *error: Any) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()

    def count(self) -> int:
        return sum(self._client.ncores().values())

    def submit(self, batch: list[Item]) -> Future[Done[Result]]:
        future: Future[Done[Result]] = self._executor.submit(
            work_on, self._held, batch, own_settings()
        )
        return future

    def repair(self) -> None:
        """Do nothing: the scheduler has seen to it."""

    def check(self) -> None:
        """Do nothing: the scheduler sees to it."""


def _connect(address: str) -> "Client":
    """Return a client of a scheduler that has workers."""
    from distributed import Client

    try:
        client = Client("tcp://" + address.removeprefix(_CLUSTER), timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{address}: no Dask scheduler answers there ({error})"
        ) from error
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        client.close()
        raise UsageError(
            f"{address}: the scheduler has no worker; start one with 'dask worker'"
        ) from error
    return client


# ---- the main process --------------------------------------------------------------


def _work_off(
    pool: _Pool[Item, Result], items: Iterable[Item], total: int, load: Load[Item]
) -> Iterator[tuple[Item, Result | Undone]]:
    most = max(1, total // (4 * max(1, pool.count())))
    source = iter(items)
    batches = iter(lambda: _take(source, most, load), [])
    lost = yield from _send(pool, batches, ahead=_AHEAD)
    # Again, each by itself, and then one at a time: so it is known what kills.
    lost = yield from _send(pool, ([item] for item, _ in lost), ahead=1)
    lost = yield from _send(pool, ([item] for item, _ in lost), ahead=0)
    yield from ((item, Undone(reason)) for item, reason in lost)


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
    pool: _Pool[Item, Result], batches: Iterable[list[Item]], *, ahead: int
) -> Generator[tuple[Item, Result], None, list[tuple[Item, str]]]:
    """Send batches, `ahead` for each process (0: one batch at a time).

    Returns
    -------
    list of (item, str)
        Items that were under way, or waiting, when a worker was killed, and those for
        whose way there or back memory did not reach; and which of the two it was.
    """
    source = iter(batches)
    under_way: dict[Future[Done[Result]], list[Item]] = {}
    lost: list[tuple[Item, str]] = []
    broken = False
    while True:
        count = pool.count()
        if count == 0:
            _logger.warning("no worker is left; waiting for one")
        while len(under_way) < max(1, ahead * count) and not broken:
            if (batch := next(source, None)) is None:
                break
            try:
                under_way[pool.submit(batch)] = batch
            except pool.lost:
                lost += [(item, _KILLED) for item in batch]
                broken = True
        if under_way:
            # Not for ever: workers may go without a word.
            done = wait(under_way, timeout=_PATIENCE, return_when=FIRST_COMPLETED).done
            if not done:
                pool.check()
            while done:
                future = done.pop()
                batch = under_way.pop(future)
                try:
                    yield from _results(batch, future)
                except MemoryError as error:
                    # There was no room to pack it for its way; alone it may get there.
                    reason = lack_of_memory(error)
                    reason = f"could not be sent between processes: {reason}"
                    lost += [(item, reason) for item in batch]
                except pool.lost:
                    lost += [(item, _KILLED) for item in batch]
                    broken = True
                # Nor are results to be held while others are waited for.
                del future, batch
        elif broken:
            _logger.warning("a worker was killed; what it had in hand is done again")
            pool.repair()
            broken = False
        else:
            return lost


def _results(
    batch: list[Item], future: Future[Done[Result]]
) -> Iterator[tuple[Item, Result]]:
    try:
        done = future.result()
    except CancelledError as error:
        raise UsageError(
            "the connection to the workers was lost; start them again, and go on with "
            "--resume"
        ) from error
    for level, message in done.log:
        _logger.log(level, "%s", message)
    yield from zip(batch, done.results, strict=True)
