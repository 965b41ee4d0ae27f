"""Kaldi archives and scp tables of vectors and matrices, and files of a single one.

Only this module imports kaldi_io, which prints a banner and edits the environment when
imported, returns truncated vectors without an error, and runs a shell for paths that
end in a pipe. Headers and sizes are therefore checked before kaldi_io sees a file.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import FormatError, UsageError
from ssahc.io.files import (
    atomic_write,
    is_word,
    open_regular,
    strip_rspecifier,
    unreadable,
)
from ssahc.io.objects import (
    Kind,
    decode_compressed,
    format_text,
    read_header,
    read_text,
    refuse_rest,
    skip_object,
)
from ssahc.io.scp import ScpEntry, read_scp
from ssahc.runtime.memory import lack_of_memory

Array = NDArray[np.floating]

# Archives are read in blocks of this many bytes.
_BLOCK = 1 << 18
# A file without a space in this many bytes is not an archive.
_LONGEST_KEY = 4096


@cache
def _kaldi_io() -> ModuleType:
    if not __debug__:
        raise UsageError(
            "python -O and PYTHONOPTIMIZE leave out what kaldi_io does within assert "
            "statements, which is to read; run without them"
        )
    environment = dict(os.environ)
    try:
        with redirect_stderr(StringIO()):
            import kaldi_io
    finally:
        os.environ.clear()
        os.environ.update(environment)
    return kaldi_io


# ---- reading single objects --------------------------------------------------------


def read_object(file: BinaryIO, size: int, kind: Kind) -> Array:
    """Read the object at the file's position, binary or text.

    Sizes are checked against that of the file before anything is allocated. Raises a
    ValueError if this is not such an object, an EOFError if truncated.
    """
    start = file.tell()
    header = read_header(file, size, kind)
    if header is None:
        return read_text(file, kind)
    if header.is_compressed:
        return decode_compressed(header, file.read(header.payload))
    if header.payload == 0:
        return np.zeros(header.dims, f"f{header.width}")
    file.seek(start)
    read = _kaldi_io().read_vec_flt if kind == "vector" else _kaldi_io().read_mat
    return read(file)


def read_single(path: Path, kind: Kind) -> Array:
    """Read a file that is one vector or matrix, such as ``mean.vec``."""
    try:
        with open_regular(path) as file:
            return _read_whole(file, os.fstat(file.fileno()).st_size, kind)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, EOFError) as error:
        raise FormatError(str(error), path=path) from error


def _read_whole(file: BinaryIO, size: int, kind: Kind) -> Array:
    """Read an object that is the whole file."""
    value = read_object(file, size, kind)
    refuse_rest(file, size)
    return value


# ---- reading tables ----------------------------------------------------------------


def read_archive(path: Path, kind: Kind) -> Iterator[tuple[str, Array | FormatError]]:
    """Read a whole archive front to back; yields what `read_entries` does.

    Nothing follows an object whose end cannot be found.
    """
    entries, fault = _index_archive(path, kind)
    yield from read_entries(entries, kind)
    if fault is not None and fault.key is not None:
        yield fault.key, fault
    elif fault is not None:
        raise fault


def index_table(
    path: Path, kind: Kind
) -> tuple[dict[str, ScpEntry], FormatError | None]:
    """Locate the objects of an archive or an scp (``scp:FILE`` or ``.scp``), by key.

    Returns them, and why the rest of an archive cannot be read, if it cannot. Raises a
    FormatError if the scp or the archive as a whole is unusable.
    """
    prefix, path = strip_rspecifier(path)
    if prefix == "scp" or (not prefix and path.suffix == ".scp"):
        return read_scp(path), None
    found, fault = _index_archive(path, kind)
    if fault is not None and fault.key is None and not found:
        raise fault
    entries: dict[str, ScpEntry] = {}
    for entry in found:
        # Kaldi reads archives front to back, so the first of two wins.
        entries.setdefault(entry.key, entry)
    return entries, fault


def _index_archive(path: Path, kind: Kind) -> tuple[list[ScpEntry], FormatError | None]:
    """Locate the objects, up to the first whose end cannot be found."""
    entries: list[ScpEntry] = []
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            while (key := _read_key(file, path)) is not None:
                entry = ScpEntry(key, path, file.tell(), path, 0)
                try:
                    skip_object(file, size, kind)
                except (ValueError, EOFError) as error:
                    return entries, entry.fault(str(error))
                entries.append(entry)
    except FormatError as error:
        return entries, error
    except OSError as error:
        raise unreadable(path, error) from error
    return entries, None


def _read_key(file: BinaryIO, path: Path) -> str | None:
    start = file.tell()
    head = file.read(_LONGEST_KEY)
    if not head.strip() and len(head) < _LONGEST_KEY:
        return None
    blank = len(head) - len(head.lstrip(b"\n"))
    key, space, _ = head[blank:].partition(b" ")
    name = key.decode("utf-8", "ignore")
    if not space or not is_word(name) or "\0" in name or name.encode() != key:
        raise FormatError(
            f"expected a key and a space at byte {start}, found {head[:24]!r}; "
            "is this a Kaldi archive, and all of it?",
            path=path,
        )
    file.seek(start + blank + len(key) + 1)
    return name


def read_entries(
    entries: Iterable[ScpEntry], kind: Kind
) -> Iterator[tuple[str, Array | FormatError]]:
    """Read the objects of scp entries in any order; each archive once, front to back.

    Yields key and object in the order of the archive. An object that cannot be read
    comes as an error, so that the others are not lost.
    """
    by_archive: dict[Path, list[ScpEntry]] = {}
    for entry in entries:
        by_archive.setdefault(entry.archive, []).append(entry)
    for archive, group in by_archive.items():
        group.sort(key=lambda entry: entry.offset or 0)
        try:
            with open_regular(archive, buffering=_BLOCK) as file:
                yield from _read_group(file, group, kind)
        except OSError as error:
            fault = _unreadable_archive(group[0], error)
            yield from ((entry.key, fault) for entry in group)


def _unreadable_archive(entry: ScpEntry, error: OSError) -> FormatError:
    if not isinstance(error, FileNotFoundError):
        return unreadable(entry.archive, error)
    return FormatError(
        f"archive {entry.archive.name!r} is neither at {entry.archive} nor in the "
        "working directory nor beside the scp; put it there, or check the path",
        path=entry.path,
        line=entry.line,
    )


def _read_group(
    file: BinaryIO, entries: Iterable[ScpEntry], kind: Kind
) -> Iterator[tuple[str, Array | FormatError]]:
    """Read objects of one archive."""
    size = os.fstat(file.fileno()).st_size
    last: Array | None = None
    place: int | None = None
    for entry in entries:
        value: Array | FormatError
        try:
            # Windows of a recording are ranges of rows of one matrix.
            if last is None or entry.rows is None or entry.offset != place:
                last = _read_entry(file, size, entry, kind, last)
                place = entry.offset
            value = last if entry.rows is None else _cut_rows(last, *entry.rows)
        except (ValueError, EOFError) as error:
            value = entry.fault(str(error))
        except MemoryError as error:
            value = entry.fault(lack_of_memory(error))
        except OSError as error:
            # A disk or a server that fails in the middle.
            value = unreadable(entry.archive, error)
        yield entry.key, value


def _read_entry(
    file: BinaryIO, size: int, entry: ScpEntry, kind: Kind, last: Array | None
) -> Array:
    if entry.offset is None:
        file.seek(0)
        return _read_whole(file, size, kind)
    _seek(file, entry, entry.offset, size)
    if kind == "vector" and last is not None:
        alike = _read_alike(file, last)
        if alike is not None:
            return alike
    return read_object(file, size, kind)


def _cut_rows(matrix: Array, first: int, end: int) -> Array:
    if end > len(matrix):
        raise ValueError(
            f"has {len(matrix)} rows, the scp asks for [{first}:{end - 1}]; make the "
            "scp again"
        )
    return matrix[first:end]


def _seek(file: BinaryIO, entry: ScpEntry, offset: int, size: int) -> None:
    """Go to the object, if its key precedes it."""
    if offset >= size:
        raise EOFError(
            f"truncated: {entry.path}:{entry.line} points to byte {offset}, the "
            f"archive has {size}; copy or extract it again"
        )
    # The rows of a matrix have a key of their own.
    expected = (b"" if entry.rows else entry.key.encode()) + b" "
    start = offset - len(expected)
    if start >= 0:
        file.seek(start)
        if file.read(len(expected)) == expected:
            return
    raise ValueError(
        f"offset {offset} ({entry.path}:{entry.line}) does not follow this key in the "
        "archive: the scp belongs to another archive; make it again with copy-vector "
        "or copy-matrix"
    )


def _read_alike(file: BinaryIO, last: Array) -> Array | None:
    """Read a vector with the dimension and precision of the last; None if it differs.

    Most vectors of an archive are alike, and `read_object` takes longer than all other
    work on an x-vector.
    """
    token = b"FV " if last.dtype == np.float32 else b"DV "
    header = b"\0B" + token + struct.pack("<bi", 4, len(last))
    start = file.tell()
    if file.read(len(header)) == header:
        payload = file.read(last.nbytes)
        if len(payload) == last.nbytes:
            return np.frombuffer(payload, last.dtype)
    file.seek(start)
    return None


# ---- writing -----------------------------------------------------------------------


class ArchiveWriter:
    """Write an archive and its scp; both appear together when the writer closes.

    The scp names the archive relative to its own folder.
    """

    def __init__(self, archive: Path, scp: Path) -> None:
        self._archive, self._scp = archive, scp
        self._name = os.path.relpath(archive, scp.parent)
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._context = atomic_write(self._archive, "wb")
        self._file = self._context.__enter__()
        return self

    def write(self, key: str, value: Array) -> None:
        """Append one vector or matrix, binary, in the precision of the array."""
        offset = write_entry(self._file, key, value)
        self._lines.append(f"{key} {self._name}:{offset}\n")

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)
        if error[0] is None:
            with atomic_write(self._scp) as scp:
                scp.writelines(self._lines)


def write_entry(file: IO[bytes], key: str, value: Array) -> int:
    """Append one vector or matrix to an open archive; return its offset."""
    file.write(key.encode() + b" ")
    offset = file.tell()
    _write_binary(file, value)
    return offset


def write_single(path: Path, value: Array, *, binary: bool = True) -> None:
    """Write one vector or matrix to a file of its own, in the array's precision."""
    with atomic_write(path, "wb") as file:
        if binary:
            _write_binary(file, value)
        else:
            file.write(format_text(value).encode())


def _write_binary(file: IO[bytes], value: Array) -> None:
    write = _kaldi_io().write_vec_flt if value.ndim == 1 else _kaldi_io().write_mat
    write(file, np.ascontiguousarray(value))
