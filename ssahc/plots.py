"""Pictures of diarizations; needs matplotlib (``pip install 'ssahc[plots]'``)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssahc.affinity import Affinity
from ssahc.io.files import atomic_write
from ssahc.types import FloatArray, Turn

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


def draw_affinity(
    axes: "Axes", affinity: Affinity, segments: FloatArray, turns: Sequence[Turn]
) -> None:
    """Draw an affinity matrix with the reference speaker of each window on two sides.

    Parameters
    ----------
    axes : matplotlib Axes
    affinity : Affinity
        Of N windows in order of time.
    segments : (N, 2) array
        Start and end of the windows, in seconds.
    turns : sequence of Turn
        The reference.
    """
    count = len(affinity)
    width = max(count // 30, 2)
    axes.imshow(affinity.dense(), cmap="gray", interpolation="none")
    strip = _speaker_colors(segments, turns)
    axes.imshow(strip[None], extent=(-0.5, count - 0.5, -0.5, -0.5 - width))
    axes.imshow(strip[:, None], extent=(-0.5 - width, -0.5, count - 0.5, -0.5))
    axes.set_xlim(-0.5 - width, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5 - width)
    axes.set_xticks([])
    axes.set_yticks([])


def save_overview(
    path: Path,
    title: str,
    segments: FloatArray,
    rows: Mapping[str, Sequence[Turn]],
    affinities: Mapping[str, Affinity],
) -> None:
    """Save a picture of one recording: timelines above, affinity matrices below.

    Parameters
    ----------
    path : Path
        The suffix decides on the format: .png, .svg or .pdf.
    title : str
    segments : (N, 2) array
        Start and end of the windows, in seconds.
    rows : mapping
        Source to turns; the first is the reference.
    affinities : mapping
        System to affinity.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(affinities), 7), layout="constrained")
    grid = figure.add_gridspec(2, len(affinities), height_ratios=(2, 3))
    timeline = figure.add_subplot(grid[0, :])
    draw_timeline(timeline, rows)
    timeline.set_title(title)
    reference = next(iter(rows.values()))
    for column, (system, affinity) in enumerate(affinities.items()):
        axes = figure.add_subplot(grid[1, column])
        draw_affinity(axes, affinity, segments, reference)
        axes.set_title(system)
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=120)


def _speaker_colors(segments: FloatArray, turns: Sequence[Turn]) -> FloatArray:
    """Return the (N, 3) colour of the speaker with the most time in each window."""
    from matplotlib import colormaps

    speakers = sorted({turn.speaker for turn in turns})
    seconds = np.zeros((len(segments), len(speakers)))
    for turn in turns:
        shared = np.minimum(segments[:, 1], turn.end)
        shared -= np.maximum(segments[:, 0], turn.start)
        seconds[:, speakers.index(turn.speaker)] += np.maximum(shared, 0)
    colors = np.array(colormaps["tab10"].colors)  # type: ignore[attr-defined]
    return np.asarray(colors[seconds.argmax(axis=1) % len(colors)])
