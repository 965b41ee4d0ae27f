"""Timelines of speaker turns and errors, drawn with matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssahc.core.types import Turn
from ssahc.report.figure import label, plain_style, save
from ssahc.report.lanes import (
    Lane,
    count_lanes,
    error_lanes,
    hypothesis_lanes,
    reference_lanes,
    turn_lanes,
)
from ssahc.report.overview import SpeakerShare
from ssahc.report.palette import DISTINCT_COLORS, ERROR_COLORS, UNSCORED
from ssahc.scoring.error_spans import ERROR_KINDS, ErrorAnalysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

# Between two rows, in units of the height of an error lane.
_GAP = 0.8
_UNSCORED_ALPHA = 0.45


class _Row(NamedTuple):
    """Lanes of the reference, a hypothesis or errors."""

    name: str
    lanes: Sequence[Lane]
    num_lanes: int
    lane_height: float


def draw_timeline(
    axes: "Axes", analyses: Mapping[str, ErrorAnalysis], *, errors: bool = False
) -> None:
    """Draw the reference in the top row and each named hypothesis in a row below.

    Every row has one lane per speaker; see `ssahc.report.lanes`. On request, errors are
    drawn below each hypothesis, and what is not scored is shaded.
    """
    first = next(iter(analyses.values()))
    reference = reference_lanes(first)
    hypotheses = {name: hypothesis_lanes(one) for name, one in analyses.items()}
    num_lanes = count_lanes(*reference, *chain(*hypotheses.values()))
    # With one or two speakers, rows are as high as the rows of errors.
    height = max(len(ERROR_KINDS) / num_lanes, 1.0)
    rows = [_Row("reference", reference, num_lanes, height)]
    for name, lanes in hypotheses.items():
        rows.append(_Row(label(name), lanes, num_lanes, height))
        if errors:
            wrong = error_lanes(analyses[name])
            rows.append(_Row("errors", wrong, len(wrong), 1.0))
    _draw_rows(axes, rows, first.extent)
    if errors:
        for start, end in first.unscored:
            axes.axvspan(
                start, end, color=UNSCORED, alpha=_UNSCORED_ALPHA, lw=0, zorder=0
            )


def _draw_rows(axes: "Axes", rows: Sequence[_Row], extent: tuple[float, float]) -> None:
    """Draw rows from the top, with an axis of time."""
    top = 0.0
    centres: dict[float, str] = {}
    for row in rows:
        for lane in row.lanes:
            spans = [(bar.start, bar.end - bar.start) for bar in lane.bars]
            bottom = top - (lane.number + 1) * row.lane_height
            axes.broken_barh(spans, (bottom, row.lane_height), color=lane.color, lw=0)
        bottom = top - row.num_lanes * row.lane_height
        centres[(top + bottom) / 2] = row.name
        top = bottom - _GAP
    axes.set_yticks(list(centres), list(centres.values()))
    axes.set_ylim(top + _GAP / 2, _GAP / 2)
    axes.set_xlim(extent)
    axes.set_xlabel("time (s)")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


@plain_style()
def save_timeline(path: Path, recording: str, analysis: ErrorAnalysis) -> None:
    """Save a figure of the reference, the hypothesis and the errors of a recording."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    # Mapped speakers share the colours of the reference; unmapped ones come last.
    unmapped = hypothesis_lanes(analysis)[len(analysis.mapping) :]
    lanes = [*reference_lanes(analysis), *unmapped]
    start, end = analysis.extent
    # A page's width for a call, wider for a meeting.
    width = min(max((end - start) / 50, 11), 40)
    height = 1.5 + 0.17 * (2 * min(max(len(lanes), 3), 60) + 3)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(f"{label(recording)}, DER {analysis.score.der:.2f} %")
    draw_timeline(figure.add_subplot(), {"hypothesis": analysis}, errors=True)
    handles = legend_handles(lanes)
    handles += [Patch(color=ERROR_COLORS[kind], label=kind) for kind in ERROR_KINDS]
    handles.append(Patch(color=UNSCORED, alpha=_UNSCORED_ALPHA, label="not scored"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=9
    )
    save(figure, path)


@plain_style()
def save_turns(
    path: Path, recording: str, turns: Sequence[Turn], shares: Sequence[SpeakerShare]
) -> None:
    """Save a figure of the turns of a recording without a reference."""
    from matplotlib.figure import Figure

    lanes = turn_lanes(turns)
    start, end = min(turn.start for turn in turns), max(turn.end for turn in turns)
    width = min(max((end - start) / 50, 11), 40)
    height = 1.3 + 0.25 * min(max(len(lanes), 2), 60)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(label(recording))
    axes = figure.add_subplot()
    _draw_rows(axes, [_Row("speakers", lanes, count_lanes(*lanes), 1.0)], (start, end))
    names = [f"{share.name} ({share.percent:.0f} %)" for share in shares]
    shown = [replace(lane, name=n) for lane, n in zip(lanes, names, strict=True)]
    figure.legend(
        handles=legend_handles(shown),
        loc="outside lower center",
        ncols=8,
        frameon=False,
        fontsize=9,
    )
    save(figure, path)


def legend_handles(lanes: Sequence[Lane]) -> "list[Patch]":
    """Return legend entries of speakers, as far as their colours are distinct."""
    from matplotlib.patches import Patch

    return [
        # matplotlib omits labels that start with an underscore.
        Patch(color=lane.color, label=f" {label(lane.name)}")
        for lane in lanes
        if lane.number < DISTINCT_COLORS
    ]
