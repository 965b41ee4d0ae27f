"""Table 1 of Singh & Ganapathy (Interspeech 2020), row by row, on callhome_shaped.

Every row with the number of speakers known, and estimated with a threshold chosen on
the other half (spectral clustering uses the eigengap). Each half is diarized with the
other half's model; both are pooled and scored like NIST's md-eval (0.25 s collar,
overlap not scored).

DATA holds callhome_shaped and callhome_model. PLDA rows use the recipe's target energy
(0.1) and that of the authors' code (0.3). Compare the order of the rows with the
paper's figures, not the numbers: its x-vectors are those of the real recordings, ours
are simulated. --more replaces the rows by settings that the paper's table leaves out.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed

from benchmarks.support.halves import (
    Item,
    Outcome,
    add,
    choose,
    make_scorer,
    measure,
    name_points,
    read_shaped,
)
from ssahc import DiarizeOptions, Score, make_options
from ssahc.pipeline.diarize import prepare_recording

# The grid on which real Kaldi's figures for callhome_shaped were made.
THRESHOLDS = [-2.0, -1.0, -0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5, 1.0]


@dataclass(frozen=True)
class Row:
    """Options of ``ssahc diarize``, and the paper's DER with N known and estimated."""

    paper: tuple[float, float] | None
    values: dict[str, Any]

    def options(self) -> DiarizeOptions:
        """Return the row's options."""
        return make_options(**self.values)

    def flags(self) -> str:
        """Return the row's options as the command line has them."""
        return " ".join(
            f"--{name.rstrip('_').replace('_', '-')} {value}"
            for name, value in self.values.items()
        )


def plda(energy: float, **values: Any) -> dict[str, Any]:
    return values | {"target_energy": energy}


def ssa(preset: str, system: str = "ssahc", **values: Any) -> dict[str, Any]:
    return {"system": system, "preset": f"paper-{preset}"} | values


ROWS = {
    "PLDA + AHC, te 0.1": Row((7.01, 8.00), plda(0.1, system="plda")),
    "PLDA + AHC, te 0.3": Row((7.01, 8.00), plda(0.3, system="plda")),
    "cosine + AHC": Row((8.86, 10.00), {"system": "cosine"}),
    "cosine + SC": Row((9.37, 11.86), {"system": "spectral"}),
    "SSA1, lambda 0.0": Row((6.35, 8.26), ssa("ssa1")),
    "SSA1, lambda 0.1": Row((6.47, 8.33), ssa("ssa1-lambda0.1")),
    "SSA1, lambda 0.2": Row((6.32, 8.36), ssa("ssa1-lambda0.2")),
    "SSA2, lambda 0.0": Row((6.37, 8.51), ssa("ssa2")),
    "SSA2, lambda 0.1": Row((6.30, 8.60), ssa("ssa2-lambda0.1")),
    "SSA2, lambda 0.2": Row((6.65, 8.77), ssa("ssa2-lambda0.2")),
    "SSA1 + PLDA, te 0.1": Row((5.88, 7.38), plda(0.1, **ssa("ssa1", "ssahc+plda"))),
    "SSA1 + PLDA, te 0.3": Row((5.88, 7.38), plda(0.3, **ssa("ssa1", "ssahc+plda"))),
    "SSA2 + PLDA, te 0.1": Row((6.10, 7.50), plda(0.1, **ssa("ssa2", "ssahc+plda"))),
    "SSA2 + PLDA, te 0.3": Row((6.10, 7.50), plda(0.3, **ssa("ssa2", "ssahc+plda"))),
}
MORE = {
    "2 periods": Row(None, ssa("ssa1", periods=2)),
    "3 periods": Row(None, ssa("ssa1", periods=3)),
    "2 periods, lambda 0.2": Row(None, ssa("ssa1-lambda0.2", periods=2)),
    "lambda 0.5": Row(None, ssa("ssa1", lambda_=0.5)),
    "lambda 0.5, Kc 3": Row(None, ssa("ssa1", lambda_=0.5, kc=3)),
    "fusion maxabs": Row(None, plda(0.3, **ssa("ssa1", "ssahc+plda", fusion="maxabs"))),
    "fusion znorm": Row(None, plda(0.3, **ssa("ssa1", "ssahc+plda", fusion="znorm"))),
}


def work(item: Item, rows: dict[str, Row]) -> dict[str, Outcome]:
    """Measure all rows on a recording."""
    diarize, scorer = prepare_recording(item.recording, item.model), make_scorer(item)
    return {
        name: measure(diarize, item, scorer, row.options(), THRESHOLDS)
        for name, row in rows.items()
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument("--more", action="store_true")
    parser.add_argument("--jobs", type=int, default=cpu_count())


def main(arguments: argparse.Namespace) -> None:
    rows = MORE if arguments.more else ROWS
    start = time.monotonic()
    halves = read_shaped(arguments.data)
    tasks = [(half, item) for half, items in halves.items() for item in items]
    results = Parallel(n_jobs=arguments.jobs)(
        delayed(work)(item, rows) for _, item in tasks
    )
    print(
        "callhome_shaped, DER %; in brackets the paper's, on real CALLHOME\n"
        f"{'row':22} {'known N':>14} {'estimated N':>14}  thresholds options"
    )
    for name, row in rows.items():
        outcomes = {
            half: add(
                result[name]
                for (where, _), result in zip(tasks, results, strict=True)
                if where == half
            )
            for half in halves
        }
        known = add(outcomes.values()).known
        chosen = choose(outcomes)
        estimated = sum(
            (outcomes[half].sweep.scores[point] for half, point in chosen.items()),
            Score(),
        )
        thresholds = name_points(outcomes["callhome1"], chosen.values())
        paper = (f"({rate:5.2f})" for rate in row.paper or ())
        theirs = [*paper, "", ""]
        print(
            f"{name:22} {known.der:6.2f} {theirs[0]:7} {estimated.der:6.2f} "
            f"{theirs[1]:7}  {thresholds:9}  {row.flags()}"
        )
    print(f"{time.monotonic() - start:.0f} s with {arguments.jobs} jobs")
