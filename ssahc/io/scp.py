"""Kaldi's scripts (scp): where in which archive the object of each key is."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import NamedTuple

from ssahc.errors import FormatError
from ssahc.io.files import BLANKS, gather, read_lines

_GAP = re.compile(f"[{BLANKS}]+")


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
        An error stands for a malformed line, a duplicate key, a pipe, a range or a
        gzipped archive. An archive that does not exist is noticed when it is read.

    Raises
    ------
    FormatError
        If the file as a whole is unusable.
    """
    seen: dict[str, int] = {}
    archives: dict[str, Path] = {}
    for number, line in read_lines(path):
        name, *rest = _GAP.split(line.strip(BLANKS), maxsplit=1)
        key = intern(name)
        try:
            if not rest or "\0" in key:
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
            archive, offset = _split_offset(rest[0])
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


def _split_offset(location: str) -> tuple[str, int | None]:
    name, colon, digits = location.rpartition(":")
    # An offset of more digits than a file can have bytes is none.
    if colon and digits.isascii() and digits.isdigit() and len(digits) <= 18:
        return name, int(digits)
    return location, None


def _find_archive(name: str, scp: Path, line: int) -> Path:
    reason = None
    if "|" in name:
        reason = "is a pipe, which would run a shell; store the objects in an archive"
    elif name.endswith("]"):
        reason = "is a range of rows; copy the rows into an archive of their own"
    elif name.endswith(".gz"):
        reason = "is gzipped; unpack it first"
    elif "\0" in name:
        reason = "holds a zero byte, which no file name can; make the scp again"
    if reason is not None:
        raise FormatError(f"{name!r} {reason}", path=scp, line=line)
    beside = scp.parent / name
    # os.path.exists, since Path's raises on names too long for the system.
    if not os.path.exists(beside) and os.path.exists(name):
        return Path(name)
    return beside
