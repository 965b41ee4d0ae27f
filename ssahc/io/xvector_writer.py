"""Writing x-vector folders, as ``extract_xvectors.sh`` leaves them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.types import FloatArray, Recording
from ssahc.io.ark import ArchiveWriter
from ssahc.io.files import atomic_write, is_id
from ssahc.io.folders import make_folder
from ssahc.io.xvectors import SCP, SEGMENTS, SPK2UTT, UTT2SPK

_ARCHIVE = "xvector.ark"
# What `write_xvector_dir` writes.
FILES = (_ARCHIVE, SCP, SEGMENTS, UTT2SPK, SPK2UTT)


def write_xvector_dir(path: Path | str, recordings: Iterable[Recording]) -> None:
    """Write recordings as an x-vector folder: float32 archive, tables in order.

    Parameters
    ----------
    path : Path or str
        Created if missing; its tables and archive are replaced.
    recordings : iterable of Recording
        Written one by one.

    Raises
    ------
    DataError
        If ids repeat or have white space; then nothing is written.
    """
    path = Path(path)
    make_folder(path)
    with atomic_write(path / SEGMENTS) as segments:
        write_vectors(path, _list_windows(recordings, segments))


def _list_windows(
    recordings: Iterable[Recording], segments: IO[str]
) -> Iterator[tuple[str, str, FloatArray]]:
    """Yield the rows of `write_vectors`; write their segments on the way."""
    seen: set[tuple[str, str]] = set()
    for recording in recordings:
        ids = [("window", utterance) for utterance in recording.utterances]
        for kind, name in [("recording", recording.id), *ids]:
            if not is_id(name):
                raise DataError(f"tables need ids without white space, found {name!r}")
            if (kind, name) in seen:
                raise DataError(f"{kind} {name!r} is there twice; give each its own id")
            seen.add((kind, name))
        segments.writelines(segment_lines(recording))
        for utterance, vector in zip(
            recording.utterances, recording.xvectors, strict=True
        ):
            yield utterance, recording.id, vector


def segment_lines(recording: Recording) -> Iterator[str]:
    """Yield the lines of ``segments`` of a recording."""
    for utterance, (start, end) in zip(
        recording.utterances, recording.segments, strict=True
    ):
        times = f"{_format_time(start)} {_format_time(end)}"
        yield f"{utterance} {recording.id} {times}\n"


def _format_time(seconds: float) -> str:
    """Return a time with three decimals, or as many as it has."""
    return np.format_float_positional(seconds, min_digits=3)


def write_vectors(folder: Path, rows: Iterable[tuple[str, str, FloatArray]]) -> None:
    """Write (utterance, speaker, x-vector) rows: float32 archive, scp, both tables."""
    groups: dict[str, list[str]] = {}
    with (
        ArchiveWriter(folder / _ARCHIVE, folder / SCP) as archive,
        atomic_write(folder / UTT2SPK) as utt2spk,
    ):
        for utterance, speaker, vector in rows:
            archive.write(utterance, vector.astype(np.float32))
            utt2spk.write(f"{utterance} {speaker}\n")
            groups.setdefault(speaker, []).append(utterance)
    with atomic_write(folder / SPK2UTT) as spk2utt:
        for speaker, group in groups.items():
            spk2utt.write(f"{speaker} {' '.join(group)}\n")
