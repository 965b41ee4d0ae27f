"""Affinity matrices with the reference beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssahc.affinity import Affinity
from ssahc.plots.figure import save
from ssahc.plots.timeline import draw_timeline
from ssahc.types import FloatArray, Turn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    matrix = affinity.dense()
    # The diagonal, where cosines are 1, would leave all else dark.
    pairs = matrix[np.triu_indices(count, 1)]
    darkest, lightest = np.percentile(pairs, (1, 99)) if count > 1 else (None, None)
    axes.imshow(matrix, cmap="gray", interpolation="none", vmin=darkest, vmax=lightest)
    strip = _speaker_colors(segments, turns)
    axes.imshow(strip[None], extent=(-0.5, count - 0.5, -0.5, -0.5 - width))
    axes.imshow(strip[:, None], extent=(-0.5 - width, -0.5, count - 0.5, -0.5))
    axes.set_xlim(-0.5 - width, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5 - width)
    axes.set_xticks([])
    axes.set_yticks([])


def save_affinities(
    path: Path,
    title: str,
    segments: FloatArray,
    reference: Sequence[Turn],
    affinities: Mapping[str, Affinity],
    *,
    hypotheses: Mapping[str, Sequence[Turn]] | None = None,
) -> None:
    """Save affinity matrices of one recording side by side, with the reference.

    As Figure 3 of Singh & Ganapathy (Interspeech 2020).

    Parameters
    ----------
    path : Path
        The suffix decides on the format: .png, .svg or .pdf.
    title : str
    segments : (N, 2) array
        Start and end of the windows, in seconds.
    reference : sequence of Turn
    affinities : mapping
        System to affinity.
    hypotheses : mapping, optional
        System to turns: timelines above the matrices, the reference's on top.
    """
    from matplotlib.figure import Figure

    height = 4.6 if hypotheses is None else 7
    figure = Figure(figsize=(4 * len(affinities), height), layout="constrained")
    figure.suptitle(title)
    ratios = (3,) if hypotheses is None else (2, 3)
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    if hypotheses is not None:
        rows = {"reference": reference, **hypotheses}
        draw_timeline(figure.add_subplot(grid[0]), rows)
    cells = grid[-1].subgridspec(1, len(affinities))
    for column, (system, affinity) in enumerate(affinities.items()):
        axes = figure.add_subplot(cells[0, column])
        draw_affinity(axes, affinity, segments, reference)
        axes.set_title(system)
    save(figure, path)


def _speaker_colors(segments: FloatArray, turns: Sequence[Turn]) -> FloatArray:
    """Return the (N, 3) colour of the speaker with the most time in each window.

    White where nobody speaks.
    """
    from matplotlib import colormaps

    speakers = sorted({turn.speaker for turn in turns})
    seconds = np.zeros((len(segments), len(speakers)))
    for turn in turns:
        shared = np.minimum(segments[:, 1], turn.end)
        shared -= np.maximum(segments[:, 0], turn.start)
        seconds[:, speakers.index(turn.speaker)] += np.maximum(shared, 0)
    colors = np.array(colormaps["tab10"].colors)  # type: ignore[attr-defined]
    strip = colors[seconds.argmax(axis=1) % len(colors)]
    strip[~seconds.any(axis=1)] = 1.0
    return np.asarray(strip)
