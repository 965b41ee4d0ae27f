"""Affinity matrices with the speakers along two sides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.core.turns import list_speakers
from ssahc.core.types import Float32Array, FloatArray, Turn
from ssahc.report.doubt import main_speakers
from ssahc.report.figure import encode, label, plain_style, save
from ssahc.report.lanes import Lane
from ssahc.report.palette import speaker_color
from ssahc.report.timeline import draw_timeline, legend_handles
from ssahc.scoring.error_spans import ErrorAnalysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Larger matrices are reduced to this size by averaging blocks.
_MAX_SIZE = 800
# Steps of the ticks in seconds, times a power of ten.
_STEPS = (1, 2, 3, 5, 10)
_NUM_TICKS = 6
# Width of the speakers' strips, as a share of the matrix.
_STRIP = 1 / 30
_REFERENCE, _FOUND = "reference speakers", "speakers found"


def draw_affinity(
    axes: "Axes", affinity: Affinity, segments: FloatArray, turns: Sequence[Turn]
) -> None:
    """Draw an affinity matrix with the speaker of each window on two sides.

    Windows (N, 2), in seconds, are in order of time; ticks show round seconds.
    """
    count = len(affinity)
    width = count * _STRIP
    matrix = _shrink(affinity.dense())
    # The diagonal is left out: its ones would make all other cosines dark.
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    darkest, lightest = np.percentile(pairs, (1, 99)) if count > 1 else (None, None)
    image = axes.imshow(
        matrix,
        cmap="gray",
        # Sharp, unless there are more windows than pixels.
        interpolation="none" if count <= _MAX_SIZE // 2 else "antialiased",
        vmin=darkest,
        vmax=lightest,
        extent=(-0.5, count - 0.5, count - 0.5, -0.5),
    )
    strip = _speaker_colors(segments, turns)
    axes.imshow(strip[None], extent=(-0.5, count - 0.5, -0.5, -0.5 - width))
    axes.imshow(strip[:, None], extent=(-0.5 - width, -0.5, count - 0.5, -0.5))
    axes.set_xlim(-0.5 - width, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5 - width)
    ticks = _place_ticks(segments[:, 0])
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("time (s)")
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, extend="both")


def _place_ticks(starts: FloatArray) -> dict[float, str]:
    """Return windows, which may be fractions, to the round seconds at which they start.

    Times without speech have no room: of ticks too close together, the first is kept.
    """
    first, last = float(starts[0]), float(starts[-1])
    if first == last:
        return {0.0: f"{first:g}"}
    least = (last - first) / _NUM_TICKS
    power = 10.0 ** np.floor(np.log10(least))
    step = power * next(number for number in _STEPS if number * power >= least)
    ticks: dict[float, str] = {}
    for number in range(int(np.ceil(first / step)), int(last // step) + 1):
        place = float(np.interp(number * step, starts, np.arange(len(starts))))
        if not ticks or place - max(ticks) >= len(starts) / (2 * _NUM_TICKS):
            ticks[place] = f"{number * step:g}"
    return ticks


@plain_style()
def save_affinities(
    path: Path,
    title: str,
    segments: FloatArray,
    turns: Sequence[Turn] | Mapping[str, Sequence[Turn]],
    affinities: Mapping[str, Affinity],
    *,
    hypotheses: Mapping[str, ErrorAnalysis] | None = None,
) -> None:
    """Save affinity matrices of one recording side by side.

    As Figure 3 of Singh & Ganapathy (Interspeech 2020). The turns are those of the
    reference or, without one, those that each system found. Hypotheses, if given, are
    drawn as timelines above the matrices; both are named by system.
    """
    from matplotlib.figure import Figure

    height = 4.8 if hypotheses is None else 7.6
    figure = Figure(figsize=(4.4 * len(affinities), height), layout="constrained")
    figure.suptitle(label(title))
    ratios = (3,) if hypotheses is None else (2, 3)
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    if hypotheses is not None:
        draw_timeline(figure.add_subplot(grid[0]), hypotheses)
    cells = grid[-1].subgridspec(1, len(affinities))
    for column, (system, affinity) in enumerate(affinities.items()):
        axes = figure.add_subplot(cells[0, column])
        own = turns[system] if isinstance(turns, Mapping) else turns
        draw_affinity(axes, affinity, segments, own)
        axes.set_title(system)
    if isinstance(turns, Mapping):
        # Every system numbers its speakers by itself.
        _add_legend(figure, max(turns.values(), key=_count_speakers), _FOUND)
    else:
        _add_legend(figure, turns, _REFERENCE)
    save(figure, path)


@plain_style()
def encode_affinity(
    affinity: Affinity,
    segments: FloatArray,
    turns: Sequence[Turn],
    *,
    found: bool = False,
) -> bytes:
    """Return the figure of an affinity matrix as a PNG file; see `draw_affinity`.

    The turns are those of the reference, or `found` by the system.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.6), layout="constrained")
    draw_affinity(figure.add_subplot(), affinity, segments, turns)
    _add_legend(figure, turns, _FOUND if found else _REFERENCE)
    return encode(figure, "png", dpi=110)


def _count_speakers(turns: Sequence[Turn]) -> int:
    return len(list_speakers(turns))


def _add_legend(figure: "Figure", turns: Sequence[Turn], title: str) -> None:
    speakers = list_speakers(turns)
    lanes = [Lane(n, name, speaker_color(n), ()) for n, name in enumerate(speakers)]
    figure.legend(
        handles=legend_handles(lanes),
        title=title,
        loc="outside lower center",
        ncols=8,
        frameon=False,
    )


def _shrink(matrix: Float32Array) -> Float32Array:
    """Return block averages: at most `_MAX_SIZE` rows and columns."""
    count = len(matrix)
    if count <= _MAX_SIZE:
        return matrix
    edges = np.linspace(0, count, _MAX_SIZE, endpoint=False).astype(int)
    sizes = np.diff(edges, append=count)
    sums = np.add.reduceat(np.add.reduceat(matrix, edges, axis=0), edges, axis=1)
    return np.asarray(sums / np.outer(sizes, sizes))


def _speaker_colors(segments: FloatArray, turns: Sequence[Turn]) -> FloatArray:
    """Return the (N, 3) colour of the main speaker of each window; white if none."""
    from matplotlib.colors import to_rgb

    colors = ["white", *map(speaker_color, range(len(list_speakers(turns))))]
    return np.array([to_rgb(color) for color in colors])[main_speakers(segments, turns)]
