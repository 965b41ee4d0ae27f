"""How well confidence is calibrated, of windows and of turns, and its constants.

DATA holds real and callhome_shaped, as for ``python -m benchmarks real``. Each half of
callhome_shaped is diarized with the model of the other half (callhome_model), all
others without a model. With --fit, x-vector folders with a ref.rttm, without a model,
take their place, and the constants that fit them best are printed; each folder and
system counts the same.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

# On matrices as small as these, threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize

from benchmarks.support.halves import Item, make_scorer, read_items, read_shaped
from benchmarks.support.tables import show
from ssahc import (
    Calibration,
    Diarization,
    SpeakerOptions,
    calibrate,
    fit_unlabelled,
    make_options,
    pool_calibrations,
)
from ssahc.core.types import NO_MODEL, FloatArray
from ssahc.pipeline.clustering import Clustering
from ssahc.pipeline.confidence import Evidence, weigh_evidence
from ssahc.pipeline.diarize import prepare_recording
from ssahc.pipeline.options import settle

SYSTEMS = {
    "default": make_options(),
    "cosine": make_options(system="cosine"),
    "plda": make_options(system="plda"),
}
# Where known numbers are told.
KNOWN = "default, known number"


class Found(NamedTuple):
    """How right windows and turns of a recording are, and the evidence for windows."""

    windows: Calibration
    turns: Calibration
    evidence: Evidence


def run(items: Sequence[Item]) -> dict[str, list[Found]]:
    """Diarize a folder by every system."""
    model = items[0].model
    if model is NO_MODEL:
        model = fit_unlabelled((item.recording for item in items), strict=False)
    results: dict[str, list[Found]] = {name: [] for name in (*SYSTEMS, KNOWN)}
    for item in items:
        diarize = prepare_recording(item.recording, model)
        known = SpeakerOptions(num_speakers=item.count)
        every = SYSTEMS | {KNOWN: replace(make_options(), speakers=known)}
        for name, options in every.items():
            found = diarize(options)
            evidence = weigh_evidence(
                found.segments,
                found.affinity,
                Clustering(found.labels, found.history, found.resegmentation),
                settle(options, model).stop(),
                found.speaker_posterior,
            )
            turns = calibrate(item.turns, found.turns)
            results[name].append(Found(judge(found, item), turns, evidence))
    return results


def judge(found: Diarization, item: Item) -> Calibration:
    """Return how right windows are, by the seconds that each keeps."""
    scorer, member = make_scorer(item), np.eye(found.num_speakers)[found.labels]
    ours, theirs = linear_sum_assignment(member.T @ scorer.mapped, maximize=True)
    right = np.zeros(len(found.labels))
    for speaker, reference in zip(ours, theirs, strict=True):
        mine = found.labels == speaker
        right[mine] = scorer.counted[mine, reference]
    return Calibration(found.window_confidence, scorer.counted.sum(axis=1), right)


def fit(groups: Sequence[Sequence[Found]]) -> FloatArray:
    """Return constants: of margins and of solutions, then without and with numbers."""
    rows, right, wrong = [], [], []
    for group in groups:
        total = sum(found.windows.seconds.sum() for found in group) or 1.0
        for found in group:
            margins, solutions, offset = found.evidence
            numbers = np.full(len(margins), float(offset > 0))
            rows.append(np.column_stack([margins, solutions, 1 - numbers, numbers]))
            right.append(found.windows.right / total)
            wrong.append((found.windows.seconds - found.windows.right) / total)
    table, good, bad = np.vstack(rows), np.concatenate(right), np.concatenate(wrong)

    def loss(constants: FloatArray) -> tuple[float, FloatArray]:
        log_odds = table @ constants
        value = good @ np.logaddexp(0, -log_odds) + bad @ np.logaddexp(0, log_odds)
        slope = bad / (1 + np.exp(-log_odds)) - good / (1 + np.exp(log_odds))
        return float(value), table.T @ slope

    return np.asarray(minimize(loss, np.zeros(4), jac=True).x)


def report(results: dict[str, dict[str, list[Found]]]) -> None:
    """Print a table for each system."""
    for system in next(iter(results.values())):
        rows = []
        for name, by_system in results.items():
            found = by_system[system]
            cells = []
            for kind in ("windows", "turns"):
                one = pool_calibrations(getattr(each, kind) for each in found)
                if kind == "windows":
                    cells += [f"{100 * one.accuracy:.1f}"]
                    cells += [f"{100 * one.mean_confidence:.1f}"]
                cells += [f"{100 * one.error:.1f}", f"{100 * one.worst_holds:.0f}"]
            rows.append((name, *cells))
        print(f"\n{system}\n")
        head = ("set", "right %", "mean %", "ECE %", "worst 10 % hold")
        show(rows, [*head, "turns: ECE %", "worst 10 % hold"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, nargs="?", help="not with --fit")
    parser.add_argument("--fit", nargs="+", type=Path, metavar="FOLDER", default=[])


def main(arguments: argparse.Namespace) -> None:
    sets = {path.name: [read_items(path)] for path in arguments.fit}
    if not sets:
        real = sorted(path.parent for path in arguments.data.glob("real/*/ref.rttm"))
        sets = {path.name: [read_items(path)] for path in real}
        sets["callhome_shaped"] = list(read_shaped(arguments.data).values())
    results = {}
    for name, folders in sets.items():
        each = [run(items) for items in folders]
        results[name] = {key: [f for one in each for f in one[key]] for key in each[0]}
    if arguments.fit:
        groups = [found for one in results.values() for found in one.values()]
        print("constants:", fit(groups).round(2))
    else:
        each = [results[path.name] for path in real]
        together = {key: [f for one in each for f in one[key]] for key in each[0]}
        results["real, together"] = together
    report(results)
