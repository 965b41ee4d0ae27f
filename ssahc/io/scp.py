"""Kaldi's scripts (scp): where in which archive the object of each key is."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import NamedTuple

from ssahc.core.errors import FormatError
from ssahc.io.files import BLANKS, gather, read_lines

_BLANK = re.compile(f"[{BLANKS}]+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
_OFFSET = re.compile(r"(.+):(-?[0-9]+)", re.DOTALL)


class ScpEntry(NamedTuple):
    """One line of an scp file: where the object of `key` is stored."""

    key: str
    archive: Path
    offset: int | None
    path: Path
    line: int

    def fault(self, message: str) -> FormatError:
        """Return an error that names the archive and the key."""
        return FormatError(message, path=self.archive, key=self.key)


def scan_scp(path: Path) -> Iterator[tuple[str, ScpEntry | FormatError]]:
    """Read an scp file: ``key archive:offset`` lines.

    A relative archive path is taken from the scp's own folder if the file is there,
    else from the working directory (Kaldi's rule).

    Yields
    ------
    (str, ScpEntry or FormatError)
        An error stands for a malformed line, a duplicate key, a pipe, a range, an
        address or a gzipped archive. An archive that does not exist is noticed when it
        is read.

    Raises
    ------
    FormatError
        If the file as a whole is unusable.
    """
    seen: dict[str, int] = {}
    archives: dict[str, Path] = {}
    for number, line in read_lines(path):
        name, *rest = _BLANK.split(line.strip(BLANKS), maxsplit=1)
        key = intern(name)
        try:
            if not rest:
                raise FormatError(
                    f"expected 'key path:offset', found {line[:80]!r}",
                    path=path,
                    line=number,
                )
            if key in seen:
                raise FormatError(
                    f"key already stands in line {seen[key]}; keep one of the two",
                    path=path,
                    line=number,
                    key=key,
                )
            seen[key] = number
            archive, offset = _split_offset(rest[0], path, number)
            if archive not in archives:
                archives[archive] = _find_archive(archive, path, number)
        except FormatError as error:
            yield key, error
        else:
            yield key, ScpEntry(key, archives[archive], offset, path, number)


def read_scp(path: Path) -> list[ScpEntry]:
    """Read an scp file: ``key archive:offset`` lines.

    Raises
    ------
    FormatError
        The first that `scan_scp` meets.
    """
    return list(gather(scan_scp(path)).values())


def _split_offset(location: str, scp: Path, line: int) -> tuple[str, int | None]:
    match = _OFFSET.fullmatch(location)
    if match is None:
        return location, None
    name, digits = match.groups()
    # No file has a number of bytes of more digits.
    if digits.startswith("-") or len(digits) > 18:
        raise FormatError(
            f"offset {digits[:24]} is in no file; make the scp again",
            path=scp,
            line=line,
        )
    return name, int(digits)


def _find_archive(name: str, scp: Path, line: int) -> Path:
    reason = None
    if "|" in name:
        reason = "is a pipe, which would run a shell; store the objects in an archive"
    elif name.endswith("]"):
        reason = "is a range of rows; copy the rows into an archive of their own"
    elif name == "-":
        reason = "is standard input; store the objects in an archive"
    elif _ADDRESS.match(name):
        reason = "is an address of the net; fetch the archive first"
    elif name.endswith(".gz"):
        reason = "is gzipped; unpack it first"
    if reason is not None:
        raise FormatError(f"{name[:80]!r} {reason}", path=scp, line=line)
    beside = scp.parent / name
    # os.path.exists, since Path's raises on names too long for the system.
    if not os.path.exists(beside) and os.path.exists(name):
        return Path(name)
    return beside
