"""A single Kaldi vector or matrix: binary headers, compressed matrices, and text.

kaldi_io checks no sizes and reads only some text and compressed matrices.
"""

import struct
from collections.abc import Iterator
from math import prod
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import Float32Array, FloatArray

Kind = Literal["vector", "matrix"]

_BINARY = b"\0B"
# Bytes per number of each binary form. For CM, CM2 and CM3 these are codes.
_WIDTHS: dict[Kind, dict[bytes, int]] = {
    "vector": {b"FV ": 4, b"DV ": 8},
    "matrix": {b"FM ": 4, b"DM ": 8, b"CM ": 1, b"CM2 ": 2, b"CM3 ": 1},
}
_NAMES: dict[Kind, str] = {"vector": "FV/DV", "matrix": "FM/DM"}
_LONGEST_LINE = 1 << 26


class Header(NamedTuple):
    """The header of a binary object.

    `token` is ``b"FV "`` (float vector), ``b"DM "`` (double matrix), ``b"CM "``, ...;
    `width` the bytes per number, `payload` those that follow. `minimum` and `range` are
    of the values of a compressed matrix.
    """

    token: bytes
    width: int
    dims: tuple[int, ...]
    payload: int
    minimum: float = 0.0
    range: float = 0.0

    @property
    def is_compressed(self) -> bool:
        """Whether this is the header of a compressed matrix."""
        return self.token.startswith(b"C")


def read_header(file: BinaryIO, size: int, kind: Kind) -> Header | None:
    """Read a header and check that the whole object is in the file of `size` bytes.

    Returns None, and leaves the position, if the object is text. Raises a ValueError if
    this is another kind of object or has invalid dimensions, an EOFError if truncated.
    """
    start = file.tell()
    if file.read(2) != _BINARY:
        file.seek(start)
        return None
    token = file.read(3)
    if token in (b"CM2", b"CM3"):
        token += file.read(1)
    width = _WIDTHS[kind].get(token)
    if width is None:
        raise ValueError(f"expected a {kind} ({_NAMES[kind]}), found {token!r}")
    is_compressed = token.startswith(b"C")
    layout = "ffii" if is_compressed else "bi" * (1 if kind == "vector" else 2)
    data = file.read(struct.calcsize(f"<{layout}"))
    if len(data) < struct.calcsize(f"<{layout}"):
        raise EOFError("truncated in the header; copy or extract the file again")
    fields, swapped = (struct.unpack(order + layout, data) for order in "<>")
    extra = fields[:2] if is_compressed else ()
    # A byte before each dimension of other objects tells its size.
    sizes = () if is_compressed else fields[::2]
    place = slice(2, None) if is_compressed else slice(1, None, 2)
    dims, swapped = fields[place], swapped[place]
    if any(bytes_of != 4 for bytes_of in sizes) or min(dims) < 0:
        raise ValueError(
            f"the header's dimensions {data!r} are not Kaldi's little-endian int32"
        )
    if 0 in dims and any(dims):
        raise ValueError(
            f"invalid matrix shape {_shape(dims)}; copy or extract the file again"
        )
    quartiles = 8 * dims[1] if token == b"CM " else 0
    payload = width * prod(dims) + quartiles
    left = size - file.tell()
    if payload <= left:
        return Header(token, width, dims, payload, *extra)
    if min(swapped) > 0 and width * prod(swapped) <= left:
        raise ValueError(
            f"the header says {_shape(dims)}, or {_shape(swapped)} if it is "
            "big-endian; copy the file as text (copy-vector --binary=false) where it "
            "was made"
        )
    raise EOFError(
        f"truncated: a {kind} of {_shape(dims)} needs {payload} bytes, {left} are "
        "left; copy or extract the file again"
    )


def _shape(dims: tuple[int, ...]) -> str:
    return " x ".join(map(str, dims))


def skip_object(file: BinaryIO, size: int, kind: Kind) -> None:
    """Skip an object without decoding it; parameters and errors as `read_header`."""
    header = read_header(file, size, kind)
    if header is not None:
        file.seek(file.tell() + header.payload)
        return
    for _ in _text_rows(file, kind):
        pass


def refuse_rest(file: BinaryIO, size: int) -> None:
    """Raise a ValueError if more than white space follows an object in its own file."""
    # Text ends in a line end; nobody hides data behind 4096 blanks.
    rest = file.read(4096).lstrip()
    if rest:
        count = size - file.tell() + len(rest)
        raise ValueError(
            f"{count} bytes follow the object, starting with {rest[:16]!r}: two files "
            "were joined, or this is another kind of file; make it again"
        )


def as_double(values: Any) -> FloatArray:
    """Return an array, or a list of rows, in double precision.

    numpy would warn of the signalling NaN of a damaged file.
    """
    with np.errstate(invalid="ignore"):
        return np.array(values, np.float64)


# ---- compressed matrices -----------------------------------------------------------


def decode_compressed(header: Header, codes: bytes) -> Float32Array:
    """Decode CM (8 bit, with quartiles per column), CM2 (16 bit) or CM3 (8 bit)."""
    # NaN and infinity are for the caller to refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        if header.token == b"CM ":
            return _decode_quartiles(header, codes)
        step = np.float32(header.range) / np.float32(256**header.width - 1)
        steps = np.frombuffer(codes, f"<u{header.width}").reshape(header.dims)
        return np.float32(header.minimum) + step * steps.astype("f4")


def _decode_quartiles(header: Header, data: bytes) -> Float32Array:
    rows, columns = header.dims
    step = np.float32(header.range) / np.float32(65535)
    quartiles = np.frombuffer(data[: 8 * columns], "<u2").reshape(columns, 4)
    knots = np.float32(header.minimum) + step * quartiles.astype("f4")
    codes = np.frombuffer(data[8 * columns :], "u1").reshape(columns, rows)
    # A code is a position on a line through the column's quartiles at 0, 64, 192, 255.
    segment = np.digitize(codes, [65, 193])
    lower = np.take_along_axis(knots, segment, axis=1)
    upper = np.take_along_axis(knots, segment + 1, axis=1)
    origin = np.array([0, 64, 192], "f4")[segment]
    width = np.array([64, 128, 63], "f4")[segment]
    return np.ascontiguousarray((lower + (upper - lower) * (codes - origin) / width).T)


# ---- text --------------------------------------------------------------------------


def read_text(file: BinaryIO, kind: Kind) -> FloatArray:
    """Read `` [ 1 2 ]``, or a matrix with one row per line.

    Raises a ValueError if this is not such text, an EOFError if truncated.
    """
    rows: list[list[float]] = []
    for text in _text_rows(file, kind):
        if values := text.split():
            try:
                if b"_" in text:
                    raise ValueError("only Python reads 1_000 as a number")
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


def _text_rows(file: BinaryIO, kind: Kind) -> Iterator[bytes]:
    """Yield what is between the brackets of an object, line by line."""
    line = file.readline(_LONGEST_LINE)
    text = line.strip()
    if line and not text.startswith(b"["):
        raise ValueError(
            f"expected a Kaldi {kind} (binary mark or '['), found {line[:24]!r}; an "
            "archive needs its offset in the scp"
        )
    text = text[1:]
    missing = "nothing is there"
    while line:
        text, bracket, rest = text.partition(b"]")
        yield text
        if bracket:
            if rest.strip():
                found = rest[:24].decode("latin-1")
                raise ValueError(f"unexpected text after ']': {found!r}")
            return
        missing = "the closing ']' is missing"
        line = file.readline(_LONGEST_LINE)
        text = line.strip()
    raise EOFError(f"truncated: {missing}; copy or extract the file again")


def format_text(value: NDArray[np.floating]) -> str:
    """Return Kaldi's text form of a vector or matrix (7 significant digits)."""
    if value.ndim == 1:
        return f" [ {_format_row(value)}]\n"
    if value.shape[0] == 0:
        return " [ ]\n"
    return " [" + "".join(f"\n  {_format_row(row)}" for row in value) + "]\n"


def _format_row(row: NDArray[np.floating]) -> str:
    return "".join(f"{number:.7g} " for number in row.tolist())
