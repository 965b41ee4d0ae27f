"""Layout of a timeline on the HTML page, in pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssahc.core.types import Turn
from ssahc.report.doubt import Doubt
from ssahc.report.lanes import (
    Lane,
    count_lanes,
    doubt_lane,
    error_lanes,
    hypothesis_lanes,
    overlap_lanes,
    reference_lanes,
    turn_lanes,
    turns_overlap_lane,
)
from ssahc.scoring.error_spans import ErrorAnalysis

# A timeline fills the page; it gets wider, and scrolls, if a second would have less
# than the minimum, up to a width that browsers still draw.
_WIDTH, _MAX_WIDTH, _MIN_PIXELS_PER_SECOND = 920, 20000, 1.6
_MIN_BAR_WIDTH = 0.3
_LANE_HEIGHT, _THIN_LANE_HEIGHT = 12, 5
_GAP, _AXIS_HEIGHT = 10, 22
_MIN_TICK_DISTANCE = 70
_TICK_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
# With more lanes than these, lanes are thin and only tooltips name them.
_MAX_NAMED_LANES = 12


@dataclass(frozen=True)
class Row:
    """Lanes of the reference, the hypothesis, overlap or the errors."""

    name: str
    top: int
    lane_height: int
    lanes: Sequence[Lane]

    @property
    def bottom(self) -> int:
        """Lower edge."""
        return self.top + self.lane_height * count_lanes(*self.lanes)

    @property
    def named(self) -> bool:
        """Whether lanes are high enough for their names."""
        return self.lane_height > _THIN_LANE_HEIGHT

    def y(self, lane: Lane) -> int:
        """Return the upper edge of a lane."""
        return self.top + lane.number * self.lane_height


@dataclass(frozen=True)
class SvgTimeline:
    """A timeline of reference, hypothesis, overlap and errors."""

    # First second.
    start: float
    # Pixels per second.
    scale: float
    width: int
    rows: Sequence[Row]
    # (start, end) in seconds.
    unscored: Sequence[tuple[float, float]]
    # Seconds to mark on the axis.
    ticks: Sequence[int]

    @property
    def bottom(self) -> int:
        """Lower edge of the last row."""
        return self.rows[-1].bottom

    @property
    def height(self) -> int:
        """Total height, with the axis."""
        return self.bottom + _AXIS_HEIGHT

    def x(self, time: float) -> str:
        """Return the horizontal position of a time."""
        return _format((time - self.start) * self.scale)

    def bar_width(self, start: float, end: float) -> str:
        """Return the width of a bar, which is never too thin to be seen."""
        return _format(max((end - start) * self.scale, _MIN_BAR_WIDTH))


def _format(pixels: float) -> str:
    return f"{pixels:.1f}".removesuffix(".0")


def lay_out(analysis: ErrorAnalysis) -> SvgTimeline:
    """Lay out the timeline of one recording with its reference."""
    speakers = {
        "reference": reference_lanes(analysis),
        "hypothesis": hypothesis_lanes(analysis),
    }
    others = {"overlap": overlap_lanes(analysis), "errors": error_lanes(analysis)}
    return _lay_out(analysis.extent, speakers, others, analysis.unscored)


def lay_out_turns(turns: Sequence[Turn], doubts: Sequence[Doubt] = ()) -> SvgTimeline:
    """Lay out the timeline of one recording without a reference."""
    extent = (
        min((turn.start for turn in turns), default=0.0),
        max((turn.end for turn in turns), default=0.0),
    )
    others = {
        "overlap": turns_overlap_lane(turns),
        "doubtful": [doubt_lane(doubts)] if doubts else [],
    }
    return _lay_out(extent, {"speakers": turn_lanes(turns)}, others)


def _lay_out(
    extent: tuple[float, float],
    speakers: Mapping[str, Sequence[Lane]],
    others: Mapping[str, Sequence[Lane]],
    unscored: Sequence[tuple[float, float]] = (),
) -> SvgTimeline:
    """Lay out rows of speakers, whose lanes may be thin, and others that have lanes."""
    start, end = extent
    seconds = end - start
    width = round(min(max(_WIDTH, seconds * _MIN_PIXELS_PER_SECOND), _MAX_WIDTH))
    scale = width / seconds if seconds else 1.0
    num_lanes = count_lanes(*(lane for lanes in speakers.values() for lane in lanes))
    height = _LANE_HEIGHT if num_lanes <= _MAX_NAMED_LANES else _THIN_LANE_HEIGHT
    parts = [(name, height, lanes) for name, lanes in speakers.items()]
    parts += [(name, _LANE_HEIGHT, lanes) for name, lanes in others.items() if lanes]
    rows: list[Row] = []
    for name, lane_height, lanes in parts:
        top = rows[-1].bottom + _GAP if rows else 0
        rows.append(Row(name, top, lane_height, lanes))
    ticks = _ticks(start, end, scale)
    return SvgTimeline(start, scale, width, rows, unscored, ticks)


def _ticks(start: float, end: float, scale: float) -> list[int]:
    """Return round seconds, far enough apart for their labels."""
    distance = _MIN_TICK_DISTANCE / scale
    step = next((step for step in _TICK_STEPS if step >= distance), _TICK_STEPS[-1])
    first, last = -int(-start // step), int(end // step)
    return [number * step for number in range(first, last + 1)]
