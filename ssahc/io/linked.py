"""The table of ``ssahc link``: who the speakers of recordings are.

A line of ``linked_speakers`` is ``recording speaker name score``: the name of a speaker
in the recording alone, the one in all recordings, and the log-likelihood ratio that it
is the same person as the others of that name, or ``-`` if there is no other.
"""

from collections.abc import Iterable
from math import isnan
from pathlib import Path
from typing import NamedTuple

from ssahc.core.errors import FormatError
from ssahc.io.files import atomic_write
from ssahc.io.text import parse_lines, parse_number

LINKED = "linked_speakers"
_NO_SCORE = "-"


class LinkedSpeaker(NamedTuple):
    """A line of the table; the score is NaN if nobody else has the name."""

    recording: str
    speaker: str
    name: str
    score: float


def write_linked(path: Path, speakers: Iterable[LinkedSpeaker]) -> None:
    """Write the table."""
    with atomic_write(path) as file:
        for recording, speaker, name, score in speakers:
            shown = _NO_SCORE if isnan(score) else f"{score:.2f}"
            file.write(f"{recording} {speaker} {name} {shown}\n")


def read_linked(path: Path) -> list[LinkedSpeaker]:
    """Read the table; its names may have been replaced by hand.

    Raises a FormatError on a malformed line, a speaker who is there twice, or two
    speakers of one recording with one name.
    """
    speakers: list[LinkedSpeaker] = []
    lines: dict[tuple[str, str, str], int] = {}
    for number, speaker in parse_lines(path, _parse):
        keys = {
            f"speaker {speaker.speaker!r}": (speaker.recording, "speaker", speaker[1]),
            f"name {speaker.name!r}": (speaker.recording, "name", speaker.name),
        }
        for what, key in keys.items():
            if key in lines:
                raise FormatError(
                    f"recording {speaker.recording!r} has {what} in line {lines[key]} "
                    "already; speakers of one recording are different people",
                    path=path,
                    line=number,
                )
            lines[key] = number
        speakers.append(speaker)
    return speakers


def _parse(fields: list[str], line: str) -> LinkedSpeaker:
    if len(fields) != 4:
        raise ValueError(
            f"expected 'recording speaker name score', found {line.strip()[:80]!r}"
        )
    recording, speaker, name, text = fields
    score = float("nan") if text == _NO_SCORE else parse_number(text, "score")
    return LinkedSpeaker(recording, speaker, name, score)
