"""The lanes of a timeline: one per speaker or kind of error, with coloured bars.

A hypothesis speaker has the lane number and colour of the mapped reference speaker.
Unmapped speakers follow below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ssahc.core.turns import list_speakers
from ssahc.core.types import Turn
from ssahc.report.doubt import Doubt
from ssahc.report.palette import ERROR_COLORS, OVERLAP_COLORS, speaker_color
from ssahc.scoring.error_spans import ERROR_KINDS, ErrorAnalysis, ErrorSpan
from ssahc.scoring.overlap_spans import OverlapKind, OverlapSpan, list_overlap


@dataclass(frozen=True)
class Bar:
    """A span of time in seconds, and its tooltip."""

    start: float
    end: float
    title: str


@dataclass(frozen=True)
class Lane:
    """A speaker or a kind of error; lanes are numbered from 0 at the top."""

    number: int
    name: str
    color: str
    bars: Sequence[Bar]


def reference_lanes(analysis: ErrorAnalysis) -> list[Lane]:
    """Return one lane per reference speaker."""
    return [
        _speaker_lane(number, name, name, analysis.reference, name)
        for number, name in enumerate(analysis.reference_speakers)
    ]


def hypothesis_lanes(analysis: ErrorAnalysis) -> list[Lane]:
    """Return one lane per hypothesis speaker, unmapped speakers last."""
    place = {name: n for n, name in enumerate(analysis.reference_speakers)}
    turns, lanes = analysis.hypothesis, []
    for name, mapped in analysis.mapping.items():
        label = f"{name} \N{RIGHTWARDS ARROW} {mapped}"
        title = f"{name}, mapped to {mapped}"
        lanes.append(_speaker_lane(place[mapped], label, name, turns, title))
    unmapped = [n for n in analysis.hypothesis_speakers if n not in analysis.mapping]
    for number, name in enumerate(unmapped, start=len(place)):
        label, title = f"{name} (unmapped)", f"{name}, unmapped"
        lanes.append(_speaker_lane(number, label, name, turns, title))
    return lanes


def turn_lanes(turns: Sequence[Turn]) -> list[Lane]:
    """Return one lane per speaker of turns without a reference."""
    return [
        _speaker_lane(number, name, name, turns, name)
        for number, name in enumerate(list_speakers(turns))
    ]


def doubt_lane(doubts: Sequence[Doubt]) -> Lane:
    """Return a lane of doubtful spots."""
    bars = [
        _bar(one.start, one.end, f"{one.speaker}, {one.percent:.0f} % sure")
        for one in doubts
    ]
    return Lane(0, "", ERROR_COLORS["confusion"], bars)


def error_lanes(analysis: ErrorAnalysis) -> list[Lane]:
    """Return one lane per kind of error."""
    lanes = []
    for number, kind in enumerate(ERROR_KINDS):
        errors = [error for error in analysis.errors if error.kind == kind]
        bars = [_bar(error.start, error.end, describe_error(error)) for error in errors]
        lanes.append(Lane(number, kind, ERROR_COLORS[kind], bars))
    return lanes


def overlap_lanes(analysis: ErrorAnalysis) -> list[Lane]:
    """Return the lanes of overlap in the reference and in the hypothesis.

    Both have found overlap; the one also what is missed, the other false alarms. What
    has another colour is another lane of the same number. Without any overlap, there
    are no lanes.
    """
    if not analysis.overlap:
        return []
    return [
        _overlap_lane(0, "reference", analysis.overlap, "found"),
        _overlap_lane(0, "", analysis.overlap, "missed"),
        _overlap_lane(1, "hypothesis", analysis.overlap, "found"),
        _overlap_lane(1, "", analysis.overlap, "false alarm"),
    ]


def turns_overlap_lane(turns: Sequence[Turn]) -> list[Lane]:
    """Return the lane of overlap of turns without a reference, if there is any."""
    found = list_overlap(turns)
    return [_overlap_lane(0, "", found, "found")] if found else []


def _overlap_lane(
    number: int, name: str, spans: Sequence[OverlapSpan], kind: OverlapKind
) -> Lane:
    note = "" if kind == "found" else f", {kind}"
    bars = [
        _bar(span.start, span.end, f"{' and '.join(span.speakers)}{note}")
        for span in spans
        if span.kind == kind
    ]
    return Lane(number, name, OVERLAP_COLORS[kind], bars)


def count_lanes(*lanes: Lane) -> int:
    """Return the number of lanes to leave room for, 1 or more."""
    return max((lane.number + 1 for lane in lanes), default=1)


def _speaker_lane(
    number: int, label: str, speaker: str, turns: Sequence[Turn], title: str
) -> Lane:
    bars = [_bar(t.start, t.end, title) for t in turns if t.speaker == speaker]
    return Lane(number, label, speaker_color(number), bars)


def _bar(start: float, end: float, text: str) -> Bar:
    return Bar(start, end, f"{start:.2f}\N{EN DASH}{end:.2f} s: {text}")


def describe_error(error: ErrorSpan) -> str:
    """Return who was missed, alarmed or confused."""
    if error.kind == "missed":
        return f"{error.reference} missed"
    if error.kind == "false alarm":
        return f"false alarm of {error.hypothesis}"
    return f"{error.reference} confused with {error.hypothesis}"
