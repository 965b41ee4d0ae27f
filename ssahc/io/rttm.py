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
from ssahc.io.files import atomic_write, is_word
from ssahc.io.text import parse_lines, parse_time

Uem = dict[str, dict[str, list[tuple[float, float]]]]
_COMMENTS = (";", "#")


@dataclass(frozen=True)
class Rttm:
    """The speaker turns of recordings in the order of the file, and their channels."""

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
    for number, entry in parse_lines(path, _parse_turn, comments=_COMMENTS):
        if entry is None:
            others += 1
            continue
        recording, channel, turn = entry
        if rttm.channels.setdefault(recording, channel) != channel:
            raise FormatError(
                f"recording {recording!r} is on channel {channel!r} here and on "
                f"{rttm.channels[recording]!r} above; give each its own id",
                path=path,
                line=number,
            )
        rttm.turns.setdefault(recording, []).append(turn)
    if others and not rttm.turns:
        raise FormatError("holds no SPEAKER line; is this an RTTM file?", path=path)
    return rttm


def _parse_turn(fields: list[str], line: str) -> tuple[str, str, Turn] | None:
    """Return recording, channel and turn of a SPEAKER line; None for other types."""
    if fields[0].upper() != "SPEAKER":
        return None
    if len(fields) not in (9, 10):
        raise ValueError(
            "expected 9 or 10 fields in a SPEAKER line, "
            f"found {len(fields)}: {line.strip()[:80]!r}"
        )
    start = parse_time(fields[3], "start")
    duration = parse_time(fields[4], "duration")
    if start < 0 or duration < 0:
        raise ValueError(
            f"negative time: start {start:g}, duration {duration:g}; correct or remove "
            "the line"
        )
    return fields[1], fields[2], Turn(start, start + duration, fields[7])


def write_rttm(
    path: Path | str, turns: Mapping[str, Sequence[Turn]], *, channel: str = "0"
) -> None:
    """Write an RTTM as Kaldi's ``make_rttm.py``: recordings sorted, milliseconds.

    Raises
    ------
    DataError
        If a line would not be read back unchanged; then nothing is written.
    """
    with atomic_write(Path(path)) as file:
        for recording in sorted(turns):
            group = turns[recording]
            _refuse_unreadable(recording, group)
            file.writelines(
                f"SPEAKER {recording} {channel} {turn.start:7.3f} "
                f"{turn.end - turn.start:7.3f} <NA> <NA> {turn.speaker} <NA> <NA>\n"
                for turn in group
            )


def _refuse_unreadable(recording: str, turns: Sequence[Turn]) -> None:
    """Raise a DataError for names and times that RTTM cannot represent."""
    for name in {recording, *(turn.speaker for turn in turns)}:
        if not is_word(name):
            raise DataError(
                "RTTM needs recording and speaker names without white space, found "
                f"{name!r}"
            )
    for turn in turns:
        if not 0 <= turn.start <= turn.end < inf:
            raise DataError(
                f"RTTM needs turns with 0 <= start <= end in seconds, found {turn} in "
                f"{recording!r}"
            )


def read_uem(path: Path) -> Uem:
    """Read a UEM file (recording, channel, start, end): recording to channel to spans.

    Spans are sorted and may not overlap. Channels are in lower case, since to md-eval A
    and a are the same.
    """
    uem: Uem = {}
    for number, entry in parse_lines(path, _parse_span, comments=_COMMENTS):
        recording, channel, start, end = entry
        spans = uem.setdefault(recording, {}).setdefault(channel.lower(), [])
        place = bisect(spans, (start, end))
        # The spans so far do not overlap, so only the neighbours can overlap this one.
        beside = spans[max(place - 1, 0) : place + 1]
        if any(start < other[1] and other[0] < end for other in beside):
            raise FormatError(
                f"overlaps another span of recording {recording!r}; join the two",
                path=path,
                line=number,
            )
        spans.insert(place, (start, end))
    return uem


def _parse_span(fields: list[str], line: str) -> tuple[str, str, float, float]:
    if len(fields) != 4:
        raise ValueError(
            f"expected 'recording channel start end', found {line.strip()[:80]!r}"
        )
    recording, channel, first, last = fields
    start, end = parse_time(first, "start"), parse_time(last, "end")
    if not 0 <= start < end:
        raise ValueError(
            f"expected 0 <= start < end, found {start:g} and {end:g}; correct or "
            "remove the line"
        )
    return recording, channel, start, end
