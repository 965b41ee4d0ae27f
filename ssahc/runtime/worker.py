"""What runs in a worker process."""

import logging
import multiprocessing
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# From a batch of items to their results.
Work = Callable[[list[Item]], list[Result]]

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class Done(Generic[Result]):
    """Results of a batch, and what was logged while it was processed."""

    results: list[Result]
    log: list[tuple[int, str]]


@dataclass(frozen=True)
class Settings:
    """Settings that a worker takes over from the process that sends work."""

    log_level: int
    threads: int | None


def own_settings() -> Settings:
    """Return the settings of this process."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Settings(
        _logger.getEffectiveLevel(), int(threads) if threads.isdigit() else None
    )


class _Recorder(logging.Handler):
    """Collects the log records of this thread."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[int, str]] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.log.append((record.levelno, record.getMessage()))


def work_on(
    work: Work[Item, Result], batch: list[Item], settings: Settings
) -> Done[Result]:
    """Process a batch as the process that sent it would."""
    from threadpoolctl import threadpool_limits

    recorder = _Recorder()
    _logger.setLevel(settings.log_level)
    _logger.addHandler(recorder)
    try:
        # The last bits of sums depend on the number of threads.
        with threadpool_limits(settings.threads):
            return Done(work(batch), recorder.log)
    finally:
        _logger.removeHandler(recorder)


def serve(batches: Connection, results: Connection) -> None:
    """Receive the work, then batches, and answer each with its results or an error."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The parent has closed the pipes.
    with suppress(EOFError, ConnectionError):
        work: Work[Any, Any] = batches.recv()
        while True:
            results.send_bytes(_answer(work, batches.recv_bytes()))


def _answer(work: Work[Any, Any], message: bytes) -> bytes:
    try:
        return pickle.dumps(work_on(work, *pickle.loads(message)))
    except Exception as error:
        error.add_note(traceback.format_exc())
        return pickle.dumps(error)


def _end_with_parent() -> None:
    """End with the parent, even in the middle of a batch."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
