"""Errors caused by user input.

Every message says what was expected, what was found, where, and what to do.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path


def printable(text: str) -> str:
    """Return a text with control and other unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 window", "2 windows"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class SsahcError(Exception):
    """Base of all errors that ssahc raises on purpose.

    Unprintable characters in the message, such as a line end within a name, are
    escaped: an error is one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UsageError(SsahcError):
    """Options or arguments that contradict each other or are out of range."""


class DataError(SsahcError):
    """Values that cannot be diarized, such as a NaN inside an x-vector."""


class FormatError(SsahcError):
    """A file that is not what it should be.

    Parameters
    ----------
    message : str
        What was expected, what was found, and the way out.
    path : Path or str
        The file.
    line : int, optional
        Line number, counted from 1.
    key : str, optional
        Key of the archive entry.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        path = Path(path)
        where = f"{path}:{line}" if line is not None else f"{path}"
        if key is not None:
            where += f": key {key!r}"
        super().__init__(f"{where}: {message}")
        self.message = message
        self.path = path
        self.line = line
        self.key = key

    def __reduce__(self) -> tuple[Callable[[str], "FormatError"], tuple[str]]:
        # By default, pickle would make it from its text alone, and fail.
        again = partial(FormatError, path=self.path, line=self.line, key=self.key)
        return again, (self.message,)
