"""Content of the HTML report on a run without a reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ssahc.core.turns import list_speakers, measure_speech
from ssahc.core.types import Turn
from ssahc.report.certainty import describe_certainty, percent_sure
from ssahc.report.doubt import Doubt
from ssahc.report.palette import speaker_color
from ssahc.scoring.overlap_spans import list_overlap, measure_overlap


@dataclass(frozen=True)
class SpeakerShare:
    """How much one speaker says: seconds, percent of all speakers' seconds, turns."""

    name: str
    color: str
    seconds: float
    percent: float
    turns: int


@dataclass(frozen=True, eq=False)
class TurnsEntry:
    """A recording in the report."""

    recording: str
    turns: Sequence[Turn]
    # None, and NaN, if the confidence of windows is not known.
    doubts: Sequence[Doubt] | None = None
    confidence: float = float("nan")
    # PNG file, or why it is missing.
    affinity: bytes | None = None
    note: str | None = None
    # Number of speakers to its probability; empty if it is not known.
    posterior: Mapping[int, float] = field(default_factory=dict)

    @cached_property
    def speakers(self) -> list[SpeakerShare]:
        """Speakers in the order of their names."""
        return share_speech(self.turns)

    @property
    def num_speakers(self) -> int:
        """Number of speakers."""
        return len(self.speakers)

    @property
    def percent_sure(self) -> float:
        """Probability of the number of speakers in percent; NaN if it is not known."""
        return percent_sure(self.posterior, self.num_speakers)

    @property
    def certainty(self) -> str:
        """How likely the number of speakers is, and others, in words."""
        return describe_certainty(self.posterior, self.num_speakers)

    @property
    def num_turns(self) -> int:
        """Number of turns."""
        return len(self.turns)

    @property
    def seconds(self) -> float:
        """Seconds in which someone speaks."""
        return _cover(self.turns)

    @property
    def overlap_seconds(self) -> float:
        """Seconds in which two or more speak at once."""
        return measure_overlap(list_overlap(self.turns)).both

    @property
    def percent_right(self) -> float:
        """Share of the speech whose speaker is expected to be right; NaN if unknown."""
        return 100 * self.confidence

    @property
    def doubtful_seconds(self) -> float:
        """Seconds of doubtful spots; NaN if they were not looked for."""
        return float("nan") if self.doubts is None else _cover(self.doubts)


@dataclass(frozen=True, eq=False)
class TurnsReport:
    """Content of the report."""

    title: str
    # Path of the RTTM.
    source: str
    # Options of the run, by name.
    settings: Mapping[str, object]
    entries: Sequence[TurnsEntry]
    # Remarks on the whole report.
    notes: Sequence[str] = ()


def share_speech(turns: Sequence[Turn]) -> list[SpeakerShare]:
    """Return how much each speaker says."""
    names = list_speakers(turns)
    each = {name: [turn for turn in turns if turn.speaker == name] for name in names}
    seconds = {name: sum(turn.end - turn.start for turn in each[name]) for name in each}
    total = sum(seconds.values())
    return [
        SpeakerShare(
            name,
            speaker_color(place),
            seconds[name],
            100 * seconds[name] / total if total else 0.0,
            len(each[name]),
        )
        for place, name in enumerate(names)
    ]


def _cover(spans: Sequence[Turn] | Sequence[Doubt]) -> float:
    times = [(span.start, span.end) for span in spans]
    return measure_speech(np.array(times, np.float64).reshape(-1, 2))
