"""Diarization of simulated recordings like real ones, and of one voice by its length.

Every kind of ``ssahc simulate --like`` is drawn with its own drift and with less, and
diarized by the default options: without a model, which learns from all recordings, and
with the model of the other half. Of one voice, the first windows of each recording are
diarized, without a model also each recording alone.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# On matrices as small as these, threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.support.halves import Item, make_scorer
from benchmarks.support.sets import simulated
from benchmarks.support.tables import show
from ssahc import Recording, Score, fit_unlabelled, make_options
from ssahc.core.types import NO_MODEL, Model
from ssahc.pipeline.diarize import prepare_recording
from ssahc.simulation.kinds import KINDS

# None, and that of prompts (a speaker reads), besides the kind's own.
DRIFTS = 0.0, 0.2
# Seconds of recordings of several speakers, and windows of those of one.
SECONDS = 30.0, 150.0
WINDOWS = 5, 10, 20, 40, 80, 150, 250, 400
# Long enough for all of these.
_ONE_VOICE = {
    "min_speakers": 1,
    "max_speakers": 1,
    "turn_seconds": 8.0,
    "duration": 345.0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recordings", type=int, default=20, help="in each half")
    parser.add_argument("--seed", type=int, default=0)


def main(arguments: argparse.Namespace) -> None:
    kinds = {
        f"{kind}, {drift:g}": {
            **options,
            "drift": drift,
            "recordings": arguments.recordings,
        }
        for kind, options in KINDS.items()
        for drift in (*DRIFTS, options["drift"])
    }
    rows: list[tuple[str, ...]] = []
    for title, options in kinds.items():
        for seconds in SECONDS:
            items = draw({**options, "duration": seconds}, arguments.seed)
            given = give_models(items)
            rows += [
                (title, f"{seconds:g}", name, *measure(items, given[name]))
                for name in ("none", "other half's")
            ]
    heading = (
        "kind, drift",
        "seconds",
        "model",
        "DER known / estimated",
        "error",
        "right",
    )
    show(rows, heading, text=3)

    print("\nOne voice: % of recordings with one speaker found, by windows\n")
    rows = []
    for title, options in kinds.items():
        items = draw({**options, **_ONE_VOICE}, arguments.seed)
        shares: dict[str, list[str]] = {}
        for size in WINDOWS:
            cut = [cut_item(item, size) for item in items]
            for name, models in give_models(cut).items():
                shares.setdefault(name, []).append(f"{share_of_one(cut, models):.0f}")
        rows += [(title, name, *row) for name, row in shares.items()]
    show(rows, ("kind, drift", "model", *map(str, WINDOWS)), text=2)


def draw(options: Mapping[str, Any], seed: int) -> list[Item]:
    """Return the recordings of both halves, each with the model of the other half."""
    halves = simulated("other", **options)(Path(), seed)
    return [item for half in halves.values() for item in half]


def give_models(items: Sequence[Item]) -> dict[str, list[Model]]:
    """Return the models of recordings: learned from all, from each alone, and given."""
    shared = fit_unlabelled((item.recording for item in items), strict=False)
    return {
        "none": [shared] * len(items),
        "none, alone": [NO_MODEL] * len(items),
        "other half's": [item.model for item in items],
    }


def measure(items: Sequence[Item], models: Sequence[Model]) -> tuple[str, str, str]:
    """Return error rates, mean absolute error of the number, and % that are right."""
    known, estimated, excess = Score(), Score(), []
    for item, model in zip(items, models, strict=True):
        diarize = prepare_recording(item.recording, model)
        scorer, found = make_scorer(item), diarize(make_options())
        told = diarize(make_options(num_speakers=item.count))
        estimated += scorer.score(found.labels)
        known += scorer.score(told.labels)
        excess.append(found.num_speakers - item.count)
    errors = np.abs(excess)
    right = 100 * (errors == 0).mean()
    return (
        f"{known.der:.1f} / {estimated.der:.1f}",
        f"{errors.mean():.2f}",
        f"{right:.0f}",
    )


def cut_item(item: Item, size: int) -> Item:
    """Return the first windows of a recording."""
    whole = item.recording
    part = Recording(
        whole.id,
        whole.utterances[:size],
        whole.segments[:size],
        whole.xvectors[:size],
    )
    return Item(part, item.turns, item.model)


def share_of_one(items: Sequence[Item], models: Sequence[Model]) -> float:
    """Return in how many % of recordings one speaker is found."""
    ones = [
        prepare_recording(item.recording, model)(make_options()).num_speakers == 1
        for item, model in zip(items, models, strict=True)
    ]
    return 100 * sum(ones) / len(ones)
