"""Kaldi's text tables: segments, utt2spk, spk2utt, reco2num_spk, labels."""

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from ssahc.errors import FormatError
from ssahc.io.files import atomic_write, read_lines


class Segment(NamedTuple):
    """A window of a recording, in seconds."""

    recording: str
    start: float
    end: float


def parse_number(text: str, what: str, path: Path, line: int) -> float:
    """Return `text` as a finite number, or raise a FormatError that names it."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise FormatError(
            f"expected a number for the {what}, found {text!r}", path=path, line=line
        )
    return value


def _read_keyed(path: Path, fields: str, count: int | None) -> dict[str, list[str]]:
    """Read ``key value...`` lines with `count` values each (None: any number)."""
    table: dict[str, list[str]] = {}
    for number, line in read_lines(path):
        key, *values = line.split()
        if count is not None and len(values) != count:
            raise FormatError(
                f"expected '{fields}', found {line.strip()!r}", path=path, line=number
            )
        if key in table:
            raise FormatError(
                "stands twice in this file; keep one line",
                path=path,
                line=number,
                key=key,
            )
        table[key] = values
    return table


def read_segments(path: Path) -> dict[str, Segment]:
    """Read a ``segments`` file: utterance, recording, start, end (seconds).

    Raises
    ------
    FormatError
        On a malformed line, a duplicate utterance, a negative time, or an end before
        its start. Zero-length segments are let through.
    """
    table: dict[str, Segment] = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 4:
            raise FormatError(
                f"expected 'utterance recording start end', found {line.strip()!r}",
                path=path,
                line=number,
            )
        utterance, recording = fields[:2]
        start = parse_number(fields[2], "start", path, number)
        end = parse_number(fields[3], "end", path, number)
        if not 0 <= start <= end:
            raise FormatError(
                f"expected 0 <= start <= end, found start {start:g} and end {end:g}; "
                "correct or remove the line",
                path=path,
                line=number,
                key=utterance,
            )
        if utterance in table:
            raise FormatError(
                "utterance stands twice; keep one line",
                path=path,
                line=number,
                key=utterance,
            )
        table[utterance] = Segment(recording, start, end)
    return table


def read_spk2utt(path: Path) -> dict[str, list[str]]:
    """Read ``spk2utt`` (or ``reco2utt``): key, then its utterances in order."""
    return _read_keyed(path, "recording utterance...", None)


def read_utt2spk(path: Path) -> dict[str, str]:
    """Read ``utt2spk``: utterance, then its speaker (here: recording)."""
    table = _read_keyed(path, "utterance recording", 1)
    return {key: values[0] for key, values in table.items()}


def read_reco2num_spk(path: Path) -> dict[str, int]:
    """Read ``reco2num_spk``: recording, then its number of speakers (1 or more)."""
    counts: dict[str, int] = {}
    for key, (value,) in _read_keyed(path, "recording count", 1).items():
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            raise FormatError(
                f"expected a whole number of speakers, 1 or more, found {value!r}",
                path=path,
                key=key,
            )
        counts[key] = int(value)
    return counts


def read_labels(path: Path) -> dict[str, int]:
    """Read Kaldi's ``labels``: utterance, then its label (counted from 1)."""
    labels: dict[str, int] = {}
    for key, (value,) in _read_keyed(path, "utterance label", 1).items():
        if not (value.isascii() and value.isdigit()):
            raise FormatError(f"expected a label, found {value!r}", path=path, key=key)
        labels[key] = int(value)
    return labels


def write_labels(path: Path, labels: Iterable[tuple[str, int]]) -> None:
    """Write ``labels`` as ``agglomerative-cluster`` does.

    Parameters
    ----------
    path : Path
    labels : iterable of (str, int)
        Utterance and 0-based cluster; the file counts from 1.
    """
    with atomic_write(path) as file:
        # Kaldi ends the line with a space.
        file.writelines(f"{utterance} {label + 1} \n" for utterance, label in labels)
