"""Vectors and matrices in Kaldi files: archives and single objects.

This is the only module that imports kaldi_io, which prints a banner and edits the
environment when imported, returns truncated vectors without complaint, and runs a
shell for any path that ends in a pipe. Headers and sizes are therefore checked here
before kaldi_io is given a file. Most vectors are laid out as the one before them; they
are taken as they are (`Layout`), since its many small steps would take longer than
all else that is done with an x-vector.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from math import prod
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.types import FloatArray
from ssahc.io.decoding import (
    COMPRESSED,
    Layout,
    read_compressed,
    read_dims,
    read_text,
    skip_compressed,
    skip_text,
)
from ssahc.io.files import (
    atomic_write,
    is_word,
    open_regular,
    strip_rspecifier,
    unreadable,
)
from ssahc.io.scp import ScpEntry, read_scp
from ssahc.runtime.memory import lack_of_memory

Array = NDArray[np.floating]
Kind = Literal["vector", "matrix"]

_BINARY = b"\0B"
_TOKENS: dict[Kind, dict[bytes, int]] = {
    "vector": {b"FV ": 4, b"DV ": 8},
    "matrix": {b"FM ": 4, b"DM ": 8},
}
# Archives are read in blocks of this many bytes.
_BLOCK = 1 << 18
# Keys are short; so many bytes without a space mean that this is no archive.
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
    module: ModuleType = kaldi_io
    return module


# ---- reading -----------------------------------------------------------------------


def read_entries(
    entries: Iterable[ScpEntry], kind: Kind, *, block: int = _BLOCK
) -> Iterator[tuple[str, Array | FormatError]]:
    """Read the objects that scp entries point at, each archive once, front to back.

    Parameters
    ----------
    entries : iterable of ScpEntry
        In any order.
    kind : {"vector", "matrix"}
    block : int
        Number of bytes that are asked of the system at once.

    Yields
    ------
    (str, array or FormatError)
        Key and object in the order of the archive; an error stands for an object that
        cannot be read, so that the others are not lost.
    """
    by_archive: dict[Path, list[ScpEntry]] = {}
    for entry in entries:
        by_archive.setdefault(entry.archive, []).append(entry)
    for archive, group in by_archive.items():
        group.sort(key=lambda entry: entry.offset or 0)
        try:
            file = open_regular(archive, buffering=block)
        except OSError as error:
            fault = _unreadable_archive(group[0], error)
            yield from ((entry.key, fault) for entry in group)
            continue
        with file:
            for entry, value in _read_group(file, group, kind):
                yield entry.key, value


def _read_group(
    file: BinaryIO, entries: Iterable[ScpEntry], kind: Kind
) -> Iterator[tuple[ScpEntry, Array | FormatError]]:
    """Read objects of one archive."""
    size = os.fstat(file.fileno()).st_size
    layout: Layout | None = None
    for entry in entries:
        value: Array | FormatError | None = None
        try:
            if layout is not None:
                value = layout.read(file, size, entry)
            if value is None:
                value = _read_one(file, size, entry, kind)
                layout = Layout.of(value) if kind == "vector" else None
        except (ValueError, EOFError) as error:
            value = entry.fault(str(error))
        except MemoryError as error:
            value = entry.fault(lack_of_memory(error))
        except OSError as error:
            # A disk or a server that fails in the middle.
            value = unreadable(entry.archive, error)
        yield entry, value


def _read_one(file: BinaryIO, size: int, entry: ScpEntry, kind: Kind) -> Array:
    _seek(file, entry, size)
    value = read_object(file, size, kind)
    if entry.offset is None:
        refuse_rest(file, size)
    return value


def _unreadable_archive(entry: ScpEntry, error: OSError) -> FormatError:
    if not isinstance(error, FileNotFoundError):
        return unreadable(entry.archive, error)
    return FormatError(
        f"archive {entry.archive.name!r} is neither at {entry.archive} nor in the "
        "working directory; check the path, or run where the scp was made",
        path=entry.path,
        line=entry.line,
    )


def _seek(file: BinaryIO, entry: ScpEntry, size: int) -> None:
    if entry.offset is None:
        file.seek(0)
        return
    if entry.offset >= size:
        raise EOFError(
            f"truncated: {entry.path}:{entry.line} points to byte {entry.offset}, the "
            f"archive has {size}; copy or extract it again"
        )
    expected = entry.key.encode() + b" "
    start = entry.offset - len(expected)
    if start >= 0:
        if file.tell() != start:
            file.seek(start)
        if file.read(len(expected)) == expected:
            return
    raise ValueError(
        f"offset {entry.offset} ({entry.path}:{entry.line}) does not follow this key "
        "in the archive: the scp belongs to another archive; make it again with "
        "copy-vector or copy-matrix"
    )


def read_archive(path: Path, kind: Kind) -> Iterator[tuple[str, Array | FormatError]]:
    """Read a whole archive front to back.

    Yields
    ------
    (str, array or FormatError)
        As `read_entries`. After an object that does not say where it ends nothing more
        is yielded.

    Raises
    ------
    FormatError
        If the file is unreadable, or no key stands where one should.
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
    """Find where the objects of an archive or an scp are, to be read in any order.

    Parameters
    ----------
    path : Path
        An archive or an scp, as for `read_table`.
    kind : {"vector", "matrix"}

    Returns
    -------
    entries : dict
        Key to place. Those of an archive were found there, and not read.
    fault : FormatError or None
        Why what follows the entries in the archive is lost, if something is.

    Raises
    ------
    FormatError
        If the scp or the archive as a whole is unusable.
    """
    path, is_scp = _tell_table(path)
    if is_scp:
        return {entry.key: entry for entry in read_scp(path)}, None
    found, fault = _index_archive(path, kind)
    if fault is not None and fault.key is None and not found:
        raise fault
    entries: dict[str, ScpEntry] = {}
    for entry in found:
        # Kaldi reads archives front to back, so the first of two wins.
        entries.setdefault(entry.key, entry)
    return entries, fault


def _index_archive(path: Path, kind: Kind) -> tuple[list[ScpEntry], FormatError | None]:
    """Return where the objects are, up to one that does not say where it ends."""
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


def read_table(path: Path, kind: Kind) -> Iterator[tuple[str, Array | FormatError]]:
    """Read an archive or an scp, told apart by a prefix (``ark:``) or by ``.scp``.

    Yields
    ------
    (str, array or FormatError)
        As `read_entries` or `read_archive`.

    Raises
    ------
    FormatError
        If the scp or the archive as a whole is unusable.
    """
    path, is_scp = _tell_table(path)
    return read_entries(read_scp(path), kind) if is_scp else read_archive(path, kind)


def _tell_table(path: Path) -> tuple[Path, bool]:
    """Return the path without its prefix, and whether it is an scp."""
    prefix, path = strip_rspecifier(path)
    return path, prefix == "scp" if prefix else path.suffix == ".scp"


def read_single(path: Path, kind: Kind) -> Array:
    """Read a file that holds one vector or matrix, such as ``mean.vec``.

    Raises
    ------
    FormatError
        If the file is missing, of another kind, truncated, or longer than its object.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            value = read_object(file, size, kind)
            refuse_rest(file, size)
            return value
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, EOFError) as error:
        raise FormatError(str(error), path=path) from error


def refuse_rest(file: BinaryIO, size: int) -> None:
    """Raise a ValueError if more than white space follows an object in its own file.

    Parameters
    ----------
    file : binary file
        Just behind the object.
    size : int
        Size of the whole file in bytes.
    """
    # Text ends in a line end; nothing that matters is hidden behind 4096 blanks.
    rest = file.read(4096).lstrip()
    if rest:
        count = size - file.tell() + len(rest)
        raise ValueError(
            f"{count} bytes follow the object, the first of them {rest[:16]!r}: two "
            "files were joined, or this is another kind of file; make it again"
        )


def _read_key(file: BinaryIO, path: Path) -> str | None:
    start = file.tell()
    head = file.read(_LONGEST_KEY)
    if not head.strip() and len(head) < _LONGEST_KEY:
        return None
    key, space, _ = head.lstrip(b"\n").partition(b" ")
    skipped = len(head) - len(head.lstrip(b"\n"))
    try:
        name = key.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not space or not is_word(name) or "\0" in name:
        raise FormatError(
            f"expected a key and a space at byte {start}, found {head[:24]!r}; "
            "is this a Kaldi archive, and all of it?",
            path=path,
        )
    file.seek(start + skipped + len(key) + 1)
    return name


def read_object(file: BinaryIO, size: int, kind: Kind) -> Array:
    """Decode the object at the file's position, binary or text.

    Parameters
    ----------
    file : binary file
        Left just behind the object.
    size : int
        Size of the whole file in bytes: what a header promises is checked against it
        before anything is allocated.
    kind : {"vector", "matrix"}

    Raises
    ------
    ValueError
        If something else stands there.
    EOFError
        If the object is truncated.
    """
    start = file.tell()
    head = file.read(20)
    if head[:2] != _BINARY:
        file.seek(start)
        return read_text(file, kind)
    if kind == "matrix" and head.startswith(COMPRESSED, 2):
        file.seek(start + 2)
        return read_compressed(file, size)
    dims, width = _read_header(head, size - start, kind)
    if prod(dims) == 0:
        file.seek(start + _length_of_header(kind))
        return np.zeros(dims, np.float32 if width == 4 else np.float64)
    file.seek(start)
    library = _kaldi_io()
    value: Array = (
        library.read_vec_flt(file) if kind == "vector" else library.read_mat(file)
    )
    return value


def skip_object(file: BinaryIO, size: int, kind: Kind) -> None:
    """Go behind the object at the file's position, whatever its numbers are.

    Parameters and errors are those of `read_object`.
    """
    start = file.tell()
    head = file.read(20)
    if head[:2] != _BINARY:
        file.seek(start)
        skip_text(file, kind)
    elif kind == "matrix" and head.startswith(COMPRESSED, 2):
        file.seek(start + 2)
        skip_compressed(file, size)
    else:
        dims, width = _read_header(head, size - start, kind)
        file.seek(start + _length_of_header(kind) + width * prod(dims))


def _read_header(head: bytes, left: int, kind: Kind) -> tuple[tuple[int, ...], int]:
    """Return dimensions, and bytes of a number, of a binary object.

    What they promise is in the `left` bytes from its start to the end of the file.
    """
    token = head[2:5]
    width = _TOKENS[kind].get(token)
    if width is None:
        names = "/".join(name.decode().strip() for name in _TOKENS[kind])
        raise ValueError(f"expected a {kind} ({names}), found {token!r}")
    length = _length_of_header(kind)
    return read_dims(head[5:length], kind, width, max(left - length, 0)), width


def _length_of_header(kind: Kind) -> int:
    """Return the bytes of binary mark, token and dimensions."""
    return 10 if kind == "vector" else 15


def as_double(values: Any) -> FloatArray:
    """Return an array, or the rows of one, in double precision.

    NaN stays NaN, also the signalling one of a broken file, which numpy warns of.
    """
    with np.errstate(invalid="ignore"):
        return np.array(values, np.float64)


# ---- writing -----------------------------------------------------------------------


class ArchiveWriter:
    """Write an archive and its scp; both appear together when the writer closes.

    Parameters
    ----------
    archive, scp : Path
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
    library = _kaldi_io()
    if value.ndim == 1:
        library.write_vec_flt(file, np.ascontiguousarray(value))
    else:
        library.write_mat(file, np.ascontiguousarray(value))


def format_text(value: Array) -> str:
    """Return Kaldi's text form of a vector or matrix (7 significant digits)."""
    if value.ndim == 1:
        return f" [ {_format_row(value)}]\n"
    if value.shape[0] == 0:
        return " [ ]\n"
    return " [" + "".join(f"\n  {_format_row(row)}" for row in value) + "]\n"


def _format_row(row: Array) -> str:
    return "".join(f"{number:.7g} " for number in row.tolist())
