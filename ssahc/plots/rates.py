"""Error rates over options."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ssahc.plots.figure import save


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
