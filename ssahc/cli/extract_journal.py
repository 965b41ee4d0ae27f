"""Journal of a run that extracts x-vectors: what is done survives any interruption.

While the run is under way, ``OUT_DIR/.unfinished`` holds, of every recording as soon as
it is done, a matrix of its x-vectors in ``xvectors.N`` and then its lines of
``segments`` in ``segments.N``; N counts the processes that have continued the run. A
recording is done if it has as many whole lines as its matrix has rows.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from ssahc.cli.resume import add_to, free_number
from ssahc.core.errors import FormatError
from ssahc.core.types import Recording
from ssahc.io.ark import index_table, read_entries, write_entry
from ssahc.io.files import open_regular, split_fields, unreadable
from ssahc.io.scp import ScpEntry
from ssahc.io.xvector_writer import segment_lines


class _Place(NamedTuple):
    """Where the x-vectors and the lines of segments of a recording are."""

    matrix: ScpEntry
    segments: Path
    offset: int
    rows: int


class ExtractJournal:
    """The recordings that are done; a context manager within which others are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places = _read_back(folder)

    @property
    def done(self) -> set[str]:
        """Ids of the recordings that are done."""
        return set(self._places)

    def __enter__(self) -> Self:
        vectors, segments = self._paths(free_number(self._paths))
        # Not "xb": kaldi_io insists on a file whose mode attribute is "wb".
        self._vectors = open(vectors, "wb")
        self._segments = open(segments, "xb")
        return self

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"xvectors.{number}", self.folder / f"segments.{number}"

    def __exit__(self, *error: Any) -> None:
        # What has been added was flushed.
        for file in (self._vectors, self._segments):
            with suppress(OSError):
                file.close()

    def add(self, recording: Recording) -> None:
        """Keep the x-vectors of a recording; UsageError if the disk is full."""
        vectors, segments = (
            Path(file.name) for file in (self._vectors, self._segments)
        )
        lines = "".join(segment_lines(recording)).encode()
        with add_to(self._segments, self.folder):
            matrix = recording.xvectors.astype(np.float32)
            offset = write_entry(self._vectors, recording.id, matrix)
            self._vectors.flush()
            # After a power failure, too, lines must imply a complete matrix.
            os.fsync(self._vectors.fileno())
            start = self._segments.tell()
            self._segments.write(lines)
        entry = ScpEntry(recording.id, vectors, offset, vectors, 0)
        self._places[recording.id] = _Place(entry, segments, start, len(recording))

    def read(self, recordings: Iterable[str]) -> Iterator[Recording]:
        """Yield recordings that are done, in the order of their ids."""
        for name in recordings:
            place = self._places[name]
            ((_, matrix),) = read_entries([place.matrix], "matrix")
            if isinstance(matrix, FormatError):
                raise matrix
            try:
                with open_regular(place.segments) as file:
                    file.seek(place.offset)
                    lines = [file.readline().decode() for _ in range(place.rows)]
            except OSError as error:
                raise unreadable(place.segments, error) from error
            fields = [split_fields(line.rstrip("\n")) for line in lines]
            names = [utterance for utterance, *_ in fields]
            times = [(float(start), float(end)) for _, _, start, end in fields]
            yield Recording.from_arrays(name, matrix, times, names)


def _read_back(folder: Path) -> dict[str, _Place]:
    """Return the places of recordings that are done in an interrupted run."""
    # Both files of a process have the same number.
    matrices: dict[tuple[str, str], tuple[ScpEntry, int]] = {}
    for path in folder.glob("xvectors.[0-9]*"):
        # Of an archive that was cut off, what comes before is there.
        with suppress(FormatError):
            entries, _ = index_table(path, "matrix")
            for name, matrix in read_entries(entries.values(), "matrix"):
                if not isinstance(matrix, FormatError):
                    matrices[path.suffix, name] = entries[name], len(matrix)
    places: dict[str, _Place] = {}
    for path in folder.glob("segments.[0-9]*"):
        for name, offset, count in _groups(path):
            entry, expected = matrices.get((path.suffix, name), (None, 0))
            if entry is not None and count == expected:
                places[name] = _Place(entry, path, offset, count)
    return places


def _groups(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield recordings, where their lines begin, and how many whole ones there are."""
    try:
        with open_regular(path) as file:
            whole, _, _ = file.read().rpartition(b"\n")
    except OSError as error:
        raise unreadable(path, error) from error
    last, begin, count, offset = "", 0, 0, 0
    for line in whole.split(b"\n"):
        name = split_fields(line.decode("utf-8", "replace"))[1:2]
        if count and name != [last]:
            yield last, begin, count
            count = 0
        if not count:
            last, begin = "".join(name), offset
        count += 1
        offset += len(line) + 1
    if last:
        yield last, begin, count
