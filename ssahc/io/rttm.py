"""RTTM and UEM files.

An RTTM line is ``SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>``
with times in seconds; the ninth field may hold the confidence, 0 to 1. The last field
may be missing (older files have nine), and lines may be comments (``;``), or end in
one. What is not a turn (`OBJECT_TYPES`) is kept, since it says what is scored. As to
NIST's md-eval, types, subtypes and channels are the same in lower and upper case, the
duration may be ``<NA>``, and one asterisk in a time is skipped.
"""

from bisect import bisect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import RttmObject, Turn
from ssahc.io.files import atomic_write, is_word, to_number
from ssahc.io.text import parse_lines, parse_time

Uem = dict[str, dict[str, list[tuple[float, float]]]]
_COMMENTS = (";", "#")


# Types of RTTM objects and their subtypes, as in md-eval (version 22).
OBJECT_TYPES = {
    "SEGMENT": {"eval", "<na>"},
    "NOSCORE": {"<na>"},
    "NO_RT_METADATA": {"<na>"},
    "LEXEME": {
        *("lex", "fp", "frag", "un-lex", "for-lex", "alpha", "acronym"),
        *("interjection", "propernoun", "other"),
    },
    "NON-LEX": {"laugh", "breath", "lipsmack", "cough", "sneeze", "other"},
    "NON-SPEECH": {"noise", "music", "other"},
    "FILLER": {
        *("filled_pause", "discourse_marker", "discourse_response"),
        *("explicit_editing_term", "other"),
    },
    "EDIT": {"repetition", "restart", "revision", "simple", "complex", "other"},
    "IP": {"edit", "filler", "edit&filler", "other"},
    "SU": {
        *("statement", "backchannel", "question", "incomplete", "unannotated"),
        "other",
    },
    "CB": {"coordinating", "clausal", "other"},
    "A/P": {"<na>"},
    "SPKR-INFO": {"adult_male", "adult_female", "child", "unknown"},
}


@dataclass(frozen=True)
class Rttm:
    """What an RTTM says of recordings, in the order of the file.

    Attributes
    ----------
    turns : dict
        Recording to speaker turns.
    channels : dict
        Recording to channel.
    objects : dict
        Recording to all else that has a time (see `OBJECT_TYPES`).
    """

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    objects: dict[str, list[RttmObject]] = field(default_factory=dict)


def read_rttm(path: Path | str) -> Rttm:
    """Read an RTTM file.

    Raises
    ------
    FormatError
        On a malformed line, an unknown type, a negative time, a recording on two
        channels, or a file that is not empty but has no SPEAKER line.
    """
    path, rttm, number = Path(path), Rttm(), 0
    for number, (recording, channel, item) in parse_lines(
        path, _parse_object, comments=_COMMENTS
    ):
        if item is None:
            continue
        known = rttm.channels.setdefault(recording, channel)
        if known.lower() != channel.lower():
            raise FormatError(
                f"recording {recording!r} is on channel {channel!r} here and on "
                f"{known!r} above; give each its own id",
                path=path,
                line=number,
            )
        if isinstance(item, Turn):
            rttm.turns.setdefault(recording, []).append(item)
        else:
            rttm.objects.setdefault(recording, []).append(item)
    if number and not rttm.turns:
        raise FormatError("holds no SPEAKER line; is this an RTTM file?", path=path)
    return rttm


def _parse_object(
    fields: list[str], line: str
) -> tuple[str, str, Turn | RttmObject | None]:
    """Return recording, channel and object of a line; no object if it has no time."""
    kind = fields[0].upper()
    if kind != "SPEAKER" and kind not in OBJECT_TYPES:
        raise ValueError(
            "expected SPEAKER or another RTTM type in the first field, found "
            f"{fields[0][:24]!r}; is this an RTTM file?"
        )
    if len(fields) < 9 or not all(f.startswith(_COMMENTS) for f in fields[10:11]):
        raise ValueError(
            f"expected 9 or 10 fields in a {kind} line, "
            f"found {len(fields)}: {line.strip()[:80]!r}"
        )
    recording, channel, first, length, _, subtype, speaker = fields[1:8]
    if kind == "SPKR-INFO":
        return recording, channel, None
    start = parse_time(first.replace("*", "", 1), "start")
    duration = 0.0
    if length.lower() != "<na>":
        duration = parse_time(length.replace("*", "", 1), "duration")
    if start < 0 or duration < 0:
        raise ValueError(
            f"negative time: start {start:g}, duration {duration:g}; correct or remove "
            "the line"
        )
    if kind == "SPEAKER":
        turn = Turn(start, start + duration, speaker, _parse_confidence(fields[8]))
        return recording, channel, turn
    if subtype.lower() not in OBJECT_TYPES[kind]:
        raise ValueError(
            f"expected a subtype of {kind} ({', '.join(sorted(OBJECT_TYPES[kind]))}), "
            f"found {subtype[:24]!r}"
        )
    span = start, start + duration
    return recording, channel, RttmObject(kind, subtype.lower(), *span)


def _parse_confidence(text: str) -> float | None:
    """Return a probability; None for all else, which other programs may write."""
    with suppress(ValueError):
        confidence = to_number(text)
        return confidence if 0 <= confidence <= 1 else None
    return None


def write_rttm(
    path: Path | str,
    turns: Mapping[str, Sequence[Turn]],
    *,
    channel: str | Mapping[str, str] = "0",
    with_confidence: bool = False,
) -> None:
    """Write an RTTM as Kaldi's ``make_rttm.py``: recordings sorted, milliseconds.

    The channel is one for all, or that of each recording. Unlike there, start and end
    are rounded, and the duration is what lies between, so that turns that follow each
    other never overlap in the file. Turns that round to nothing are left out. The
    confidence of turns is written if asked for.

    Raises
    ------
    DataError
        If a line would not be read back unchanged; then nothing is written.
    """
    with atomic_write(Path(path)) as file:
        for recording in sorted(turns):
            group = turns[recording]
            _refuse_unreadable(recording, group)
            own = channel if isinstance(channel, str) else channel[recording]
            for turn in group:
                start, end = round(turn.start, 3), round(turn.end, 3)
                sure = "<NA>"
                if with_confidence and turn.confidence is not None:
                    sure = f"{turn.confidence:.3f}"
                if start < end:
                    file.write(
                        f"SPEAKER {recording} {own} {start:7.3f} "
                        f"{end - start:7.3f} <NA> <NA> {turn.speaker} {sure} <NA>\n"
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
