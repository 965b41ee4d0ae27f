"""Kaldi's scp files, which map keys to places in archives."""

import os
import re
from pathlib import Path
from sys import intern
from typing import NamedTuple

from ssahc.core.errors import FormatError
from ssahc.io.files import BLANKS, OnFault, raise_fault, read_lines, warn_of

_BLANK = re.compile(f"[{BLANKS}]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_OFFSET = re.compile(r"(.+):(-?[0-9]+)", re.DOTALL)
_ROWS = re.compile(r"(.+)\[([0-9]{1,9}):([0-9]{1,9})\]", re.DOTALL)


class ScpEntry(NamedTuple):
    """A line of an scp file: the archive and offset of the object of `key`.

    `rows` are the first row of a matrix and that behind the last; None for all.
    """

    key: str
    archive: Path
    offset: int | None
    path: Path
    line: int
    rows: tuple[int, int] | None = None

    def fault(self, message: str) -> FormatError:
        """Return an error that names the archive and the key."""
        return FormatError(message, path=self.archive, key=self.key)


def read_scp(
    path: Path, on_fault: OnFault = raise_fault, *, with_rows: bool = False
) -> dict[str, ScpEntry]:
    """Read an scp file: ``key archive:offset`` lines.

    A relative archive path starts at the scp's own folder if the file is there, else at
    the working directory (Kaldi's rule). If there is no such file, as on another
    machine, one of its name beside the scp is taken, with a warning. Pipes, URLs
    and gzipped archives are refused, and ranges of rows (``archive:offset[0:149]``,
    both ends included) unless `with_rows` is set, for matrices.
    """
    entries, archives = _read(path, on_fault, with_rows)
    moved = [
        name
        for name, archive in archives.items()
        if archive not in (Path(name), path.parent / name)
    ]
    what = "archives are not where it says but beside it, and are read there"
    warn_of(path, what, moved)
    return entries


def find_archives(path: Path) -> set[Path]:
    """Return the archives that an scp file names, without a warning."""
    return set(_read(path, raise_fault, with_rows=False)[1].values())


def _read(
    path: Path, on_fault: OnFault, with_rows: bool
) -> tuple[dict[str, ScpEntry], dict[str, Path]]:
    """Return the entries by key, and the archives by the names in the file."""
    entries: dict[str, ScpEntry] = {}
    archives: dict[str, Path] = {}
    for number, line in read_lines(path):
        name, *rest = _BLANK.split(line.strip(BLANKS), maxsplit=1)
        key = intern(name)
        try:
            if not rest:
                raise ValueError(f"expected 'key path:offset', found {line[:80]!r}")
            if key in entries:
                first = entries[key].line
                raise ValueError(f"already in line {first}; keep one of the two")
            location, rows = _split_rows(rest[0]) if with_rows else (rest[0], None)
            archive, offset = _split_offset(location)
            if archive not in archives:
                archives[archive] = _find_archive(archive, path.parent)
            entries[key] = ScpEntry(key, archives[archive], offset, path, number, rows)
        except ValueError as error:
            on_fault(key, FormatError(str(error), path=path, line=number, key=key))
    return entries, archives


def _split_rows(location: str) -> tuple[str, tuple[int, int] | None]:
    match = _ROWS.fullmatch(location)
    if match is None:
        return location, None
    first, last = int(match[2]), int(match[3])
    if last < first:
        raise ValueError(f"invalid range of rows [{first}:{last}]; make the scp again")
    return match[1], (first, last + 1)


def _split_offset(location: str) -> tuple[str, int | None]:
    match = _OFFSET.fullmatch(location)
    if match is None:
        return location, None
    name, digits = match.groups()
    # No file has a number of bytes of more digits.
    if digits.startswith("-") or len(digits) > 18:
        raise ValueError(f"invalid offset {digits[:24]}; make the scp again")
    return name, int(digits)


def _find_archive(name: str, folder: Path) -> Path:
    reason = None
    if "|" in name:
        reason = "is a pipe, which would run a shell; store the objects in an archive"
    elif name.endswith("]"):
        reason = "is a range of rows; copy the rows into an archive of their own"
    elif name == "-":
        reason = "is standard input; store the objects in an archive"
    elif _URL.match(name):
        reason = "is a URL; download the archive first"
    elif name.endswith(".gz"):
        reason = "is gzipped; unpack it first"
    if reason is not None:
        raise ValueError(f"{name[:80]!r} {reason}")
    places = (folder / name, Path(name), folder / os.path.basename(name))
    # os.path.exists, since Path's raises on names too long for the system.
    return next(filter(os.path.exists, places), places[0])
