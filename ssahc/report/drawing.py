"""Where everything of a timeline is on a page, in pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssahc.core.types import Turn
from ssahc.report.palette import ERROR_COLORS, speaker_color
from ssahc.scoring.error_spans import ERROR_KINDS, Comparison, ErrorSpan

# A timeline is as wide as the page leaves room for, wider (and scrolled) where a second
# would get less than this, and no browser is asked for more than the most.
_WIDTH, _PIXELS_A_SECOND, _MOST_WIDTH = 920, 1.6, 20000
_GAP, _AXIS = 10, 22
_TICK_WIDTH = 70
_TICKS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
# Lanes are thin, and their names in tooltips only, where there are more than these.
_MOST_NAMED = 12


@dataclass(frozen=True)
class Bar:
    """A stretch of time in a lane, and what is said where the mouse rests on it."""

    x: str
    width: str
    title: str = ""


@dataclass(frozen=True)
class Lane:
    """A speaker, or a kind of error, of a row."""

    name: str
    top: int
    height: int
    color: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Row:
    """Reference, hypothesis, or errors."""

    name: str
    top: int
    height: int
    lanes: Sequence[Lane]


@dataclass(frozen=True)
class Drawing:
    """A timeline.

    Attributes
    ----------
    width, height : int
        The axis included.
    rows : sequence of Row
    unscored : sequence of Bar
    ticks : sequence of (str, str)
        Place and time of the marks on the axis.
    named : bool
        Whether lanes are high enough for their names.
    """

    width: int
    height: int
    rows: Sequence[Row]
    unscored: Sequence[Bar]
    ticks: Sequence[tuple[str, str]]
    named: bool


@dataclass(frozen=True)
class _Scale:
    """Seconds to pixels."""

    start: float
    factor: float

    def bar(self, start: float, end: float, title: str = "") -> Bar:
        width = max((end - start) * self.factor, 0.3)
        return Bar(self.place(start), _number(width), title)

    def place(self, time: float) -> str:
        return _number((time - self.start) * self.factor)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def draw(comparison: Comparison) -> Drawing:
    """Lay out reference, hypothesis and errors.

    Parameters
    ----------
    comparison : Comparison
    """
    start, end = comparison.extent
    seconds = end - start
    width = round(min(max(_WIDTH, seconds * _PIXELS_A_SECOND), _MOST_WIDTH))
    scale = _Scale(start, width / seconds if seconds else 1.0)
    named = comparison.num_lanes <= _MOST_NAMED
    height = 12 if named else 5
    rows: list[Row] = []
    for name, lanes in (
        ("reference", _reference_lanes(comparison, scale)),
        ("hypothesis", _hypothesis_lanes(comparison, scale)),
        ("errors", _error_lanes(comparison, scale)),
    ):
        top = rows[-1].top + rows[-1].height + _GAP if rows else 0
        rows.append(_stack(name, top, 12 if name == "errors" else height, lanes))
    return Drawing(
        width,
        rows[-1].top + rows[-1].height + _AXIS,
        rows,
        [scale.bar(*span) for span in comparison.unscored],
        _ticks(start, end, scale),
        named,
    )


_Unplaced = tuple[int, str, str, Sequence[Bar]]


def _stack(name: str, top: int, height: int, lanes: Iterable[_Unplaced]) -> Row:
    """Place lanes; the first of every tuple is the lane's number."""
    placed = [
        Lane(label, top + number * height, height, color, bars)
        for number, label, color, bars in lanes
    ]
    bottom = max((lane.top + lane.height for lane in placed), default=top + height)
    return Row(name, top, bottom - top, placed)


def _reference_lanes(comparison: Comparison, scale: _Scale) -> Iterable[_Unplaced]:
    for speaker, lane in comparison.reference_lanes.items():
        bars = _turns(comparison.reference, speaker, speaker, scale)
        yield lane, speaker, speaker_color(lane), bars


def _hypothesis_lanes(comparison: Comparison, scale: _Scale) -> Iterable[_Unplaced]:
    for speaker, lane in comparison.hypothesis_lanes.items():
        scored_as = comparison.mapping.get(speaker, "nobody")
        title = f"{speaker}, scored as {scored_as}"
        bars = _turns(comparison.hypothesis, speaker, title, scale)
        label = f"{speaker} \N{RIGHTWARDS ARROW} {scored_as}"
        yield lane, label, speaker_color(lane), bars


def _error_lanes(comparison: Comparison, scale: _Scale) -> Iterable[_Unplaced]:
    for lane, kind in enumerate(ERROR_KINDS):
        bars = [
            scale.bar(e.start, e.end, f"{_times(e.start, e.end)} {_describe(e)}")
            for e in comparison.errors
            if e.kind == kind
        ]
        yield lane, kind, ERROR_COLORS[kind], bars


def _turns(turns: Sequence[Turn], speaker: str, title: str, scale: _Scale) -> list[Bar]:
    return [
        scale.bar(turn.start, turn.end, f"{_times(turn.start, turn.end)} {title}")
        for turn in turns
        if turn.speaker == speaker
    ]


def _times(start: float, end: float) -> str:
    return f"{start:.2f}\N{EN DASH}{end:.2f} s:"


def _describe(error: ErrorSpan) -> str:
    said = {
        "missed": f"{error.reference} missed",
        "false alarm": f"nobody, taken for {error.hypothesis}",
        "confusion": f"{error.reference}, taken for {error.hypothesis}",
    }
    return said[error.kind]


def _ticks(start: float, end: float, scale: _Scale) -> list[tuple[str, str]]:
    """Return places and times of round seconds, far enough apart to be read."""
    wanted = _TICK_WIDTH / scale.factor
    step = next((step for step in _TICKS if step >= wanted), _TICKS[-1])
    first, last = -int(-start // step), int(end // step)
    return [
        (scale.place(number * step), str(number * step))
        for number in range(first, last + 1)
    ]
