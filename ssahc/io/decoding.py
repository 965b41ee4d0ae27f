"""Decoding what kaldi_io reads in part only, or slowly, or does not check.

The first are text and compressed matrices. The second are binary vectors, of which
archives hold many that are laid out alike.
"""

import os
import struct
from collections.abc import Iterator
from math import prod
from typing import BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import Float32Array, FloatArray
from ssahc.io.scp import ScpEntry

# What stands behind the binary mark of a compressed matrix.
COMPRESSED = (b"CM ", b"CM2 ", b"CM3 ")


class Layout(NamedTuple):
    """How binary vectors of one precision and one dimension stand in an archive."""

    header: bytes
    payload: int
    dtype: np.dtype[np.floating]

    @classmethod
    def of(cls, value: NDArray[np.floating]) -> Self:
        """Return how a vector stands there, if it does so in binary."""
        token = b"FV " if value.dtype == np.float32 else b"DV "
        header = b"\0B" + token + struct.pack("<bi", 4, len(value))
        return cls(header, value.nbytes, value.dtype)

    def read(
        self, file: BinaryIO, size: int, entry: ScpEntry
    ) -> NDArray[np.floating] | None:
        """Return a vector if key, header and length are as they should be, else None.

        Parameters
        ----------
        file : binary file
            Left anywhere.
        size : int
            Size of the whole file in bytes.
        entry : ScpEntry
        """
        head = entry.key.encode() + b" " + self.header
        start = (entry.offset or 0) + len(self.header) - len(head)
        if not 0 <= start < size:
            return None
        file.seek(start)
        if file.read(len(head)) != head:
            return None
        payload = file.read(self.payload)
        if len(payload) < self.payload:
            return None
        return np.frombuffer(payload, self.dtype)


def read_dims(data: bytes, kind: str, width: int, left: int) -> tuple[int, ...]:
    """Decode the dimensions of a binary object, and check that it is all there.

    Parameters
    ----------
    data : bytes
        What stands behind the token: 5 bytes for each dimension.
    kind : {"vector", "matrix"}
    width : int
        Bytes of a number.
    left : int
        Bytes of the file behind the dimensions.

    Raises
    ------
    ValueError
        If these are no dimensions, none that a matrix has, or those of another byte
        order.
    EOFError
        If the header or what it promises is truncated.
    """
    rank = 1 if kind == "vector" else 2
    if len(data) < 5 * rank:
        raise EOFError("truncated in the header; copy or extract the file again")
    fields = struct.unpack("<" + "bi" * rank, data)
    dims = fields[1::2]
    if any(size != 4 for size in fields[::2]) or any(dim < 0 for dim in dims):
        raise ValueError(
            f"the header's dimensions {data!r} are not Kaldi's little-endian int32"
        )
    check_emptiness(dims)
    if width * prod(dims) <= left:
        return dims
    shape = " x ".join(map(str, dims))
    swapped = struct.unpack(">" + "bi" * rank, data)[1::2]
    if min(swapped) > 0 and width * prod(swapped) <= left:
        raise ValueError(
            f"the header says {shape}, or {' x '.join(map(str, swapped))} if it is "
            "big-endian; copy the file as text (copy-vector --binary=false) where it "
            "was made"
        )
    raise EOFError(
        f"truncated: a {kind} of {shape} needs {width * prod(dims)} bytes, {left} are "
        "left; copy or extract the file again"
    )


def read_text(file: BinaryIO, kind: str) -> FloatArray:
    """Decode `` [ 1 2 ]`` or a matrix with one row a line.

    Parameters
    ----------
    file : binary file
    kind : {"vector", "matrix"}
        What is to be there.

    Raises
    ------
    ValueError
        If something else stands there.
    EOFError
        If the closing bracket is missing.
    """
    rows: list[list[float]] = []
    for text in _rows_of_text(file, kind):
        if values := text.split():
            try:
                if b"_" in text:
                    raise ValueError("1_000 is a number in Python alone")
                rows.append([float(value) for value in values])
            except ValueError as error:
                found = text[:40].decode("latin-1")
                raise ValueError(f"expected numbers, found {found!r}") from error
    if kind == "vector":
        if len(rows) > 1:
            raise ValueError(f"expected a vector, found a matrix of {len(rows)} rows")
        return np.array(rows[0] if rows else [], np.float64)
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the matrix's rows differ in length")
    return np.array(rows, np.float64).reshape(len(rows), len(rows[0]) if rows else 0)


def skip_text(file: BinaryIO, kind: str) -> None:
    """Go behind an object in text, whatever its numbers; raises as `read_text`."""
    for _ in _rows_of_text(file, kind):
        pass


def _rows_of_text(file: BinaryIO, kind: str) -> Iterator[bytes]:
    """Yield what stands between the brackets of an object, line by line."""
    first = True
    while True:
        line = file.readline(1 << 26)
        if not line:
            missing = "nothing is there" if first else "the closing ']' is missing"
            raise EOFError(f"truncated: {missing}; copy or extract the file again")
        text = line.strip()
        if first:
            if not text.startswith(b"["):
                raise ValueError(
                    f"expected a Kaldi {kind} (binary mark or '['), found "
                    f"{line[:24]!r}; an archive needs its offset in the scp"
                )
            text, first = text[1:], False
        text, bracket, rest = text.partition(b"]")
        yield text
        if bracket:
            if rest.strip():
                found = rest[:24].decode("latin-1")
                raise ValueError(f"unexpected text after ']': {found!r}")
            return


def check_emptiness(dims: tuple[int, ...]) -> None:
    """Raise a ValueError on a matrix of rows without columns, as Kaldi does."""
    if 0 in dims and any(dims):
        raise ValueError(
            f"a matrix of {' x '.join(map(str, dims))} cannot be; copy or extract the "
            "file again"
        )


def read_compressed(file: BinaryIO, size: int) -> Float32Array:
    """Decode CM (a byte an element, quartiles a column), CM2 (16 bit), CM3 (8 bit).

    Parameters
    ----------
    file : binary file
        Just behind the binary mark.
    size : int
        Size of the whole file in bytes.

    Raises
    ------
    ValueError
        If the header holds dimensions that no matrix has.
    EOFError
        If the matrix is truncated.
    """
    header = _CompressedHeader.read(file, size)
    rows, columns = header.rows, header.columns
    codes = file.read(header.payload)
    # Infinity and NaN are refused by those who need measurements, not here.
    with np.errstate(over="ignore", invalid="ignore"):
        if header.token == b"CM ":
            return _expand(codes, header.minimum, header.range, rows, columns)
        itemsize = header.itemsize
        step = np.float32(header.range) / np.float32(256**itemsize - 1)
        steps = np.frombuffer(codes, f"<u{itemsize}").reshape(rows, columns)
        return np.float32(header.minimum) + step * steps.astype("f4")


def skip_compressed(file: BinaryIO, size: int) -> None:
    """Go behind a compressed matrix; parameters and errors as `read_compressed`."""
    header = _CompressedHeader.read(file, size)
    file.seek(header.payload, os.SEEK_CUR)


class _CompressedHeader(NamedTuple):
    """What stands before the codes of a compressed matrix."""

    token: bytes
    minimum: float
    range: float
    rows: int
    columns: int

    @property
    def itemsize(self) -> int:
        """Bytes of a code."""
        return 2 if self.token == b"CM2 " else 1

    @property
    def payload(self) -> int:
        """Bytes of all codes, and of the quartiles of CM."""
        quartiles = 8 * self.columns if self.token == b"CM " else 0
        return self.rows * self.columns * self.itemsize + quartiles

    @classmethod
    def read(cls, file: BinaryIO, size: int) -> Self:
        """Decode it, and check that all that it promises is there."""
        token = file.read(3)
        if token != b"CM ":
            token += file.read(1)
        data = file.read(16)
        if len(data) < 16:
            raise EOFError("truncated in the header; copy the file again")
        header = cls(token, *struct.unpack("<ffii", data))
        rows, columns = header.rows, header.columns
        if rows < 0 or columns < 0:
            raise ValueError(f"negative dimensions {rows} x {columns}")
        check_emptiness((rows, columns))
        if file.tell() + header.payload > size:
            raise EOFError(
                f"truncated: a compressed matrix of {rows} x {columns} needs "
                f"{header.payload} bytes, {size - file.tell()} are left; copy the file "
                "again"
            )
        return header


def _expand(
    data: bytes, minimum: float, value_range: float, rows: int, columns: int
) -> Float32Array:
    """Decode the quartiles and the codes of a CM matrix."""
    step = np.float32(value_range) / np.float32(65535)
    quartiles = np.frombuffer(data[: 8 * columns], "<u2").reshape(columns, 4)
    knots = np.float32(minimum) + step * quartiles.astype("f4")
    codes = np.frombuffer(data[8 * columns :], "u1").reshape(columns, rows)
    # A code is a position on a line through the column's quartiles at 0, 64, 192, 255.
    segment = np.digitize(codes, [65, 193])
    lower = np.take_along_axis(knots, segment, axis=1)
    upper = np.take_along_axis(knots, segment + 1, axis=1)
    origin = np.array([0, 64, 192], "f4")[segment]
    width = np.array([64, 128, 63], "f4")[segment]
    return np.ascontiguousarray((lower + (upper - lower) * (codes - origin) / width).T)
