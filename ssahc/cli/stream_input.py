"""Standard input of ``ssahc stream``, until a signal ends it."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Generic, Self, TypeVar

T = TypeVar("T")
INPUT = "standard input"
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Bytes: half a minute of audio.
_PIPE = 2**20


def enlarge_pipe(stream: BinaryIO) -> None:
    """Have a pipe hold what comes while a model is loaded, where the system can.

    A recorder would lose what it cannot write.
    """
    with suppress(AttributeError, OSError):
        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


class _Interrupted(Exception):
    """Ends the wait for an item."""


class UntilSignal(Generic[T]):
    """Items that are waited for, until a signal ends them; a context manager.

    What is being done with an item, and after the last one, goes on, so that everything
    can be ended in order. A second signal is handled as before, except that a terminal
    which is closed may say so twice. `status` is 0, or the exit status of the signal.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self.status = 0
        self._items = items
        self._is_waiting = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _STOPS:
            # nohup and background jobs ignore some of them.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def __iter__(self) -> Iterator[T]:
        try:
            while not self.status:
                self._is_waiting = True
                item = next(self._items, None)
                self._is_waiting = False
                if item is None:
                    break
                yield item
        except _Interrupted:
            pass

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _stop(self, number: int, frame: Any) -> None:
        self._restore()
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)
        self.status = 128 + number
        if self._is_waiting:
            raise _Interrupted
