"""Reliability diagrams: how often turns are right, by how sure they are."""

from collections.abc import Mapping
from pathlib import Path

from ssahc.report.figure import label, plain_style, save
from ssahc.report.palette import speaker_color
from ssahc.scoring.calibration import NUM_BINS, Calibration


@plain_style()
def save_reliability(path: Path, calibrations: Mapping[str, Calibration]) -> None:
    """Save the share of the time that is right over the confidence, by named system.

    Points are those of `Calibration.bins`, in percent; on the diagonal, turns are right
    as often as is said. Bars below show in what share of the time they are so sure.

    Source: Niculescu-Mizil & Caruana (ICML 2005), reliability diagrams.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 6), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    above.plot([0, 100], [0, 100], "--", color="grey", label="_as sure as right")
    width = 100 / NUM_BINS / len(calibrations)
    for place, (name, found) in enumerate(calibrations.items()):
        bins, color = found.bins(), speaker_color(place)
        above.plot(
            [100 * one.confidence for one in bins],
            [100 * one.right for one in bins],
            "o-",
            color=color,
            label=f" {label(name)}, error {100 * found.error:.1f} %",
        )
        total = found.seconds.sum()
        below.bar(
            [100 * one.low + (place + 0.5) * width for one in bins],
            [100 * one.seconds / total for one in bins],
            width,
            color=color,
        )
    above.set_ylabel("time with the right speaker (%)")
    below.set_ylabel("time (%)")
    below.set_xlabel("confidence (%)")
    for axes in (above, below):
        axes.set_xlim(0, 100)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", frameon=False)
    save(figure, path)
