"""Kaldi's text tables: segments, utt2spk, spk2utt, reco2num_spk, labels and the like.

A ``scan_`` function yields a fault in place of each line that has one; the ``read_``
function of the same table raises the first.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from sys import intern
from typing import NamedTuple, TypeVar

from ssahc.core.errors import FormatError
from ssahc.io.files import atomic_write, gather, read_fields, to_number

T = TypeVar("T")
# Seconds: three years, longer than any recording.
LONGEST = 1e8


class Segment(NamedTuple):
    """A window of a recording, in seconds."""

    recording: str
    start: float
    end: float


def parse_number(text: str, what: str, path: Path, line: int) -> float:
    """Return `text` as a finite number, or raise a FormatError that names it."""
    try:
        value = to_number(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise FormatError(
            f"expected a number for the {what}, found {text[:24]!r}",
            path=path,
            line=line,
        )
    return value


def parse_time(text: str, what: str, path: Path, line: int) -> float:
    """Return `text` as a time in seconds, or raise a FormatError that names it.

    It may be negative.
    """
    value = parse_number(text, what, path, line)
    if value > LONGEST:
        raise FormatError(
            f"expected seconds, found {value:g} for the {what}, which is years; are "
            "these samples or milliseconds?",
            path=path,
            line=line,
        )
    return value


@dataclass(slots=True)
class _Line:
    """The line of a table that is being read: its key and what follows.

    One object goes through the whole table: a new one for each line would take as long
    as reading it.
    """

    path: Path
    number: int = 0
    key: str = ""
    values: list[str] = field(default_factory=list)

    def fault(self, message: str) -> FormatError:
        """Return an error that names file, line and key."""
        return FormatError(message, path=self.path, line=self.number, key=self.key)


def _scan(
    path: Path, form: str, count: int | None, parse: Callable[[_Line], T]
) -> Iterator[tuple[str, T | FormatError]]:
    """Yield key and entry of every line; `count` values each (None: any number)."""
    seen: dict[str, int] = {}
    line = _Line(path)
    for number, text, (name, *values) in read_fields(path):
        # Tables share the ids, of which each would hold a copy of its own.
        key = intern(name)
        line.number, line.key, line.values = number, key, values
        try:
            if count is not None and len(values) != count:
                raise FormatError(
                    f"expected '{form}', found {text.strip()[:80]!r}",
                    path=path,
                    line=number,
                )
            if key in seen:
                raise line.fault(
                    f"stands in line {seen[key]} already; keep one of the two"
                )
            seen[key] = number
            entry = parse(line)
        except FormatError as error:
            yield key, error
        else:
            yield key, entry


def scan_segments(path: Path) -> Iterator[tuple[str, Segment | FormatError]]:
    """Read a ``segments`` file: utterance, recording, start, end (seconds).

    Yields
    ------
    (str, Segment or FormatError)
        Utterance and segment; an error stands for a malformed line, a duplicate
        utterance, a negative time, or an end before its start. Zero-length segments
        are let through.

    Raises
    ------
    FormatError
        If the file as a whole is unusable.
    """
    return _scan(path, "utterance recording start end", 3, _parse_segment)


def _parse_segment(line: _Line) -> Segment:
    recording, first, last = line.values
    start = parse_time(first, "start", line.path, line.number)
    end = parse_time(last, "end", line.path, line.number)
    if not 0 <= start <= end:
        raise line.fault(
            f"expected 0 <= start <= end, found start {start:g} and end {end:g}; "
            "correct or remove the line"
        )
    return Segment(intern(recording), start, end)


def read_segments(path: Path) -> dict[str, Segment]:
    """Read a ``segments`` file: utterance, recording, start, end (seconds).

    Raises
    ------
    FormatError
        The first that `scan_segments` meets.
    """
    return gather(scan_segments(path))


def scan_spk2utt(path: Path) -> Iterator[tuple[str, list[str] | FormatError]]:
    """Read ``spk2utt`` (or ``reco2utt``): key, then its utterances in order.

    Yields
    ------
    (str, list of str or FormatError)
        An error stands for a duplicate key.

    Raises
    ------
    FormatError
        If the file as a whole is unusable.
    """
    return _scan(path, "recording utterance...", None, _intern_values)


def _intern_values(line: _Line) -> list[str]:
    return [intern(value) for value in line.values]


def read_spk2utt(path: Path) -> dict[str, list[str]]:
    """Read ``spk2utt`` (or ``reco2utt``): key, then its utterances in order."""
    return gather(scan_spk2utt(path))


def scan_utt2spk(path: Path) -> Iterator[tuple[str, str | FormatError]]:
    """Read ``utt2spk``: utterance, then its speaker (here: recording).

    Yields
    ------
    (str, str or FormatError)
        An error stands for a malformed line or a duplicate utterance.

    Raises
    ------
    FormatError
        If the file as a whole is unusable.
    """
    return _scan(path, "utterance recording", 1, lambda line: line.values[0])


def read_utt2spk(path: Path) -> dict[str, str]:
    """Read ``utt2spk``: utterance, then its speaker (here: recording)."""
    return gather(scan_utt2spk(path))


def _whole_number(fewest: int, what: str) -> Callable[[_Line], int]:
    """Return a parser of numbers that are not below `fewest`."""

    def parse(line: _Line) -> int:
        (text,) = line.values
        number = parse_count(text)
        if number is None or number < fewest:
            raise line.fault(f"expected {what}, found {text[:24]!r}")
        return number

    return parse


def parse_count(text: str) -> int | None:
    """Return a whole number of at most nine digits; None if `text` is no such."""
    whole = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if whole else None


def scan_reco2num_spk(path: Path) -> Iterator[tuple[str, int | FormatError]]:
    """Read ``reco2num_spk``: recording, then its number of speakers.

    Yields
    ------
    (str, int or FormatError)
        An error stands for a malformed line, a duplicate recording, or a number
        below 1.

    Raises
    ------
    FormatError
        If the file as a whole is unusable.
    """
    parse = _whole_number(1, "a whole number of speakers, 1 or more")
    return _scan(path, "recording count", 1, parse)


def read_reco2num_spk(path: Path) -> dict[str, int]:
    """Read ``reco2num_spk``: recording, then its number of speakers.

    Raises
    ------
    FormatError
        The first that `scan_reco2num_spk` meets.
    """
    return gather(scan_reco2num_spk(path))


def read_reco2min_max(path: Path) -> dict[str, tuple[int, int]]:
    """Read ``reco2min_max``: recording, then fewest and most speakers it may have.

    Raises
    ------
    FormatError
        On a malformed line, a duplicate recording, or bounds other than
        1 <= min <= max.
    """
    return gather(_scan(path, "recording min max", 2, _parse_bounds))


def _parse_bounds(line: _Line) -> tuple[int, int]:
    fewest, most = map(parse_count, line.values)
    if fewest is None or most is None or not 1 <= fewest <= most:
        raise line.fault(
            "expected whole numbers of speakers with 1 <= min <= max, found "
            f"{' '.join(line.values)[:48]!r}"
        )
    return fewest, most


def read_names(path: Path) -> dict[str, int]:
    """Read the first field of every line, such as the recordings of a ``spk2utt``.

    Returns
    -------
    dict
        Name to the number of its line, in the file's order.

    Raises
    ------
    FormatError
        If a name stands there twice.
    """
    return gather(_scan(path, "name ...", None, lambda line: line.number))


def read_attributes(path: Path | str) -> dict[str, str]:
    """Read a table of what recordings are: recording, then its language, domain, ...

    Everything after the recording is the value, with single spaces between words.

    Raises
    ------
    FormatError
        On a recording without a value, or a duplicate recording.
    """
    return gather(_scan(Path(path), "recording value", None, _parse_attribute))


def _parse_attribute(line: _Line) -> str:
    if not line.values:
        raise line.fault(
            "expected 'recording value', found no value; add one or remove the line"
        )
    return " ".join(line.values)


def read_labels(path: Path) -> dict[str, int]:
    """Read Kaldi's ``labels``: utterance, then its label (counted from 1).

    Raises
    ------
    FormatError
        On a malformed line or a duplicate utterance.
    """
    return gather(_scan(path, "utterance label", 1, _whole_number(0, "a label")))


def write_labels(path: Path, labels: Iterable[tuple[str, int]]) -> None:
    """Write ``labels`` as ``agglomerative-cluster`` does.

    Parameters
    ----------
    path : Path
    labels : iterable of (str, int)
        Utterance and 0-based cluster; the file counts from 1.
    """
    with atomic_write(path) as file:
        file.writelines(_label_lines(labels))


def format_labels(labels: Iterable[tuple[str, int]]) -> str:
    """Return the lines of ``labels``; Kaldi ends each with a space."""
    return "".join(_label_lines(labels))


def _label_lines(labels: Iterable[tuple[str, int]]) -> Iterator[str]:
    return (f"{utterance} {label + 1} \n" for utterance, label in labels)
