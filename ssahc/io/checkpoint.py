"""Arrays that an interrupted computation goes on from: a zip of ``.npy`` files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssahc.errors import FormatError
from ssahc.io.files import atomic_write, open_regular, unreadable
from ssahc.types import Float32Array

# What says, as text, all that is no array.
_RECORD = "record"


def write_checkpoint(
    path: Path, arrays: Mapping[str, Float32Array], record: str
) -> None:
    """Write arrays by name, and a text.

    Parameters
    ----------
    path : Path
        Takes the place of the file there once it is complete.
    arrays : mapping
    record : str
    """
    with atomic_write(path, "wb") as file:
        stored: dict[str, Any] = {_RECORD: np.array(record), **arrays}
        np.savez(file, **stored)


def read_checkpoint(path: Path) -> tuple[dict[str, Float32Array], str]:
    """Read arrays by name, and the text. Nothing that is pickled is read.

    Raises
    ------
    FormatError
        If the file is missing, or not one that `write_checkpoint` wrote.
    """
    try:
        with open_regular(path) as file:
            stored = np.load(file, allow_pickle=False)
            arrays = {name: stored[name] for name in stored.files}
        record = str(arrays.pop(_RECORD))
    except OSError as error:
        raise unreadable(path, error) from error
    # Nobody says what zipfile, zlib and numpy raise on a broken file, all in all.
    except Exception as error:
        raise FormatError(
            "is broken, or no checkpoint of ssahc; remove its folder to start anew",
            path=path,
        ) from error
    return arrays, record
