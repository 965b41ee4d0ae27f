"""Who speaks when, and where the errors are, as coloured bars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssahc.core.types import Turn
from ssahc.report.figure import label, plain_style, save
from ssahc.report.palette import DISTINCT_COLORS, ERROR_COLORS, UNSCORED, speaker_color
from ssahc.scoring.error_spans import ERROR_KINDS, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

# Between two rows, where a lane of errors is 1 high.
_GAP = 0.8

# Lane, colour, and spans as (start, duration).
_Bars = tuple[int, str, list[tuple[float, float]]]


@dataclass(frozen=True)
class _Row:
    """A row of lanes.

    Attributes
    ----------
    name : str
    lanes : int
    height : float
        Of a lane.
    bars : sequence of tuple
    """

    name: str
    lanes: int
    height: float
    bars: Sequence[_Bars]


def draw_timeline(
    axes: "Axes", hypotheses: Mapping[str, Comparison], *, errors: bool = False
) -> None:
    """Draw turns against time: the reference on top, a row a hypothesis below.

    A row has one lane a speaker. A hypothesis speaker has lane and colour of the
    reference speaker they are scored as; who is scored as nobody comes after these.

    Parameters
    ----------
    axes : matplotlib Axes
    hypotheses : mapping
        Name to comparison, all with one reference.
    errors : bool
        Whether a row of errors follows each hypothesis, with a lane for each kind, and
        grey marks what is not scored.
    """
    first = next(iter(hypotheses.values()))
    top, middles = 0.0, {}
    rows = list(_rows(hypotheses, errors=errors))
    for row in rows:
        for lane, color, spans in row.bars:
            place = top - (lane + 1) * row.height
            axes.broken_barh(spans, (place, row.height), color=color, lw=0)
        bottom = top - row.lanes * row.height
        middles[(top + bottom) / 2] = row.name
        top = bottom - _GAP
    if errors:
        for start, end in first.unscored:
            axes.axvspan(start, end, color=UNSCORED, alpha=0.45, lw=0, zorder=0)
    axes.set_yticks(list(middles), list(middles.values()))
    axes.set_ylim(top + _GAP / 2, _GAP / 2)
    axes.set_xlim(first.extent)
    axes.set_xlabel("time (s)")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


@plain_style()
def save_timeline(path: Path, recording: str, comparison: Comparison) -> None:
    """Save reference, hypothesis and errors of one recording.

    Parameters
    ----------
    path : Path
        The suffix decides on the format: .png, .svg or .pdf.
    recording : str
    comparison : Comparison
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    start, end = comparison.extent
    # A page's width for a call, wider for a meeting.
    width = min(max((end - start) / 50, 11), 40)
    height = 1.5 + 0.17 * (2 * min(max(comparison.num_lanes, 3), 60) + 3)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(f"{label(recording)}, DER {comparison.score.der:.2f} %")
    axes = figure.add_subplot()
    draw_timeline(axes, {"hypothesis": comparison}, errors=True)
    handles = speaker_handles(_name_lanes(comparison))
    handles += [Patch(color=ERROR_COLORS[kind], label=kind) for kind in ERROR_KINDS]
    handles.append(Patch(color=UNSCORED, alpha=0.45, label="not scored"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=9
    )
    save(figure, path)


def speaker_handles(names: Mapping[int, str]) -> "list[Patch]":
    """Return lines of a legend for the speakers of lanes.

    Parameters
    ----------
    names : mapping
        Lane to name; lanes whose colours are those of others are left out.
    """
    from matplotlib.patches import Patch

    return [
        # A legend leaves out what starts with an underscore.
        Patch(color=speaker_color(lane), label=f" {label(name)}")
        for lane, name in names.items()
        if lane < DISTINCT_COLORS
    ]


def _name_lanes(comparison: Comparison) -> dict[int, str]:
    names = {lane: name for name, lane in comparison.reference_lanes.items()}
    for name in comparison.unmapped_speakers:
        names[comparison.hypothesis_lanes[name]] = f"{name} (scored as nobody)"
    return names


def _rows(hypotheses: Mapping[str, Comparison], *, errors: bool) -> Iterable[_Row]:
    """Yield the rows from top to bottom, those of turns with lanes for all."""
    lanes = max([both.num_lanes for both in hypotheses.values()] + [1])
    # Rows of one speaker or two are as high as one of errors.
    height = max(len(ERROR_KINDS) / lanes, 1.0)
    first = next(iter(hypotheses.values()))
    turns = _list_bars(first.reference, first.reference_lanes)
    yield _Row("reference", lanes, height, turns)
    for name, both in hypotheses.items():
        turns = _list_bars(both.hypothesis, both.hypothesis_lanes)
        yield _Row(label(name), lanes, height, turns)
        if errors:
            yield _Row("errors", len(ERROR_KINDS), 1.0, _list_errors(both))


def _list_bars(turns: Sequence[Turn], lane_of: Mapping[str, int]) -> list[_Bars]:
    return [
        (
            lane,
            speaker_color(lane),
            [(t.start, t.end - t.start) for t in turns if t.speaker == speaker],
        )
        for speaker, lane in lane_of.items()
    ]


def _list_errors(comparison: Comparison) -> list[_Bars]:
    return [
        (
            lane,
            ERROR_COLORS[kind],
            [(e.start, e.end - e.start) for e in comparison.errors if e.kind == kind],
        )
        for lane, kind in enumerate(ERROR_KINDS)
    ]
