"""Kaldi's text tables: segments, utt2spk, spk2utt, reco2num_spk, labels."""

from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from ssahc.errors import FormatError
from ssahc.io.files import atomic_write, read_lines, split_fields


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


def _read_keyed(
    path: Path, form: str, count: int | None
) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line number, key and values; `count` values each (None: any number)."""
    seen: dict[str, int] = {}
    for number, line in read_lines(path):
        key, *values = split_fields(line)
        if count is not None and len(values) != count:
            raise FormatError(
                f"expected '{form}', found {line.strip()!r}", path=path, line=number
            )
        if key in seen:
            raise FormatError(
                f"stands in line {seen[key]} already; keep one of the two",
                path=path,
                line=number,
                key=key,
            )
        seen[key] = number
        yield number, key, values


def _read_whole_numbers(
    path: Path, form: str, *, fewest: int, what: str
) -> dict[str, int]:
    """Read ``key number`` lines."""
    numbers: dict[str, int] = {}
    for line, key, (text,) in _read_keyed(path, form, 1):
        number = _whole_number(text)
        if number is None or number < fewest:
            raise FormatError(
                f"expected {what}, found {text[:24]!r}", path=path, line=line, key=key
            )
        numbers[key] = number
    return numbers


def _whole_number(text: str) -> int | None:
    """Return a number of at most nine digits; None if the text is something else."""
    whole = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if whole else None


def read_segments(path: Path) -> dict[str, Segment]:
    """Read a ``segments`` file: utterance, recording, start, end (seconds).

    Raises
    ------
    FormatError
        On a malformed line, a duplicate utterance, a negative time, or an end before
        its start. Zero-length segments are let through.
    """
    table: dict[str, Segment] = {}
    form = "utterance recording start end"
    for number, utterance, (recording, *times) in _read_keyed(path, form, 3):
        start = parse_number(times[0], "start", path, number)
        end = parse_number(times[1], "end", path, number)
        if not 0 <= start <= end:
            raise FormatError(
                f"expected 0 <= start <= end, found start {start:g} and end {end:g}; "
                "correct or remove the line",
                path=path,
                line=number,
                key=utterance,
            )
        table[utterance] = Segment(recording, start, end)
    return table


def read_spk2utt(path: Path) -> dict[str, list[str]]:
    """Read ``spk2utt`` (or ``reco2utt``): key, then its utterances in order."""
    lines = _read_keyed(path, "recording utterance...", None)
    return {key: values for _, key, values in lines}


def read_utt2spk(path: Path) -> dict[str, str]:
    """Read ``utt2spk``: utterance, then its speaker (here: recording)."""
    lines = _read_keyed(path, "utterance recording", 1)
    return {key: value for _, key, (value,) in lines}


def read_reco2num_spk(path: Path) -> dict[str, int]:
    """Read ``reco2num_spk``: recording, then its number of speakers.

    Raises
    ------
    FormatError
        On a malformed line, a duplicate recording, or a number below 1.
    """
    what = "a whole number of speakers, 1 or more"
    return _read_whole_numbers(path, "recording count", fewest=1, what=what)


def read_reco2min_max(path: Path) -> dict[str, tuple[int, int]]:
    """Read ``reco2min_max``: recording, then fewest and most speakers it may have.

    Raises
    ------
    FormatError
        On a malformed line, a duplicate recording, or bounds other than
        1 <= min <= max.
    """
    table: dict[str, tuple[int, int]] = {}
    for line, key, fields in _read_keyed(path, "recording min max", 2):
        fewest, most = (_whole_number(text) for text in fields)
        if fewest is None or most is None or not 1 <= fewest <= most:
            raise FormatError(
                "expected whole numbers of speakers with 1 <= min <= max, found "
                f"{' '.join(fields)[:48]!r}",
                path=path,
                line=line,
                key=key,
            )
        table[key] = (fewest, most)
    return table


def read_labels(path: Path) -> dict[str, int]:
    """Read Kaldi's ``labels``: utterance, then its label (counted from 1).

    Raises
    ------
    FormatError
        On a malformed line or a duplicate utterance.
    """
    return _read_whole_numbers(path, "utterance label", fewest=0, what="a label")


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
