"""The table of ``ssahc diarize --enroll``: who speakers are, or are most like.

A line of ``named_speakers`` is ``recording speaker name score log-ratio`` and either
``named`` or ``unknown``: the number of the speaker, the name of an enrolled person, and
how far the two being one person is more likely than for different people, in standard
deviations and in nats.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ssahc.io.files import atomic_write

NAMED = "named_speakers"


class NamedSpeaker(NamedTuple):
    """A line of the table; the ratio is in nats."""

    recording: str
    speaker: str
    name: str
    score: float
    log_ratio: float
    is_named: bool


def write_named(path: Path, speakers: Iterable[NamedSpeaker]) -> None:
    """Write the table."""
    with atomic_write(path) as file:
        for recording, speaker, name, score, log_ratio, is_named in speakers:
            result = "named" if is_named else "unknown"
            file.write(
                f"{recording} {speaker} {name} {score:.2f} {log_ratio:.2f} {result}\n"
            )
