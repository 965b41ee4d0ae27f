"""Who speaks when, as coloured bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ssahc.types import Turn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_timeline(axes: "Axes", rows: Mapping[str, Sequence[Turn]]) -> None:
    """Draw turns against time, one row a source, one colour a speaker of that row.

    Parameters
    ----------
    axes : matplotlib Axes
    rows : mapping
        Name of the source to its turns; the first one is drawn on top.
    """
    for height, turns in enumerate(reversed(list(rows.values()))):
        for index, speaker in enumerate(sorted({turn.speaker for turn in turns})):
            spans = [(t.start, t.end - t.start) for t in turns if t.speaker == speaker]
            axes.broken_barh(spans, (height - 0.35, 0.7), color=f"C{index % 10}")
    axes.set_yticks(range(len(rows)), list(rows)[::-1])
    axes.set_xlabel("time (s)")
    axes.margins(x=0)
