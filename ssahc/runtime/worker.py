"""What runs in a process that others send work to."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# From a batch of items to their results.
Work = Callable[[list[Item]], list[Result]]

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class Done(Generic[Result]):
    """Results of a batch, and what was logged meanwhile."""

    results: list[Result]
    log: list[tuple[int, str]]


class _Recorder(logging.Handler):
    """Keeps what this thread logs."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[int, str]] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.log.append((record.levelno, record.getMessage()))


@dataclass(frozen=True)
class Settings:
    """What a worker takes over from the process that sends work."""

    log_level: int
    threads: int | None


def own_settings() -> Settings:
    """Return what a worker takes over from this process."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Settings(
        _logger.getEffectiveLevel(), int(threads) if threads.isdigit() else None
    )


def work_on(
    work: Work[Item, Result], batch: list[Item], settings: Settings
) -> Done[Result]:
    """Do the work on a batch as the process that sent it would."""
    from threadpoolctl import threadpool_limits

    recorder = _Recorder()
    _logger.setLevel(settings.log_level)
    _logger.addHandler(recorder)
    try:
        # Sums depend on the number of threads in their last bits.
        with threadpool_limits(settings.threads):
            return Done(work(batch), recorder.log)
    finally:
        _logger.removeHandler(recorder)


# The work of this worker process, sent once and not with every batch.
_held: list[Any] = []


def start_worker(work: Work[Any, Any]) -> None:
    """Keep the work, and see to it that this process does not outlive its parent."""
    _held[:] = [work]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def work_on_held(batch: list[Any], settings: Settings) -> Done[Any]:
    """Do the work that `start_worker` has kept."""
    return work_on(_held[0], batch, settings)
