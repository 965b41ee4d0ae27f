"""Error rates by the number of speakers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ssahc.report.figure import label, plain_style, save
from ssahc.report.palette import speaker_color
from ssahc.scoring.breakdown import Group, Summary


@plain_style()
def save_speakers(
    path: Path, breakdowns: Mapping[str, Mapping[Group | None, Summary]]
) -> None:
    """Save pooled error rates as bars: a group a number of speakers, a bar a system.

    Parameters
    ----------
    path : Path
        The suffix decides on the format: .png, .svg or .pdf.
    breakdowns : mapping
        Name of the system to number of reference speakers to the summary of the
        recordings with that many.
    """
    from matplotlib.figure import Figure

    first = next(iter(breakdowns.values()))
    figure = Figure(figsize=(max(1.2 * len(first), 6), 4), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(breakdowns)
    for index, (system, groups) in enumerate(breakdowns.items()):
        rates = [groups[count].pooled.der for count in first]
        places = np.arange(len(first)) + (index + 0.5) * width - 0.4
        color = speaker_color(index)
        bars = axes.bar(places, rates, width, label=f" {label(system)}", color=color)
        if len(breakdowns) <= 3:
            axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=1)
    names = [f"{count}\nn = {first[count].recordings}" for count in first]
    axes.set_xticks(range(len(first)), names)
    axes.set_xlabel("speakers in the reference (n: recordings)")
    axes.set_ylabel("DER (%)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)
