"""Charts of error rates: over options, and by number of speakers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssahc.core.types import FloatArray
from ssahc.report.figure import as_drawn, label, plain_style, save
from ssahc.report.palette import DISTINCT_COLORS, ERROR_COLORS, speaker_color
from ssahc.scoring.breakdown import Group, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer

# Curves are cut off this many points above the lowest error rate, or at three times it.
_MAX_EXCESS = 20.0
_LEGEND_ROWS = 20
# With more bars in a group there is no room for their numbers.
_MAX_NUMBERED_BARS = 3
_BEST = ERROR_COLORS["confusion"]


@plain_style()
def save_sweep(
    path: Path,
    rates: Mapping[tuple[float, float], float],
    best: tuple[float, float],
) -> None:
    """Save error rates as bars, as in Figure 4 of Singh & Ganapathy (2020).

    DER in percent, for each threshold of the first clustering (a group of bars) and
    gamma (a bar in it); the best of them is marked.
    """
    from matplotlib.figure import Figure

    thresholds = list(dict.fromkeys(threshold for threshold, _ in rates))
    gammas = list(dict.fromkeys(gamma for _, gamma in rates))
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    containers = _draw_bars(
        axes,
        [f"{threshold:g}" for threshold in thresholds],
        {f"{g:g}": [rates[t, g] for t in thresholds] for g in gammas},
        map(speaker_color, range(len(gammas))),
    )
    threshold, gamma = best
    bar = containers[gammas.index(gamma)][thresholds.index(threshold)]
    place = bar.get_x() + bar.get_width() / 2
    _mark_best(axes, place, bar.get_height(), f"{threshold:g}, gamma {gamma:g}")
    axes.set_xlabel("threshold of the first clustering (cosine)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        title="gamma", ncols=len(gammas), loc="outside upper center", frameon=False
    )
    save(figure, path)


@plain_style()
def save_speakers(
    path: Path, breakdowns: Mapping[str, Mapping[Group | None, Summary]]
) -> None:
    """Save pooled error rates of systems by number of reference speakers as bars."""
    from matplotlib.figure import Figure

    first = next(iter(breakdowns.values()))
    figure = Figure(figsize=(max(1.2 * len(first), 6), 4), layout="constrained")
    axes = figure.add_subplot()
    containers = _draw_bars(
        axes,
        [f"{count}\nn = {first[count].recordings}" for count in first],
        {
            f" {label(system)}": [groups[count].pooled.der for count in first]
            for system, groups in breakdowns.items()
        },
        map(speaker_color, range(len(breakdowns))),
    )
    if len(breakdowns) <= _MAX_NUMBERED_BARS:
        for bars in containers:
            axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=1)
    axes.set_xlabel("number of speakers (n: number of recordings)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def _draw_bars(
    axes: "Axes",
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    colors: Iterable[str],
) -> "list[BarContainer]":
    """Draw groups of bars of error rates; a series has one bar in every group."""
    width = 0.8 / len(series)
    containers = []
    for index, (name, color) in enumerate(zip(series, colors, strict=True)):
        places = np.arange(len(groups)) + (index + 0.5) * width - 0.4
        bars = axes.bar(places, series[name], width, label=name, color=color)
        containers.append(bars)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel("DER (%)")
    return containers


def _mark_best(axes: "Axes", x: float, rate: float, where: str) -> None:
    """Mark the lowest error rate by a star, and name it above the axes."""
    axes.plot(
        [x], [rate], "*", ms=14, color=_BEST, mec="white", label="_best", zorder=5
    )
    text = f"\N{BLACK STAR} best: DER {rate:.2f} % at {where}"
    axes.set_title(text, loc="left", color=_BEST, fontsize="medium")


@plain_style()
def save_curves(
    path: Path,
    curves: Mapping[str, Mapping[float, float]],
    option: str,
    best: tuple[str, float],
) -> None:
    """Save DER in percent as named curves over one option, with the best point marked.

    The best point is a curve and a value of the option, whose name may have a unit.
    Rates far above the lowest are cut off.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for color, (name, rates) in zip(_colors(len(curves)), curves.items(), strict=True):
        values, heights = zip(*sorted(rates.items()), strict=True)
        axes.plot(values, heights, label=as_drawn(name), color=color)
    points = [point for rates in curves.values() for point in rates.items()]
    lowest = min(rate for _, rate in points)
    top = max(3 * lowest, lowest + _MAX_EXCESS)
    shown = [value for value, rate in points if rate <= top]
    if len(shown) < len(points):
        axes.set_ylim(0, top)
        left, right = min(shown), max(shown)
        if left < right:
            margin = 0.05 * (right - left)
            axes.set_xlim(left - margin, right + margin)
    name, value = best
    rate = curves[name][value]
    _mark_best(axes, value, rate, f"{value:g}")
    axes.set_xlabel(option)
    axes.set_ylabel("DER (%)")
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        columns = -(-len(curves) // _LEGEND_ROWS)
        figure.legend(
            loc="outside right upper", ncols=columns, fontsize="small", frameon=False
        )
    save(figure, path)


def _colors(count: int) -> "Iterable[str | FloatArray]":
    """Return a colour for each of many curves, those of speakers if they suffice."""
    from matplotlib import colormaps

    if count <= DISTINCT_COLORS:
        return map(speaker_color, range(count))
    return colormaps["viridis"](np.linspace(0, 0.9, count))
