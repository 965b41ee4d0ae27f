"""Time and memory at growing sizes, and how fast they grow."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.support.processes import Runs
from benchmarks.support.tables import show

# What there is to see of a run: attribute of `Usage`, title, format, unit.
SEEN = (
    ("cpu", "CPU s", ".2f", 1.0),
    ("wall", "wall s", ".2f", 1.0),
    ("peak", "peak MiB", ".0f", 2.0**20),
)
# Method to size to runs.
Sweeps = Mapping[str, Mapping[int, Runs]]
# If the largest size takes less than so many times start-up, that is no growth.
_FLAT = 1.1


def growth(values: Mapping[int, float]) -> str:
    """Return the power of the size that values grow with, over the larger half of them.

    The least of all is start-up, and is subtracted. "flat" is what hardly exceeds it;
    where too little is known, the text is empty.
    """
    sizes = sorted(values)
    larger = sizes[max(1, len(sizes) // 2) :]
    if len(larger) < 2:
        return ""
    start = min(values.values())
    if values[larger[-1]] < _FLAT * start:
        return "flat"
    above = [(size, values[size] - start) for size in larger if values[size] > start]
    if len(above) < 2:
        return ""
    return f"{np.polyfit(*np.log(above).T, 1)[0]:.2f}"


def foresee(sweep: Mapping[int, Runs], size: int) -> float:
    """Return CPU seconds at a size beyond all known, 0 if too little is known.

    The least that was taken is start-up.
    """
    times = {known: runs.median("cpu") for known, runs in sweep.items()}
    start = min(times.values(), default=0.0)
    above = [(known, time - start) for known, time in times.items() if time > start]
    if len(above) < 2:
        return 0.0
    before, last = above[-2:]
    power = np.log(last[1] / before[1]) / np.log(last[0] / before[0])
    return float(start + last[1] * (size / last[0]) ** max(power, 1.0))


def show_sweeps(
    sweeps: Sweeps, limits: Mapping[int, float], ours: str, peers: Collection[str]
) -> None:
    """Print tables of time and memory.

    Parameters
    ----------
    sweeps : mapping
    limits : mapping
        Size to the least CPU seconds of what is ours.
    ours : str
        The method that is compared with every peer, and with the limits.
    peers : collection of str
    """
    sizes = sorted(limits)
    for what, name, form, unit in SEEN:
        values = {
            method: {size: runs.median(what) for size, runs in sweep.items()}
            for method, sweep in sweeps.items()
        }
        rows = [
            (
                method,
                *(
                    sweep[size].show(what, form, unit) if size in sweep else ""
                    for size in sizes
                ),
                growth(values[method]),
            )
            for method, sweep in sweeps.items()
        ]
        compared = {}
        if ours in values and what != "wall":
            compared = {peer: values[peer] for peer in peers if peer in values}
            if what == "cpu":
                shown = (f"{limits[size]:.2g}" for size in sizes)
                rows.append(("the limit", *shown, growth(limits)))
                compared["the limit"] = limits
        rows += [
            (f"{ours} / {peer}", *_ratios(values[ours], others, sizes), "")
            for peer, others in compared.items()
        ]
        print()
        show(rows, [name, *(f"{size:,}" for size in sizes), "exponent"])


def _ratios(
    ours: Mapping[int, float], theirs: Mapping[int, float], sizes: Iterable[int]
) -> Sequence[str]:
    return [
        show_ratio(ours[size], theirs[size]) if size in ours and size in theirs else ""
        for size in sizes
    ]


def show_ratio(ours: float, theirs: float) -> str:
    """Return how many times as much ours takes."""
    ratio = ours / theirs
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def draw(path: Path, sweeps: Sweeps, peers: Collection[str]) -> None:
    """Save time and memory over the number of windows, on logarithmic axes."""
    from matplotlib.figure import Figure

    from ssahc.report.figure import save
    from ssahc.report.palette import speaker_color

    figure = Figure(figsize=(8, 4), layout="constrained")
    both = figure.subplots(1, 2)
    for axes, (what, name, _, unit) in zip(both, (SEEN[0], SEEN[2]), strict=True):
        for place, (method, sweep) in enumerate(sweeps.items()):
            heights = [runs.median(what) / unit for runs in sweep.values()]
            style = "s--" if method in peers else "o-"
            line = {"color": speaker_color(place), "markersize": 4}
            axes.loglog(list(sweep), heights, style, label=method, **line)
        axes.set_xlabel("windows of a recording")
        axes.set_ylabel(name)
    handles, names = both[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize="small")
    save(figure, path)
