"""Checkpoints and networks: float32 arrays and a text, in a zip of ``.npy`` files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

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


def is_checkpoint(path: Path) -> bool:
    """Whether a file looks like one of `write_checkpoint`, which may be damaged."""
    try:
        with open_regular(path) as file, ZipFile(file) as archive:
            return f"{_RECORD}.npy" in archive.namelist()
    except (OSError, BadZipFile):
        return False


def read_checkpoint(
    path: Path, way_out: str = "remove its folder to start anew"
) -> tuple[dict[str, Float32Array], str]:
    """Read arrays by name, and the text. Pickled objects are refused.

    Raises a FormatError if the file is missing, or none of `write_checkpoint`; it ends
    with the way out.
    """
    try:
        with open_regular(path) as file:
            stored = np.load(file, allow_pickle=False)
            arrays = {name: stored[name] for name in stored.files}
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
            f"is broken, or no checkpoint of ssahc; {way_out}", path=path
        ) from error
    return arrays, record
