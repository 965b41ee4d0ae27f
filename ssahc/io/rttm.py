"""RTTM and UEM files.

An RTTM line is ``SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>``
with times in seconds. The last field may be missing (older files have nine); lines of
other types and comments (``;``) are skipped.
"""

from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Turn
from ssahc.io.files import atomic_write, is_word, read_fields
from ssahc.io.text import parse_time


@dataclass(frozen=True)
class Rttm:
    """The speaker turns of recordings.

    Attributes
    ----------
    turns : dict
        Recording to its turns, in the order of the file.
    channels : dict
        Recording to its channel, as written.
    """

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)


def read_rttm(path: Path | str) -> Rttm:
    """Read an RTTM file.

    Raises
    ------
    FormatError
        On a malformed SPEAKER line, a negative time, a recording on two channels, or
        a file that is not empty but has no SPEAKER line.
    """
    path, rttm = Path(path), Rttm()
    others = 0
    for number, line, fields in read_fields(path):
        if fields[0].upper() != "SPEAKER":
            others += not fields[0].startswith((";", "#"))
            continue
        if len(fields) not in (9, 10):
            raise FormatError(
                "expected 9 or 10 fields in a SPEAKER line, "
                f"found {len(fields)}: {line.strip()[:80]!r}",
                path=path,
                line=number,
            )
        recording, channel, speaker = fields[1], fields[2], fields[7]
        start = parse_time(fields[3], "start", path, number)
        duration = parse_time(fields[4], "duration", path, number)
        if start < 0 or duration < 0:
            raise FormatError(
                f"negative time: start {start:g}, duration {duration:g}; correct or "
                "remove the line",
                path=path,
                line=number,
            )
        if rttm.channels.setdefault(recording, channel) != channel:
            raise FormatError(
                f"recording {recording!r} is on channel {channel!r} here and on "
                f"{rttm.channels[recording]!r} above; give each its own id",
                path=path,
                line=number,
            )
        turns = rttm.turns.setdefault(recording, [])
        turns.append(Turn(start, start + duration, speaker))
    if others and not rttm.turns:
        raise FormatError("holds no SPEAKER line; is this an RTTM file?", path=path)
    return rttm


def write_rttm(
    path: Path | str, turns: Mapping[str, Sequence[Turn]], *, channel: str = "0"
) -> None:
    """Write an RTTM as Kaldi's ``make_rttm.py``: recordings sorted, milliseconds.

    Raises
    ------
    DataError
        If a line would not be read back as it was meant; then nothing is written.
    """
    with atomic_write(Path(path)) as file:
        for recording in sorted(turns):
            _refuse_unreadable(recording, turns[recording])
            file.writelines(
                f"SPEAKER {recording} {channel} {turn.start:7.3f} "
                f"{turn.end - turn.start:7.3f} <NA> <NA> {turn.speaker} <NA> <NA>\n"
                for turn in turns[recording]
            )


def _refuse_unreadable(recording: str, turns: Sequence[Turn]) -> None:
    """Raise a DataError for what an RTTM cannot hold."""
    for name in {recording, *(turn.speaker for turn in turns)}:
        if not is_word(name):
            raise DataError(
                "an RTTM has words for recordings and speakers, without white space, "
                f"found {name!r}"
            )
    for turn in turns:
        if not 0 <= turn.start <= turn.end < inf:
            raise DataError(
                f"an RTTM has turns with 0 <= start <= end in seconds, found {turn} in "
                f"{recording!r}"
            )


def read_uem(path: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Read a UEM file: recording, channel, start, end (seconds).

    Returns
    -------
    dict
        Recording to channel to spans, sorted. Channels are in lower case: md-eval
        takes A and a for one.

    Raises
    ------
    FormatError
        On a malformed line, or spans of a channel that overlap.
    """
    uem: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for number, line, fields in read_fields(path):
        if fields[0].startswith((";", "#")):
            continue
        if len(fields) != 4:
            raise FormatError(
                f"expected 'recording channel start end', found {line.strip()[:80]!r}",
                path=path,
                line=number,
            )
        recording, channel = fields[:2]
        start = parse_time(fields[2], "start", path, number)
        end = parse_time(fields[3], "end", path, number)
        if not 0 <= start < end:
            raise FormatError(
                f"expected 0 <= start < end, found {start:g} and {end:g}; correct or "
                "remove the line",
                path=path,
                line=number,
            )
        spans = uem.setdefault(recording, {}).setdefault(channel.lower(), [])
        place = bisect(spans, (start, end))
        # None overlaps another so far, so that only its neighbours can overlap it.
        beside = spans[max(place - 1, 0) : place + 1]
        if any(start < other[1] and other[0] < end for other in beside):
            raise FormatError(
                f"overlaps another span of recording {recording!r}; join the two",
                path=path,
                line=number,
            )
        spans.insert(place, (start, end))
    return uem
