"""Opening and atomically replacing files, with errors that say what to do."""

import errno
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from ssahc.core.errors import FormatError, UsageError

_logger = logging.getLogger(__name__)
# Takes the key and the error of a malformed line of a table; the line is skipped.
OnFault = Callable[[str, FormatError], None]
# White space that separates fields; all other white space is part of a field.
BLANKS = " \t\r\f\v"
_FIELD = re.compile(f"[^{BLANKS}]+")
# ASCII characters that are white space to Python, but not to Kaldi.
_SEPARATORS = "\x1c\x1d\x1e\x1f"
_ODD_FILES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_KINDS = _ODD_FILES | {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


def name_kind(mode: int) -> str:
    """Return what has this mode, for a message: "a file", "a folder", "a link", ..."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def odd_kind(path: Path) -> str | None:
    """Return what is in place of a regular file, if anything is; links are followed."""
    try:
        mode = path.stat().st_mode
    except OSError:
        # Missing, or a dangling link, which a file may replace.
        return None
    return None if stat.S_ISREG(mode) else name_kind(mode)


def open_regular(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a file for reading; OSError for pipes, which may block, and for devices."""
    kind = _ODD_FILES.get(stat.S_IFMT(path.stat().st_mode))
    if kind is not None:
        reason = f"it is {kind}, expected a regular file"
        raise OSError(errno.EINVAL, reason, str(path))
    return open(path, "rb", buffering=buffering)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text that are not blank, and their numbers from 1."""
    return _number_lines(_read_text(path))


def read_fields(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield what `read_lines` does, and the fields, split at ASCII white space."""
    text = _read_text(path)
    # Without other white space str.split does the same, four times as fast.
    is_plain = text.isascii() and not any(mark in text for mark in _SEPARATORS)
    split = str.split if is_plain else split_fields
    for number, line in _number_lines(text):
        yield number, line, split(line)


def _read_text(path: Path) -> str:
    try:
        # Process substitution such as <(sort table) is a pipe that can be read.
        is_open = _is_opened_by_shell(path)
        with open(path, "rb") if is_open else open_regular(path) as file:
            text = file.read().decode("utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 text, found byte {error.object[error.start]:#04x} at "
            f"offset {error.start}; is this a binary file, or text in another encoding "
            "(iconv converts it)?",
            path=path,
        ) from error
    if "\0" in text:
        raise FormatError(
            "holds a zero byte: it is damaged, or UTF-16; make it again as plain UTF-8",
            path=path,
            line=text[: text.index("\0")].count("\n") + 1,
        )
    if text.startswith("\ufeff"):
        raise FormatError(
            "starts with a byte order mark, which would become part of the first key; "
            "save the file as plain UTF-8",
            path=path,
            line=1,
        )
    return text


def _is_opened_by_shell(path: Path) -> bool:
    standard = ("/dev/stdin", "/dev/stdout", "/dev/stderr")
    return str(path.parent) in ("/dev/fd", "/proc/self/fd") or str(path) in standard


def _number_lines(text: str) -> Iterator[tuple[int, str]]:
    # A list of all lines would need more memory than the text.
    number = start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        line = text[start:end]
        if line.strip(BLANKS):
            yield number, line.rstrip("\r")
        start = end + 1


def split_fields(line: str) -> list[str]:
    """Split a line of a table where C's isspace does: not at all blanks of Unicode."""
    return _FIELD.findall(line)


def is_word(text: str) -> bool:
    """Whether a text is a single field of a table."""
    return _FIELD.findall(text) == [text] and "\n" not in text


def is_id(text: str) -> bool:
    """Whether a text can be written as an id to a table and read back."""
    try:
        # Of a damaged array of numpy's, a text may hold what is no character.
        text.encode().decode()
    except UnicodeError:
        return False
    return is_word(text) and not any(mark in text for mark in "\0\ufeff")


def to_number(text: str) -> float:
    """Return a number as C reads it, or raise a ValueError.

    Python also reads 1_0 as ten, and the digits of all scripts.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"expected a number, found {text!r}")
    return float(text)


def raise_fault(key: str, error: FormatError) -> None:
    """Raise the error of a malformed line (see `OnFault`)."""
    raise error


def strip_rspecifier(path: Path) -> tuple[str, Path]:
    """Split Kaldi's ``ark,t:FILE`` into "ark" and FILE; "" if there is no prefix."""
    prefix, _, name = str(path).partition(":")
    kind = prefix.split(",")[0]
    if name and kind in ("ark", "scp"):
        return kind, Path(name)
    return "", path


def warn_of(path: Path, what: str, keys: Sequence[str]) -> None:
    """Log a warning of keys in a file, if there are any."""
    if keys:
        _logger.warning("%s: %s, the first of them %r", path, what, keys[0])


def unreadable(path: Path, error: OSError) -> FormatError:
    """Return an error for a file that the system cannot read."""
    reasons = {
        FileNotFoundError: "no such file; check the path",
        IsADirectoryError: "is a directory, expected a file",
        PermissionError: "no permission to read this file",
    }
    return FormatError(
        reasons.get(type(error), f"cannot be read: {error.strerror}"), path=path
    )


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that replaces it only on success.

    Text is written as UTF-8 (`mode` is "w" or "wb"); a link is replaced, not its
    target. A UsageError is raised if the folder cannot be written to, or `path` is no
    regular file.
    """
    _refuse_odd_target(path)
    encoding = None if "b" in mode else "utf-8"
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        file = open(temporary, mode, encoding=encoding)
    except OSError as error:
        raise UsageError(
            f"{path.parent}: cannot write there ({error.strerror}); "
            "choose another output folder"
        ) from error
    try:
        with file:
            yield file
            # A name may reach the disk before the contents: a power failure would leave
            # an empty file in place of a good one.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # A full disk: the failing write does not name the file.
        if error.filename is not None:
            raise
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_odd_target(path: Path) -> None:
    # /dev/stdout is not the name of a file, even if it leads to a regular one.
    kind = "a device" if _is_opened_by_shell(path) else odd_kind(path)
    if kind is not None:
        raise UsageError(f"{path}: is {kind}; give the name of a file")


def check_output(path: Path, inputs: Iterable[Path | None]) -> None:
    """Raise a UsageError early for a file that could not be written, or is an input.

    An input is None if it is not given.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{path.parent}: cannot write there; choose another output folder"
        )
    _refuse_odd_target(path)
    refuse_input(path, inputs, "give another name")


def refuse_input(path: Path, inputs: Iterable[Path | None], way_out: str) -> None:
    """Raise a UsageError if a file to write or remove is among those that are read."""
    for source in inputs:
        # What does not exist cannot be lost.
        with suppress(OSError):
            if source is not None and path.samefile(source):
                raise UsageError(f"{path}: is read, and would be lost; {way_out}")
