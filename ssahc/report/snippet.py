"""The turns of a recording as HTML for a notebook."""

from collections.abc import Mapping, Sequence
from html import escape

from ssahc.core.errors import counted, printable
from ssahc.core.types import Turn
from ssahc.report.certainty import describe_certainty
from ssahc.report.overview import share_speech
from ssahc.report.svg import lay_out_turns


def render_snippet(
    recording: str, turns: Sequence[Turn], posterior: Mapping[int, float]
) -> str:
    """Return a timeline and the share of each speaker; ids are escaped.

    Behind the number of speakers stands how likely it is, unless `posterior` is empty.
    """
    drawing, shares = lay_out_turns(turns), share_speech(turns)
    sure = f" ({describe_certainty(posterior, len(shares))})" if posterior else ""
    bars = "".join(
        f'<rect x="{drawing.x(bar.start)}" y="{row.y(lane)}" '
        f'width="{drawing.bar_width(bar.start, bar.end)}" '
        f'height="{row.lane_height - 1}" fill="{lane.color}">'
        f"<title>{_text(bar.title)}</title></rect>"
        for row in drawing.rows
        for lane in row.lanes
        for bar in lane.bars
    )
    ticks = "".join(
        f'<text x="{drawing.x(time)}" y="{drawing.bottom + 16}" font-size="11" '
        f'fill="currentColor">{time} s</text>'
        for time in drawing.ticks
    )
    rows = "".join(
        f'<tr><td><span style="color:{one.color}">\N{BLACK SQUARE}</span> '
        f"{_text(one.name)}</td><td>{one.percent:.1f} %</td>"
        f"<td>{one.seconds:.2f} s</td><td>{counted(one.turns, 'turn')}</td></tr>"
        for one in shares
    )
    return (
        f"<p><b>{_text(recording)}</b>: {counted(len(shares), 'speaker')}{sure}, "
        f"{counted(len(turns), 'turn')}</p>"
        f'<div style="overflow-x:auto"><svg width="{drawing.width}" '
        f'height="{drawing.height}">{bars}{ticks}</svg></div><table>{rows}</table>'
    )


def _text(name: str) -> str:
    return escape(printable(name))
