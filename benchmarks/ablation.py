"""What each part of the default systems contributes: each is left out in turn.

Rows are the default with other options, or with a step of the resegmentation replaced
by a simpler one. Error rates are pooled over both halves, each with the other's model,
and scored like NIST's md-eval (-1 -c 0.25); nothing is tuned on either half.
"""

import argparse
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

# On matrices as small as these, threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from joblib import Parallel, cpu_count, delayed

from benchmarks.support.halves import Item, Outcome, add, make_scorer, measure_fresh
from benchmarks.support.sets import SETS
from benchmarks.support.tables import show
from ssahc import make_options
from ssahc.core.types import FloatArray
from ssahc.resegmentation.merge_path import MergePath, merge_to_one

_STEPS = "ssahc.resegmentation.resegment"


def half_each(segments: FloatArray) -> FloatArray:
    """Let every window count for half an observation, whatever time it shares."""
    return np.full(len(segments), 0.5)


def same_for_all(segments: FloatArray, loop_seconds: float) -> FloatArray:
    """Let the speaker stay with the same probability between any two windows."""
    return np.full(len(segments) - 1, np.exp(-0.75 / loop_seconds))


def as_modelled(*_: Any) -> float:
    """Take the noise to be what the model says."""
    return 1.0


def without_drift(*arguments: Any) -> MergePath:
    """Merge speakers as if none of them drifted."""
    return merge_to_one(*arguments[:-1], drift=0.0)


def as_it_is(path: MergePath, *_: Any) -> MergePath:
    """Let no noise last."""
    return path


@dataclass(frozen=True)
class Part:
    """The default without one of its parts."""

    options: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)
    keeps_plda: bool = True

    def leave_out(self) -> AbstractContextManager[Any]:
        """Return what replaces the steps as long as it is entered."""
        return patch.multiple(_STEPS, **self.steps) if self.steps else nullcontext()


ROWS = {
    "default (ssahc+plda)": Part(),
    "no learning": Part({"max_steps": 0}),
    "learning: start of the paper": Part({"start": "model"}),
    "learning: 10 dimensions": Part({"projection": "pca"}),
    "learning: no guard": Part({"guard": False}),
    "learning: as paper-ssa1": Part(
        {"start": "model", "projection": "pca", "guard": False}
        | {"init_threshold": 0.1, "lr": 1e-3}
    ),
    "clusters of PLDA alone": Part({"system": "plda", "resegmentation": "vb"}),
    "clusters of the network alone": Part({"system": "ssahc"}),
    "target energy 0.3": Part({"target_energy": 0.3}),
    "no resegmentation": Part({"resegmentation": "none"}),
    "every window counts 1/2": Part(steps={"observation_weights": half_each}),
    "noise as modelled": Part(steps={"noise_variance": as_modelled}),
    "no noise that lasts": Part(steps={"add_lasting_noise": as_it_is}),
    "staying whatever the time": Part(steps={"stay_probabilities": same_for_all}),
    "the PLDA's directions only": Part(steps={"_ISOTROPIC_SHARE": 0.0}),
    "merging as if nobody drifts": Part(steps={"merge_to_one": without_drift}),
    "no PLDA (ssahc)": Part(keeps_plda=False),
    "no PLDA, no resegmentation": Part({"resegmentation": "none"}, keeps_plda=False),
}


def work(item: Item, names: list[str]) -> dict[str, Outcome]:
    """Measure rows on one recording."""
    scorer = make_scorer(item)
    outcomes = {}
    for name in names:
        part, whitening = ROWS[name], replace(item.model, plda=None)
        usual = item if part.keeps_plda else replace(item, model=whitening)
        with part.leave_out():
            options = make_options(**part.options)
            outcomes[name] = measure_fresh(usual, scorer, options, [0.0])
    return outcomes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", choices=SETS, metavar="SET", default="callhome_shaped")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, metavar="ROW", default=list(ROWS)
    )
    parser.add_argument("--jobs", type=int, default=cpu_count())


def main(arguments: argparse.Namespace) -> None:
    halves = SETS[arguments.set](arguments.data, seed=0)
    items = [item for half in halves.values() for item in half]
    found = Parallel(n_jobs=arguments.jobs)(
        delayed(work)(item, arguments.rows) for item in items
    )
    totals = {
        name: add(outcomes[name] for outcomes in found) for name in arguments.rows
    }
    rows = (
        (
            *(name, f"{total.known.der:.2f}", f"{total.estimated.der:.2f}"),
            f"{np.abs(total.excess).mean():.2f}",
            f"{np.mean(total.excess):+.2f}",
            f"{total.seconds:.0f}",
        )
        for name, total in totals.items()
    )
    show(rows, (arguments.set, "known N", "estimated", "speakers off", "bias", "CPU s"))
