"""Error rates over options."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ssahc.report.figure import as_drawn, plain_style, save

# Curves are shown up to so many points above the lowest error rate, or three times it.
_ABOVE = 20.0
_LEGEND_ROWS = 20


@plain_style()
def save_sweep(path: Path, rates: Mapping[tuple[float, float], float]) -> None:
    """Save error rates as bars: a group a first threshold, a bar a gamma.

    As Figure 4 of Singh & Ganapathy (Interspeech 2020).

    Parameters
    ----------
    path : Path
        The suffix decides on the format: .png, .svg or .pdf.
    rates : mapping
        (threshold of the first clustering, gamma) to DER in percent.
    """
    from matplotlib.figure import Figure

    thresholds = list(dict.fromkeys(threshold for threshold, _ in rates))
    gammas = list(dict.fromkeys(gamma for _, gamma in rates))
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(gammas)
    for index, gamma in enumerate(gammas):
        heights = [rates[threshold, gamma] for threshold in thresholds]
        places = np.arange(len(thresholds)) + (index + 0.5) * width - 0.4
        axes.bar(places, heights, width, label=f"{gamma:g}")
    axes.set_xticks(range(len(thresholds)), [f"{value:g}" for value in thresholds])
    axes.set_xlabel("threshold of the first clustering")
    axes.set_ylabel("DER (%)")
    figure.legend(title="gamma", ncols=len(gammas), loc="outside upper center")
    save(figure, path)


@plain_style()
def save_curves(
    path: Path, curves: Mapping[str, Mapping[float, float]], option: str
) -> None:
    """Save error rates as curves over one option, the lowest of each marked.

    What is far above the lowest of all is left out.

    Parameters
    ----------
    path : Path
        The suffix decides on the format: .png, .svg or .pdf.
    curves : mapping
        Name of each curve to its points: value of the option to DER in percent.
    option : str
        What stands under the axis.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["viridis"](np.linspace(0, 0.9, len(curves)))
    for color, (name, rates) in zip(colors, curves.items(), strict=True):
        values, heights = zip(*sorted(rates.items()), strict=True)
        line = {"color": color, "marker": "o", "markevery": [int(np.argmin(heights))]}
        axes.plot(values, heights, label=as_drawn(name), **line)
    lowest = min(rate for rates in curves.values() for rate in rates.values())
    top = max(3 * lowest, lowest + _ABOVE)
    points = [point for rates in curves.values() for point in rates.items()]
    shown = [value for value, rate in points if rate <= top]
    if len(shown) < len(points):
        axes.set_ylim(0, top)
        left, right = min(shown), max(shown)
        if left < right:
            margin = 0.05 * (right - left)
            axes.set_xlim(left - margin, right + margin)
    axes.set_xlabel(option)
    axes.set_ylabel("DER (%)")
    if len(curves) > 1:
        columns = -(-len(curves) // _LEGEND_ROWS)
        figure.legend(loc="outside right upper", ncols=columns, fontsize="small")
    save(figure, path)
