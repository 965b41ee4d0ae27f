"""How loss, sampling and margin of metric learning affect diarization.

Each design learns in two ways: per recording from its own clusters, in place of SSA's
loss; and once, from labelled x-vectors, as the initialization of all recordings, alone
and followed by SSA's learning per recording. The number of speakers is known, and
nothing follows clustering, so that the effect of learning shows.

On callhome_shaped, metrics are trained on the windows of the other half in which one
speaker talks alone, initialized from that half's model; on simulated corpora, on their
labelled x-vectors. All designs run on every fifth recording of both halves and on three
simulated corpora; those that are best on the former run on all recordings and are
compared with the initialization on the others. Metrics are trained once with one seed,
those of the best designs with three. Intervals are 95 %: t over seeds (on simulated
data a seed draws the corpus, too); for differences a bootstrap over recordings.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

# On matrices as small as these, threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from joblib import Parallel, cpu_count, delayed
from scipy import stats

from benchmarks.studies.designs import (
    Corpus,
    Design,
    Way,
    list_designs,
    measure,
    measure_clustering,
    measure_start,
    plain,
    take,
)
from benchmarks.studies.fit import draw, timed
from benchmarks.support.tables import show
from ssahc import DiarizeOptions, make_options
from ssahc.core.types import FloatArray
from ssahc.io.labelled import write_labelled
from ssahc.pipeline.clustering import ClusteringName

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORPORA: tuple[Corpus, ...] = ("callhome_shaped", "simulated")
TITLES: Mapping[Way, str] = {
    "each": "each recording",
    "once": "once",
    "once+each": "once, then SSA",
}
WAYS = tuple(TITLES)
COLORS = ("#0072b2", "#e69f00", "#009e73")
SECTIONS = ("designs", "clusterings", "training")
_BEST, _DRAWS = 5, 2000

Found = dict[tuple[Corpus, Design, Way], FloatArray]


def measure_all(
    data: Path,
    wanted: Iterable[tuple[Corpus, Design, bool, int]],
    *,
    whole: bool,
    jobs: int,
) -> Found:
    """Return times (S, R, 2) over seeds and recordings.

    Parameters
    ----------
    data : Path
    wanted : iterable of (corpus, design, bool, int)
        Whether a design learns once, and with how many seeds.
    whole : bool
    jobs : int
    """
    tasks = [
        (corpus, design, once, seed)
        for corpus, design, once, seeds in wanted
        for seed in range(seeds)
    ]
    answers = Parallel(n_jobs=jobs)(
        delayed(measure)(corpus, data, design, seed, whole=whole, once=once)
        for corpus, design, once, seed in tasks
    )
    found: dict[tuple[Corpus, Design, Way], list[FloatArray]] = {}
    for (corpus, design, _, _), answer in zip(tasks, answers, strict=True):
        for way, times in answer.items():
            found.setdefault((corpus, design, way), []).append(times)
    return {key: np.array(times) for key, times in found.items()}


def measure_starts(
    corpus: Corpus, data: Path, seeds: int, *, whole: bool
) -> dict[str, FloatArray]:
    """Return times (S, R, 2) by name."""
    drawn = range(seeds if corpus == "simulated" else 1)
    found = [measure_start(corpus, data, seed, whole=whole) for seed in drawn]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def count_seeds(corpus: Corpus, design: Design, seeds: int, *, once: bool) -> int:
    """Return with how many seeds a design is measured among all."""
    if corpus == "simulated":
        return seeds
    # Training once takes as long as all recordings; the best are trained again.
    return seeds if design.draws and not once else 1


def rate(times: FloatArray) -> FloatArray:
    """Return error rates in percent, pooled over recordings (..., R, 2)."""
    errors, scored = np.moveaxis(times.sum(axis=-2), -1, 0)
    return np.asarray(100 * errors / scored)


def half_interval(rates: FloatArray) -> float:
    """Return half the 95 % interval of the mean over seeds; 0 of a single one."""
    if len(rates) < 2:
        return 0.0
    error = rates.std(ddof=1) / np.sqrt(len(rates))
    return float(stats.t.ppf(0.975, len(rates) - 1) * error)


def with_interval(times: FloatArray) -> str:
    """Return the mean over seeds, and its interval if there are several."""
    rates = rate(times)
    text = f"{rates.mean():.2f}"
    return text if len(rates) < 2 else f"{text} ± {half_interval(rates):.2f}"


def difference(times: FloatArray, other: FloatArray) -> str:
    """Return by how much a rate is above another's, with its bootstrap interval."""
    pair = np.stack([times.mean(axis=0), other.mean(axis=0)])
    count = pair.shape[1]
    drawn = np.random.default_rng(0).integers(count, size=(_DRAWS, count))
    rates = rate(pair[:, drawn])
    low, high = np.quantile(rates[0] - rates[1], [0.025, 0.975])
    one, two = rate(pair)
    return f"{one - two:+.2f} [{low:+.2f}, {high:+.2f}]"


# ---- sections ----------------------------------------------------------------------


def show_designs(
    found: Found, designs: Sequence[Design], starts: Mapping[str, list[FloatArray]]
) -> None:
    """Print a row for each design, and below what there is without one."""
    columns = [(corpus, way) for corpus in CORPORA for way in WAYS]
    rows = [
        (*design.names, *(with_interval(found[c, design, way]) for c, way in columns))
        for design in designs
    ]
    headings = [f"{corpus}, {TITLES[way]}" for corpus, way in columns]
    show(rows, ("loss", "sampling", "margin", *headings), text=3)
    rows = [(name, *map(with_interval, times)) for name, times in starts.items()]
    show(rows, ("start", *CORPORA))


def show_best(found: Found, chosen: Sequence[tuple[Design, Way]], data: Path) -> None:
    """Print the best on all recordings, by the number of speakers."""
    starts = measure_starts("callhome_shaped", data, 1, whole=True)
    items = take("callhome_shaped", data, whole=True)
    counts = np.minimum([item.count for _, item in items], 5)
    subset = take("callhome_shaped", data, whole=False)
    chosen_by = {item.recording.id for _, item in subset}
    others = np.array([item.recording.id not in chosen_by for _, item in items])
    base = starts["PLDA of the model, SSA"]
    answers = {
        (" ".join(filter(None, design.names)), TITLES[way]): found[
            "callhome_shaped", design, way
        ]
        for design, way in chosen
    } | {(name, ""): times for name, times in starts.items()}
    rows = [
        (
            *(*names, with_interval(times)),
            difference(times[:, others], base[:, others]),
            *(
                f"{rate(times[:, counts == count]).mean():.2f}"
                for count in np.unique(counts)
            ),
        )
        for names, times in answers.items()
    ]
    against = "on the others, less PLDA of the model, SSA"
    heading = ("known N", against, "2", "3", "4", "5 or more")
    show(rows, ("design", "learns", *heading), text=2)


def choose_best(found: Found, designs: Sequence[Design]) -> list[tuple[Design, Way]]:
    """Return the five best designs for each recording, and the five learned once."""
    ways: tuple[Way, ...] = ("each", "once+each")
    return [
        (design, way)
        for way in ways
        for design in sorted(
            designs, key=lambda one: rate(found["callhome_shaped", one, way]).mean()
        )[:_BEST]
    ]


def show_clusterings(data: Path, jobs: int) -> None:
    """Print what each clustering does, in the end and as what is learned from."""
    rows: dict[tuple[str, str], DiarizeOptions] = {}
    for name in get_args(ClusteringName):
        ending = {"final_clustering": name}
        if name == "ahc":
            ending["resegmentation"] = "none"
        for system in ("cosine", "ssahc"):
            rows[f"final, {system}", name] = make_options(system=system, **ending)
        rows["first, ssahc", name] = plain(clustering=name)
    found = Parallel(n_jobs=jobs)(
        delayed(measure_clustering)(data, options) for options in rows.values()
    )
    table = [
        (*names, f"{rate(known):.2f}", f"{rate(estimated):.2f}")
        for names, (known, estimated) in sorted(zip(rows, found, strict=True))
    ]
    show(table, ("where", "clustering", "known N", "estimated"), text=2)


def draw_designs(
    found: Found, designs: Sequence[Design], starts: Mapping[str, list[FloatArray]]
) -> "Figure":
    """Draw error rates of all designs on callhome_shaped, by how they are used."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.22 * len(designs) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(designs))
    for offset, way, color in zip((-0.2, 0, 0.2), WAYS, COLORS, strict=True):
        rates = [rate(found["callhome_shaped", design, way]) for design in designs]
        axes.errorbar(
            [one.mean() for one in rates],
            places + offset,
            xerr=[half_interval(one) for one in rates],
            fmt="o",
            markersize=4,
            color=color,
            label=TITLES[way],
        )
    names = ("PLDA of the model, alone", "PLDA of the model, SSA")
    for name, style in zip(names, (":", "--"), strict=True):
        level = rate(starts[name][0]).mean()
        axes.axvline(level, color="0.4", linestyle=style, label=name)
    labels = [" ".join(filter(None, design.names)) for design in designs]
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("DER %, known N, every fifth recording of callhome_shaped")
    axes.legend(fontsize=8)
    return figure


def time_training() -> None:
    """Print what ``ssahc train-metric`` takes on 50,000 x-vectors."""
    labelled = draw(5000, 10, 128)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "train"
        write_labelled(folder, labelled)
        command = [sys.executable, "-m", "ssahc", "train-metric", folder, f"{name}/out"]
        timed("ssahc train-metric", lambda: subprocess.run(command, check=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, metavar="SECTION", default=SECTIONS
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=cpu_count())
    parser.add_argument("--picture", type=Path)


def main(arguments: argparse.Namespace) -> None:
    data, seeds, jobs = arguments.data, arguments.seeds, arguments.jobs
    begun = time.monotonic()
    if "designs" in arguments.sections:
        designs = list_designs()
        wanted = [
            (corpus, design, once, count_seeds(corpus, design, seeds, once=once))
            for corpus in CORPORA
            for design in designs
            for once in (True, False)
        ]
        found = measure_all(data, wanted, whole=False, jobs=jobs)
        by_corpus = [
            measure_starts(corpus, data, seeds, whole=False) for corpus in CORPORA
        ]
        starts = {name: [one[name] for one in by_corpus] for name in by_corpus[0]}
        show_designs(found, designs, starts)
        if arguments.picture is not None:
            draw_designs(found, designs, starts).savefig(arguments.picture)
        print(f"{time.monotonic() - begun:.0f} s", flush=True)
        chosen = choose_best(found, designs)
        best = [
            (
                *("callhome_shaped", design, way != "each"),
                seeds if design.draws or way != "each" else 1,
            )
            for design, way in chosen
        ]
        found = measure_all(data, best, whole=True, jobs=jobs)
        show_best(found, chosen, data)
        print(f"{time.monotonic() - begun:.0f} s", flush=True)
    if "clusterings" in arguments.sections:
        show_clusterings(data, jobs)
    if "training" in arguments.sections:
        time_training()
