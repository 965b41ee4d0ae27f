"""Kaldi's text tables: segments, utt2spk, spk2utt, reco2num_spk, labels and the like.

Readers raise the FormatError of the first malformed line, or line with a key that is
in an earlier one, unless `on_fault` takes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from sys import intern
from typing import NamedTuple, TypeVar

import numpy as np

from ssahc.core.errors import FormatError
from ssahc.core.types import Float32Array, FloatArray
from ssahc.io.files import OnFault, atomic_write, raise_fault, read_fields, to_number

T = TypeVar("T")
# Seconds: three years, longer than any recording.
LONGEST = 1e8
# Probabilities of numbers of speakers below this are left out of ``speaker_posterior``.
_LEAST_PROBABILITY = 0.005


class Segment(NamedTuple):
    """A window of a recording, in seconds."""

    recording: str
    start: float
    end: float


def times_of(segments: Mapping[str, Segment], utterances: Iterable[str]) -> FloatArray:
    """Return start and end of the segments of utterances (N, 2)."""
    times = [segments[name][1:] for name in utterances]
    return np.array(times, np.float64).reshape(-1, 2)


# ---- fields ------------------------------------------------------------------------


def parse_number(text: str, what: str) -> float:
    """Return `text` as a finite number, or raise a ValueError that names it."""
    try:
        value = to_number(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"expected a number for the {what}, found {text[:24]!r}")
    return value


def parse_time(text: str, what: str) -> float:
    """Return `text` as seconds, maybe negative, or raise a ValueError that names it."""
    value = parse_number(text, what)
    if value > LONGEST:
        raise ValueError(
            f"expected seconds, found {value:g} for the {what}, which is years; are "
            "these samples or milliseconds?"
        )
    return value


def parse_count(text: str) -> int | None:
    """Return a whole number of at most nine digits; None if `text` is not one."""
    whole = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if whole else None


# ---- tables ------------------------------------------------------------------------


def parse_lines(
    path: Path,
    parse: Callable[[list[str], str], T],
    *,
    comments: tuple[str, ...] = (),
) -> Iterator[tuple[int, T]]:
    """Yield the number of each line and what `parse` returns for its fields and text.

    Lines that start with one of `comments` are skipped. A ValueError of `parse` becomes
    a FormatError that names the line.
    """
    for number, text, fields in read_fields(path):
        if fields[0].startswith(comments):
            continue
        try:
            entry = parse(fields, text)
        except ValueError as error:
            raise FormatError(str(error), path=path, line=number) from error
        yield number, entry


def _read_table(
    path: Path,
    form: str,
    count: int | None,
    parse: Callable[[list[str]], T],
    on_fault: OnFault = raise_fault,
    *,
    also: Callable[[list[str]], bool] = lambda values: False,
) -> dict[str, T]:
    """Read lines with unique keys and `count` values each (None: any number).

    `parse` makes an entry of the values, or raises a ValueError. Lines with another
    number of values are malformed, unless `also` accepts them.
    """
    table: dict[str, T] = {}
    lines: dict[str, int] = {}
    for number, text, (name, *values) in read_fields(path):
        # Tables share ids, of which each would hold a copy of its own.
        key = intern(name)
        try:
            if count not in (None, len(values)) and not also(values):
                raise ValueError(f"expected '{form}', found {text.strip()[:80]!r}")
            if key in lines:
                raise ValueError(f"already in line {lines[key]}; keep one of the two")
            lines[key] = number
            table[key] = parse(values)
        except ValueError as error:
            on_fault(key, FormatError(str(error), path=path, line=number, key=key))
    return table


def read_segments(path: Path, on_fault: OnFault = raise_fault) -> dict[str, Segment]:
    """Read ``segments``: utterance, recording, 0 <= start <= end (seconds).

    A number of the channel may follow, if a recording has only one.
    """
    channels: dict[str, str] = {}

    def parse(values: list[str]) -> Segment:
        segment = _parse_segment(*values[:3])
        for channel in values[3:]:
            known = channels.setdefault(segment.recording, channel)
            if channel != known:
                raise ValueError(
                    f"recording {segment.recording!r} is on channel {channel} here and "
                    f"on {known} above; give each its own id"
                )
        return segment

    form = "utterance recording start end"
    return _read_table(path, form, 3, parse, on_fault, also=_has_channel)


def _has_channel(values: list[str]) -> bool:
    """Whether a line of ``segments`` ends in a channel, as Kaldi allows."""
    try:
        to_number(values[1])
    except (IndexError, ValueError):
        # Maybe an id with a space.
        return False
    return len(values) == 4 and parse_count(values[3]) is not None


def _parse_segment(recording: str, first: str, last: str) -> Segment:
    start, end = parse_time(first, "start"), parse_time(last, "end")
    if end == -1:
        raise ValueError(
            "an end of -1 means the end of the recording, which is not known without "
            "the audio; write the end in seconds"
        )
    if not 0 <= start <= end:
        raise ValueError(
            f"expected 0 <= start <= end, found start {start:g} and end {end:g}; "
            "correct or remove the line"
        )
    return Segment(intern(recording), start, end)


def read_spk2utt(path: Path, on_fault: OnFault = raise_fault) -> dict[str, list[str]]:
    """Read ``spk2utt`` (or ``reco2utt``): key, then its utterances in order."""
    form = "recording utterance..."
    return _read_table(path, form, None, lambda v: [*map(intern, v)], on_fault)


def read_utt2spk(path: Path, on_fault: OnFault = raise_fault) -> dict[str, str]:
    """Read ``utt2spk``: utterance, then its speaker (here: recording)."""
    form = "utterance recording"
    return _read_table(path, form, 1, lambda values: values[0], on_fault)


def read_reco2num_spk(path: Path, on_fault: OnFault = raise_fault) -> dict[str, int]:
    """Read ``reco2num_spk``: recording, then its number of speakers, 1 or more."""
    return _read_table(path, "recording count", 1, _parse_num_spk, on_fault)


def _parse_num_spk(values: list[str]) -> int:
    number = parse_count(values[0])
    if not number:
        raise ValueError(
            f"expected a whole number of speakers, 1 or more, found {values[0][:24]!r}"
        )
    return number


def read_reco2min_max(path: Path) -> dict[str, tuple[int, int]]:
    """Read ``reco2min_max``: recording, then bounds on its number of speakers."""
    return _read_table(path, "recording min max", 2, _parse_bounds)


def _parse_bounds(values: list[str]) -> tuple[int, int]:
    fewest, most = map(parse_count, values)
    if fewest is None or most is None or not 1 <= fewest <= most:
        raise ValueError(
            "expected whole numbers of speakers with 1 <= min <= max, found "
            f"{' '.join(values)[:48]!r}"
        )
    return fewest, most


def keep_likely(posterior: Mapping[int, float]) -> dict[int, float]:
    """Return the numbers of speakers and probabilities that a file is to hold."""
    least = min(_LEAST_PROBABILITY, max(posterior.values()))
    return {
        number: round(probability, 3)
        for number, probability in posterior.items()
        if probability >= least
    }


def format_posterior(recording: str, posterior: Mapping[int, float]) -> str:
    """Return a line of ``speaker_posterior``, such as ``rec 2:0.810 3:0.190``."""
    entries = (f"{number}:{value:.3f}" for number, value in posterior.items())
    return f"{' '.join([recording, *entries])}\n"


def read_speaker_posterior(path: Path) -> dict[str, dict[int, float]]:
    """Read ``speaker_posterior``: recording, then ``number:probability`` entries."""
    return _read_table(path, "recording number:probability...", None, parse_posterior)


def parse_posterior(values: list[str]) -> dict[int, float]:
    """Return the probabilities of numbers of speakers, or raise a ValueError."""
    posterior: dict[int, float] = {}
    for value in values:
        name, _, text = value.partition(":")
        number, probability = parse_count(name), -1.0
        with suppress(ValueError):
            probability = to_number(text)
        if not number or number in posterior or not 0 <= probability <= 1:
            raise ValueError(
                "expected a number of speakers once and its probability, such as "
                f"2:0.810, found {value[:24]!r}"
            )
        posterior[number] = probability
    if not posterior:
        raise ValueError("expected 'recording number:probability...', found no number")
    return posterior


def read_num_windows(path: Path) -> dict[str, float]:
    """Read ``num_windows``: speaker, then a number of windows above 0."""
    return _read_table(path, "speaker number", 1, _parse_num_windows)


def _parse_num_windows(values: list[str]) -> float:
    number = parse_number(values[0], "number of windows")
    if not 0 < number <= LONGEST:
        raise ValueError(
            f"expected a number of windows above 0, found {values[0][:24]!r}"
        )
    return number


def read_names(path: Path) -> list[str]:
    """Read the first field of every line, such as the recordings of a ``spk2utt``."""
    return list(_read_table(path, "name ...", None, bool))


def read_attributes(path: Path | str) -> dict[str, str]:
    """Read an attribute of recordings, such as their language: recording, then value.

    The value is the rest of the line, with single spaces between words.

    Raises
    ------
    FormatError
        On a recording without a value, or a duplicate recording.
    """
    return _read_table(Path(path), "recording value", None, _parse_attribute)


def _parse_attribute(values: list[str]) -> str:
    if not values:
        raise ValueError(
            "expected 'recording value', found no value; add one or remove the line"
        )
    return " ".join(values)


def write_labels(path: Path, labels: Iterable[tuple[str, int]]) -> None:
    """Write (utterance, cluster from 0) pairs as ``agglomerative-cluster`` does."""
    with atomic_write(path) as file:
        file.write(format_labels(labels))


def format_labels(labels: Iterable[tuple[str, int]]) -> str:
    """Return the lines of ``labels``; Kaldi ends each with a space."""
    return "".join(f"{utterance} {label + 1} \n" for utterance, label in labels)


def round_confidence(confidence: FloatArray) -> Float32Array:
    """Return probabilities (N,) as `format_confidence` writes them."""
    return confidence.round(3).astype(np.float32)


def format_confidence(confidence: Iterable[tuple[str, float]]) -> str:
    """Return the lines of ``confidence``, such as ``utt 0.981``."""
    return "".join(f"{utterance} {value:.3f}\n" for utterance, value in confidence)


def parse_confidence(values: list[str]) -> float:
    """Return the probability of a line of ``confidence``, or raise a ValueError."""
    with suppress(ValueError):
        (text,) = values
        value = to_number(text)
        if "." in text and 0 <= value <= 1:
            return value
    raise ValueError(
        f"expected a probability, such as 0.981, found {' '.join(values)[:24]!r}"
    )


def read_confidence(path: Path) -> dict[str, float]:
    """Read ``confidence``: utterance, then the probability of its speaker."""
    return _read_table(path, "utterance probability", 1, parse_confidence)
