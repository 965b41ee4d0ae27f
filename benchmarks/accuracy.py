"""Error rates of systems on many sets; thresholds are tuned on the other half.

DATA holds callhome_shaped, callhome_real and callhome_model; the other sets are
simulated (support/sets.py). Conditions: the number of speakers known; estimated with
the threshold that is best on the other half (spectral clustering uses the eigengap);
and estimated with the options as they are. Error rates are pooled and scored like
NIST's md-eval (-1 -c 0.25). At the end, the default is compared with the better of
cosine AHC and PLDA AHC, with the standard error of the difference over recordings.
With --cache, results of unchanged code are not computed again.
"""

import argparse
import inspect
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# On matrices as small as these, threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from joblib import Memory, Parallel, cpu_count, delayed, hash

import ssahc
from benchmarks.support.halves import (
    Halves,
    Item,
    Outcome,
    add,
    choose,
    make_scorer,
    measure_fresh,
    name_points,
)
from benchmarks.support.sets import SETS
from benchmarks.support.tables import show
from ssahc import DiarizeOptions, Score, UsageError, make_options
from ssahc.pipeline.options import choose_system

# A new system is a line more.
SYSTEMS = {
    "cosine": make_options(system="cosine"),
    "plda te 0.1": make_options(system="plda", target_energy=0.1),
    "plda te 0.3": make_options(system="plda", target_energy=0.3),
    "spectral": make_options(system="spectral"),
    "paper-ssa1": make_options("paper-ssa1", system="ssahc"),
    "paper-ssa1 + plda te 0.3": make_options(
        "paper-ssa1", system="ssahc+plda", target_energy=0.3
    ),
    "default": make_options(),
}
BASELINES = "cosine", "plda te 0.1"
# The default must not be worse than the better by more than the larger of these.
MOST_POINTS, MOST_PERCENT = 0.3, 5.0
THRESHOLDS = [
    *(-16.0, -8.0, -4.0, -2.0, -1.5),
    *(round(0.1 * step, 1) for step in range(-10, 11)),
    *(1.5, 2.0, 4.0, 8.0, 16.0),
]
CONDITIONS = "known N", "held-out", "estimated"


@dataclass(frozen=True)
class Row:
    """How a system did on a set.

    Attributes
    ----------
    scores : mapping
        Condition to the score of every recording.
    excess : tuple of int
        Speakers estimated beyond those who speak, for every recording.
    seconds : float
        CPU time of the estimated condition.
    thresholds : str
        The held-out ones.
    """

    scores: Mapping[str, list[Score]]
    excess: tuple[int, ...]
    seconds: float
    thresholds: str

    def rate(self, condition: str) -> float:
        """Return the pooled DER in per cent."""
        return sum(self.scores[condition], Score()).der

    def errors(self, condition: str) -> np.ndarray:
        """Return the errors of every recording, in seconds."""
        scores = self.scores[condition]
        return np.array([s.missed + s.false_alarm + s.confusion for s in scores])


Results = dict[str, dict[str, Row]]


def work(
    item: Item, systems: Mapping[str, DiarizeOptions], memory: Memory
) -> dict[str, Outcome]:
    """Measure systems on a recording."""
    scorer = memory.cache(make_scorer)(item)
    run = memory.cache(measure_fresh)
    return {
        name: run(item, scorer, options, THRESHOLDS)
        for name, options in systems.items()
    }


def run_set(
    name: str,
    halves: Halves,
    systems: Mapping[str, DiarizeOptions],
    memory: Memory,
    parallel: Parallel,
) -> Results:
    """Measure the systems that a set has the input for.

    Returns
    -------
    dict
        Name of the set, or of one half of it, to system to row.
    """
    systems = {
        system: options
        for system, options in systems.items()
        if runs_on(options, halves)
    }
    tasks = [(half, item) for half, items in halves.items() for item in items]
    outcomes = parallel(delayed(work)(item, systems, memory) for _, item in tasks)
    results: Results = {}
    for system in systems:
        measured: dict[str, list[Outcome]] = {half: [] for half in halves}
        for (half, _), outcome in zip(tasks, outcomes, strict=True):
            measured[half].append(outcome[system])
        for suffix, row in make_rows(measured).items():
            results.setdefault(name + suffix, {})[system] = row
    return results


def runs_on(options: DiarizeOptions, halves: Halves) -> bool:
    """Whether a set has what a system needs."""
    try:
        for items in halves.values():
            choose_system(options.system, items[0].model)
    except UsageError:
        return False
    return True


def make_rows(measured: Mapping[str, list[Outcome]]) -> dict[str, Row]:
    """Turn what was measured on two halves into rows.

    Returns
    -------
    dict
        One row under an empty name; or one a half, where halves are one recording each.
    """
    points = choose({half: add(outcomes) for half, outcomes in measured.items()})
    groups = {"": list(measured)}
    if all(len(outcomes) == 1 for outcomes in measured.values()):
        groups = {f" {half}": [half] for half in measured}
    rows = {}
    for suffix, group in groups.items():
        outcomes = [outcome for half in group for outcome in measured[half]]
        total = add(outcomes)
        scores = {
            "known N": [outcome.known for outcome in outcomes],
            "held-out": [
                outcome.sweep.scores[points[half]]
                for half in group
                for outcome in measured[half]
            ],
            "estimated": [outcome.estimated for outcome in outcomes],
        }
        thresholds = name_points(total, (points[half] for half in group))
        rows[suffix] = Row(scores, total.excess, total.seconds, thresholds)
    return rows


def fingerprint() -> str:
    """Return a digest of the code that decides what is measured."""
    package = Path(ssahc.__file__).parent
    files = [Path(inspect.getfile(Outcome)), *sorted(package.rglob("*.py"))]
    return hash([file.read_bytes() for file in files])


def show_rates(results: Results) -> None:
    """Print how every system did on every set."""
    heading = ["set", "system", *CONDITIONS]
    heading += ["speakers off", "bias", "CPU s", "thresholds"]
    rows = (
        (
            *(name, system),
            *(f"{row.rate(condition):.2f}" for condition in CONDITIONS),
            f"{np.abs(row.excess).mean():.2f}",
            f"{np.mean(row.excess):+.2f}",
            f"{row.seconds:.1f}",
            row.thresholds,
        )
        for name, systems in results.items()
        for system, row in systems.items()
    )
    show(rows, heading, text=2)


def show_comparison(results: Results) -> None:
    """Print how much worse the default is than the better baseline of each set."""
    rows, better, worse = [], 0, 0
    for name, systems in results.items():
        baselines = [system for system in BASELINES if system in systems]
        if "default" not in systems or not baselines:
            continue
        ours = systems["default"]
        for condition in CONDITIONS:
            best = min(baselines, key=lambda system: systems[system].rate(condition))
            rate = systems[best].rate(condition)
            gap = ours.rate(condition) - rate
            flag = gap > max(MOST_POINTS, MOST_PERCENT / 100 * rate)
            better, worse = better + (gap < 0), worse + flag
            error = find_error(ours, systems[best], condition)
            rows.append(
                (
                    *(name, condition, best, f"{rate:.2f}"),
                    *(f"{ours.rate(condition):.2f}", f"{gap:+.2f}", f"{error:.2f}"),
                    "WORSE" if flag else "",
                )
            )
    if rows:
        heading = ("set", "condition", "better AHC", "AHC", "default", "gap", "± s.e.")
        show(rows, (*heading, ""), text=2)
        print(
            f"Of {len(rows)} cells, the default is better in {better}, and in {worse} "
            f"worse by more than {MOST_POINTS} points and {MOST_PERCENT:g} %."
        )


def find_error(first: Row, second: Row, condition: str) -> float:
    """Return the standard error of a difference of pooled DERs, in points.

    Recordings are what is drawn at random; both systems had the same.
    """
    scored = np.array([score.scored for score in first.scores[condition]])
    if len(scored) < 2:
        return float("nan")
    differences = first.errors(condition) - second.errors(condition)
    # Of a ratio of sums: what is left beside the common ratio.
    rest = differences - differences.sum() / scored.sum() * scored
    return 100 * float(np.sqrt(len(rest)) * rest.std(ddof=1) / scored.sum())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--sets", nargs="+", choices=SETS, metavar="SET", default=list(SETS)
    )
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, metavar="SYSTEM", default=list(SYSTEMS)
    )
    parser.add_argument("--seed", type=int, default=0, help="of the simulated sets")
    parser.add_argument("--jobs", type=int, default=cpu_count())
    parser.add_argument("--cache", type=Path, help="folder to keep outcomes in")


def main(arguments: argparse.Namespace) -> None:
    start = time.monotonic()
    systems = {name: SYSTEMS[name] for name in arguments.systems}
    cache = arguments.cache and arguments.cache / fingerprint()
    memory = Memory(cache, verbose=0)
    results: Results = {}
    with Parallel(n_jobs=arguments.jobs) as parallel:
        for name in arguments.sets:
            halves = SETS[name](arguments.data, arguments.seed)
            print(f"{time.monotonic() - start:4.0f} s  {name}", file=sys.stderr)
            results |= run_set(name, halves, systems, memory, parallel)
    show_rates(results)
    show_comparison(results)
    print(f"{time.monotonic() - start:.0f} s with {arguments.jobs} jobs")
