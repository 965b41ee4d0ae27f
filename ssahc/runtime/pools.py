"""Workers that batches are sent to: processes on this machine, or a Dask cluster.

Each process has its own pipes, so that one killed in the middle of a message does not
block the others. `concurrent.futures` and pebble 5 share one pipe and hang then; joblib
1.6 gives up all work.
"""

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, NamedTuple

from ssahc.core.errors import UsageError
from ssahc.runtime.worker import (
    Done,
    Item,
    Result,
    Settings,
    Work,
    own_settings,
    serve,
    work_on,
)

# Of a scheduler; Dask itself prints the latter.
ADDRESSES = ("dask://", "tcp://")
# Seconds to wait for an answer.
PATIENCE = 30.0


class ProcessKilled(Exception):
    """A process died before it had sent its results."""


@dataclass(frozen=True)
class Pool(Generic[Item, Result]):
    """Workers that take batches."""

    submit: Callable[[list[Item]], Future[Done[Result]]]
    # The number of workers; 0 if all have gone.
    count: Callable[[], int]
    # Exception in place of results that were lost with their worker.
    killed: type[Exception]


@contextmanager
def local_workers(work: Work[Item, Result], count: int) -> Iterator[Pool[Item, Result]]:
    """Start processes when there is work for them, and kill them at the end."""
    # A thread waits for each process. Threads block Ctrl-C, which the main process acts
    # on, and processes inherit that; the first start of the resource tracker would
    # unblock it.
    resource_tracker.ensure_running()
    block = (signal.SIG_BLOCK, {signal.SIGINT})
    threads = ThreadPoolExecutor(
        count, initializer=signal.pthread_sigmask, initargs=block
    )
    processes = _Processes(work)
    try:
        yield Pool(
            lambda batch: threads.submit(processes.work_on, batch, own_settings()),
            lambda: count,
            ProcessKilled,
        )
    finally:
        # Nobody waits any more for running batches, which may take hours.
        threads.shutdown(wait=False, cancel_futures=True)
        processes.kill()
        threads.shutdown()


class _Pipes(NamedTuple):
    """Our ends of the pipes to a process and from it."""

    batches: Connection
    results: Connection


class _Processes:
    """A process for each thread that asks for work."""

    def __init__(self, work: Work[Any, Any]) -> None:
        self._work = pickle.dumps(work)
        self._of_thread = threading.local()
        self._started: list[SpawnProcess] = []
        self._ended = False

    def work_on(self, batch: list[Any], settings: Settings) -> Done[Any]:
        """Have this thread's process do the work; raise what it raises.

        If the process dies, raise ProcessKilled; the next call starts another one.
        """
        known: _Pipes | None = getattr(self._of_thread, "pipes", None)
        # After an error a pipe may hold half of a message and is not reused.
        self._of_thread.pipes = None
        pipes = known or self._start()
        try:
            if known is None:
                pipes.batches.send_bytes(self._work)
            pipes.batches.send((batch, settings))
            answer: Done[Any] | Exception = pipes.results.recv()
        except (EOFError, OSError) as error:
            raise ProcessKilled from error
        self._of_thread.pipes = pipes
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> _Pipes:
        """Return pipes to and from a new process, which ends when they are closed."""
        # A fork would copy locks that torch's threads hold.
        context = multiprocessing.get_context("spawn")
        their_batches, batches = context.Pipe(duplex=False)
        results, their_results = context.Pipe(duplex=False)
        with their_batches, their_results:
            process = context.Process(
                target=serve, args=(their_batches, their_results), daemon=True
            )
            process.start()
        self._started.append(process)
        if self._ended:
            process.kill()
        return _Pipes(batches, results)

    def kill(self) -> None:
        """Kill all processes, and those that threads are about to start."""
        self._ended = True
        for process in self._started:
            process.kill()
            process.join()


@contextmanager
def dask_workers(
    work: Work[Item, Result], address: str
) -> Iterator[Pool[Item, Result]]:
    """Connect to a Dask cluster; UsageError if it has no usable worker."""
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise UsageError("--dask needs Dask: pip install 'ssahc[cluster]'") from error
    try:
        client = Client(f"tcp://{address.partition('://')[2]}", timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{address}: no Dask scheduler answers there ({error})"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise UsageError(
                f"{address}: the scheduler has no worker; start one with 'dask worker'"
            ) from error
        # A task rather than data: if its worker dies, another one runs it again.
        held = client.submit(pickle.loads, pickle.dumps(work), pure=False)
        try:
            held.result(timeout=PATIENCE)
        except ImportError as error:
            raise UsageError(
                f"{address}: the workers cannot load ssahc ({error}); install the same "
                "version there"
            ) from error
        except TimeoutError as error:
            raise UsageError(
                f"{address}: no worker has answered for {PATIENCE:g} s; wait until "
                "they have finished their tasks, or start more"
            ) from error
        executor = client.get_executor(pure=False)
        try:
            yield Pool(
                lambda batch: executor.submit(work_on, held, batch, own_settings()),
                lambda: sum(client.ncores().values()),
                KilledWorker,
            )
        finally:
            executor.shutdown(wait=False)
