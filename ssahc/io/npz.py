"""Recordings in numpy's ``.npz`` files."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Recording
from ssahc.io.files import is_word, open_regular, unreadable

_XVECTORS, _SEGMENTS, _UTTERANCES = "xvectors", "segments", "utterances"
_FORM = (
    f"expected an .npz file with arrays {_XVECTORS} (N, D) and {_SEGMENTS} (N, 2) in "
    f"seconds, and optionally {_UTTERANCES} (N,), as numpy.savez writes it"
)
# What numpy and zipfile raise for damaged files, and for pickles, which are not read.
_UNREADABLE = (ValueError, EOFError, BadZipFile, zlib.error, RuntimeError)


def read_npz(path: Path) -> Recording:
    """Read one recording, whose id is the name of the file without its ending.

    Raises a FormatError if the file is not such an .npz, or holds pickled objects, and
    a DataError if its arrays do not make a recording.
    """
    arrays = _read_arrays(path)
    missing = {_XVECTORS, _SEGMENTS} - arrays.keys()
    if missing:
        found = ", ".join(sorted(arrays)) or "none"
        raise FormatError(f"{_FORM}; found arrays {found}", path=path)
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
        if not is_word(name):
            raise DataError(f"{path}: ids must not have white space, found {name!r}")
    return recording


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with open_regular(path) as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise FormatError(f"{_FORM}; found a single array", path=path)
            with loaded:
                wanted = {_XVECTORS, _SEGMENTS, _UTTERANCES}.intersection(loaded.files)
                if {_XVECTORS, _SEGMENTS} <= wanted:
                    return {name: loaded[name] for name in wanted}
                return dict.fromkeys(loaded.files, np.empty(0))
    except OSError as error:
        raise unreadable(path, error) from error
    except _UNREADABLE as error:
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
