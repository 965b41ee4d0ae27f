"""Score matrices of recordings, and the utterances of their rows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssahc.core.errors import DataError, FormatError
from ssahc.io.ark import Array, index_table, read_entries
from ssahc.io.files import strip_rspecifier
from ssahc.io.scp import ScpEntry
from ssahc.io.text import read_spk2utt

_logger = logging.getLogger(__name__)
_SPK2UTT = "spk2utt"


@dataclass(frozen=True)
class ScoreTable:
    """The archive or scp of score matrices, and the locations of recordings in it.

    `fault` is why the rest of the archive cannot be read; `rows` are the utterances of
    the rows of each recording, None if unknown.
    """

    path: Path
    entries: dict[str, ScpEntry]
    fault: FormatError | None
    rows: dict[str, list[str]] | None

    @property
    def files(self) -> list[Path]:
        """The archives, the scp and the ``spk2utt``; not all need to exist."""
        archives = {entry.archive for entry in self.entries.values()}
        return [self.path, self.path.parent / _SPK2UTT, *archives]


def open_scores(path: Path, *, rows: dict[str, list[str]] | None = None) -> ScoreTable:
    """Locate the matrices of an archive or scp as ``score_plda.sh`` writes them.

    The utterances of their rows are `rows`, or those in the ``spk2utt`` that the script
    writes beside them. Raises a FormatError if a file cannot be used at all.
    """
    entries, fault = index_table(path, "matrix")
    path = strip_rspecifier(path)[1]
    beside = path.parent / _SPK2UTT
    if rows is None and beside.exists():
        rows = read_spk2utt(beside)
    if rows is None:
        _logger.info(
            f"{path}: no {_SPK2UTT} beside it: assuming that rows are in the order of "
            "that of the x-vectors"
        )
    return ScoreTable(path, entries, fault, rows)


def read_scores(table: ScoreTable, recording: str, utterances: Sequence[str]) -> Array:
    """Read the (N, N) matrix of a recording, whose rows must be of N utterances.

    Raises a DataError if it is missing, unreadable, or of other utterances.
    """
    entry = table.entries.get(recording)
    if entry is None:
        missing = f"{table.path}: has no score matrix for this recording; score it"
        raise DataError(str(table.fault or missing))
    ((_, matrix),) = read_entries([entry], "matrix")
    if isinstance(matrix, FormatError):
        raise DataError(str(matrix))
    count = len(utterances)
    if matrix.shape != (count, count):
        raise DataError(
            f"{table.path}: its matrix is {' x '.join(map(str, matrix.shape))}, but "
            f"there are {count} x-vectors; score this folder"
        )
    if table.rows is not None and table.rows.get(recording) != list(utterances):
        raise DataError(
            f"{table.path.parent / _SPK2UTT}: lists other utterances, or in another "
            "order, than that of the x-vectors; score this folder"
        )
    return matrix
