"""Checkpoints of interrupted computations: arrays in a zip of ``.npy`` files."""

from collections.abc import Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssahc.core.errors import FormatError
from ssahc.core.types import Float32Array
from ssahc.io.files import atomic_write, open_regular, unreadable

# The name of the text.
_RECORD = "record"


def write_checkpoint(
    path: Path, arrays: Mapping[str, Float32Array], record: str
) -> None:
    """Write arrays by name, and a text for everything else."""
    with atomic_write(path, "wb") as file:
        stored: dict[str, Any] = {_RECORD: np.array(record), **arrays}
        np.savez(file, **stored)


def read_checkpoint(path: Path) -> tuple[dict[str, Float32Array], str]:
    """Read arrays by name, and the text. Pickled objects are refused.

    Raises a FormatError if the file is missing, or none of `write_checkpoint`.
    """
    try:
        with open_regular(path) as file, ZipFile(file) as stored:
            parts = stored.infolist()
            # Refusing compression protects from zip bombs.
            if any(part.compress_size != part.file_size for part in parts):
                raise ValueError("compressed")
            if sum(part.file_size for part in parts) > path.stat().st_size:
                raise ValueError("longer than the file")
            arrays = {
                part.filename.removesuffix(".npy"): _decode(stored.read(part))
                for part in parts
            }
        record = str(arrays.pop(_RECORD))
        if any(array.dtype != np.float32 for array in arrays.values()):
            raise ValueError("not float32")
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError:
        raise
    # What zipfile, zlib and numpy raise on broken files is not documented.
    except Exception as error:
        raise FormatError(
            "is broken, or no checkpoint of ssahc; remove its folder to start anew",
            path=path,
        ) from error
    return arrays, record


def _decode(data: bytes) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, whose size must match its header."""
    stream = BytesIO(data)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("not what np.savez writes")
    shape, in_columns, dtype = npy.read_array_header_1_0(stream)
    start = stream.tell()
    if min(shape, default=0) < 0 or dtype.itemsize * prod(shape) != len(data) - start:
        raise ValueError("another size than the header says")
    order: Literal["F", "C"] = "F" if in_columns else "C"
    array = np.frombuffer(data, dtype, offset=start) if prod(shape) else np.empty(0)
    return array.reshape(shape, order=order).astype(dtype)
