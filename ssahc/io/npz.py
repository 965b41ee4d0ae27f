"""Recordings in numpy's ``.npz`` files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Recording
from ssahc.io.files import is_id, open_regular, unreadable
from ssahc.io.text import LONGEST

# Names of other arrays that a message lists.
_MOST_NAMED = 5
_XVECTORS, _SEGMENTS, _UTTERANCES = "xvectors", "segments", "utterances"
_FORM = (
    f"expected an .npz file with arrays {_XVECTORS} (N, D) and {_SEGMENTS} (N, 2) in "
    f"seconds, and optionally {_UTTERANCES} (N,), as numpy.savez writes it"
)


def read_npz(path: Path) -> Recording:
    """Read one recording, whose id is the name of the file without its ending.

    Raises a FormatError if the file is not such an .npz, or holds pickled objects, and
    a DataError if its arrays do not make a recording.
    """
    arrays = _read_arrays(path)
    if {_XVECTORS, _SEGMENTS} - arrays.keys():
        found = ", ".join(map(repr, arrays)) or "none"
        raise FormatError(f"{_FORM}; found {found}", path=path)
    names = None
    if _UTTERANCES in arrays:
        names = _read_names(arrays[_UTTERANCES], path)
    try:
        recording = Recording.from_arrays(
            path.stem, arrays[_XVECTORS], arrays[_SEGMENTS], names
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for name in (recording.id, *recording.utterances):
        if not is_id(name):
            raise DataError(f"{path}: ids must not have white space, found {name!r}")
    if recording.segments.max() > LONGEST:
        raise DataError(
            f"{path}: expected seconds, found {recording.segments.max():g}, which is "
            "years; are these samples or milliseconds?"
        )
    return recording


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a recording, or the names of all others."""
    try:
        with open_regular(path) as file:
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                return {"a single array": stored}
            wanted = {_XVECTORS, _SEGMENTS, _UTTERANCES}.intersection(stored.files)
            if {_XVECTORS, _SEGMENTS} <= wanted:
                # Of a member that is no array, numpy returns the bytes.
                return {name: np.asarray(stored[name]) for name in wanted}
            return dict.fromkeys(stored.files[:_MOST_NAMED], np.empty(0))
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError:
        raise
    # What zipfile, zlib and numpy raise on broken files is not documented.
    except Exception as error:
        fault = "is damaged, or holds pickled objects, which are not read"
        raise FormatError(f"{fault}; {_FORM}", path=path) from error


def _read_names(names: NDArray[np.generic], path: Path) -> list[str]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise FormatError(
            f"{_UTTERANCES} must be a vector of text, found {names.dtype} in "
            f"{names.ndim} dimensions",
            path=path,
        )
    return [str(name) for name in names]
