"""Kaldi's ``<Plda>`` object, binary and text."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np

from ssahc.core.errors import FormatError
from ssahc.core.model import find_plda_fault
from ssahc.core.types import FloatArray, Plda
from ssahc.io.ark import read_object
from ssahc.io.files import atomic_write, open_regular, unreadable
from ssahc.io.objects import Kind, as_double, format_text, refuse_rest

_MARK, _OPEN, _CLOSE = b"\0B", b"<Plda> ", b"</Plda>"
_PARTS: tuple[tuple[str, Kind], ...] = (
    ("mean", "vector"),
    ("transform", "matrix"),
    ("psi", "vector"),
)


def read_plda(path: Path) -> Plda:
    """Read a ``plda`` file as ``ivector-compute-plda`` leaves it.

    Raises a FormatError if it is missing, no ``<Plda>``, truncated, or inconsistent.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    mark = _MARK if data.startswith(_MARK) else b""
    body = data[len(mark) :]
    if not body.startswith(_OPEN):
        raise FormatError(
            f"expected a Kaldi <Plda> object, found {data[:24]!r}; "
            "give the file that ivector-compute-plda wrote",
            path=path,
        )
    body = body[len(_OPEN) :]
    parts: dict[str, FloatArray] = {}
    for name, kind in _PARTS:
        # Only the whole object has a binary mark, its parts do not.
        stream = BytesIO(mark + body)
        try:
            part = read_object(stream, len(mark) + len(body), kind)
        except (ValueError, EOFError) as error:
            raise FormatError(str(error), path=path, key=name) from error
        parts[name] = as_double(part)
        body = body[stream.tell() - len(mark) :]
    try:
        if not body.startswith(_CLOSE):
            raise ValueError(
                f"expected </Plda> after the three parts, found {body[:24]!r}"
            )
        rest = body[len(_CLOSE) :]
        refuse_rest(BytesIO(rest), len(rest))
    except ValueError as error:
        raise FormatError(str(error), path=path) from error
    plda = Plda(**parts)
    if fault := _find_fault(plda):
        raise FormatError(fault, path=path)
    return plda


def _find_fault(plda: Plda) -> str | None:
    rows, columns = plda.transform.shape
    if rows != columns:
        return f"expected a square transform, found {rows} x {columns}"
    return find_plda_fault(plda, thorough=True)


def write_plda(path: Path, plda: Plda, *, binary: bool = True) -> None:
    """Write a ``<Plda>`` object, in double precision as Kaldi does."""
    values = (plda.mean, plda.transform, plda.psi)
    with atomic_write(path, "wb") as file:
        if binary:
            file.write(_MARK + _OPEN)
            for value in values:
                file.write(b"DV " if value.ndim == 1 else b"DM ")
                for dim in value.shape:
                    file.write(struct.pack("<bi", 4, dim))
                file.write(np.ascontiguousarray(value, "<f8").tobytes())
        else:
            file.write(_OPEN + "".join(map(format_text, values)).encode())
        file.write(_CLOSE + b" ")
