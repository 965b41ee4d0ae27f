"""Table 1 of Singh & Ganapathy (Interspeech 2020), row by row, on callhome_shaped.

Every row with the number of speakers known, and estimated: by a threshold that was
chosen on the other half (by eigengap for spectral clustering). Each half is diarized
with the other half's model; both are pooled and scored as NIST's md-eval does
(0.25 s collar, overlap not scored).

    python benchmarks/table1.py DATA [--more] [--jobs N]

DATA holds callhome_shaped and callhome_model. PLDA rows are made with the recipe's
target energy (0.1) and with that of the authors' code (0.3). The paper's figures stand
beside ours for the shape only: its x-vectors are those of the real recordings, ours are
simulated. With --more, what the paper's table leaves out takes the place of its rows.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed

from ssahc import (
    DiarizeOptions,
    Fault,
    LabelScorer,
    Score,
    Sweep,
    diarize_recording,
    make_options,
    open_xvector_dir,
    pool_sweeps,
    read_model_dir,
    read_recordings,
    read_rttm,
    sweep_recording,
)
from ssahc.io.text import read_reco2num_spk

HALVES = {"callhome1": "callhome2", "callhome2": "callhome1"}
# The grid on which real Kaldi's figures for callhome_shaped were made.
THRESHOLDS = [-2.0, -1.0, -0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5, 1.0]


@dataclass(frozen=True)
class Row:
    """Options of ``ssahc diarize``, and the paper's DER with N known and estimated."""

    paper: tuple[float, float] | None
    values: dict[str, Any]

    def options(self, num_speakers: int | None = None) -> DiarizeOptions:
        """Return the row's options for a recording."""
        return make_options(num_speakers=num_speakers, **self.values)

    def grid(self) -> dict[str, list[float]]:
        """Return what is tuned where the number of speakers is estimated."""
        if self.values.get("system") == "spectral":
            # Nothing: the eigengap decides.
            return {"min_speakers": [1]}
        return {"threshold": THRESHOLDS}

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


Scores = tuple[Score, Sweep]


def work(data: Path, half: str, part: slice, rows: dict[str, Row]) -> dict[str, Scores]:
    """Score some recordings of a half: with N known, and over all thresholds."""
    folder = data / "callhome_shaped" / half
    model = read_model_dir(data / "callhome_model" / HALVES[half])
    reference = read_rttm(folder / "ref.rttm").turns
    counts = read_reco2num_spk(folder / "reco2num_spk")
    scores: dict[str, list[Scores]] = {name: [] for name in rows}
    for recording in list(read_recordings(open_xvector_dir(folder)))[part]:
        if isinstance(recording, Fault):
            raise SystemExit(f"{recording.recording}: {recording.reason}")
        scorer = LabelScorer(recording.segments, reference[recording.id])
        for name, row in rows.items():
            known = row.options(counts[recording.id])
            labels = diarize_recording(recording, model, known).labels
            sweep = sweep_recording(recording, scorer, row.grid(), model, row.options())
            scores[name].append((scorer.score(labels), sweep))
    return {name: add(parts) for name, parts in scores.items()}


def add(parts: list[Scores]) -> Scores:
    known, sweeps = zip(*parts, strict=True)
    return sum(known, Score()), pool_sweeps(sweeps)


def held_out(sweeps: dict[str, Sweep]) -> tuple[Score, str]:
    """Score each half at the other's best threshold; also say which these are."""
    chosen = {half: sweeps[other].best() for half, other in HALVES.items()}
    score = sum((sweeps[half].scores[best] for half, best in chosen.items()), Score())
    thresholds = " ".join(f"{value:g}" for (value,) in chosen.values())
    names = sweeps["callhome1"].names
    return score, thresholds if names == ("threshold",) else "eigengap"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--more", action="store_true")
    parser.add_argument("--jobs", type=int, default=cpu_count())
    arguments = parser.parse_args()

    rows = MORE if arguments.more else ROWS
    start = time.monotonic()
    parts = [slice(part, None, arguments.jobs) for part in range(arguments.jobs)]
    tasks = [(half, part) for half in HALVES for part in parts]
    results = Parallel(n_jobs=arguments.jobs)(
        delayed(work)(arguments.data, half, part, rows) for half, part in tasks
    )
    print(
        "callhome_shaped, DER %; in brackets the paper's, on real CALLHOME\n"
        f"{'row':22} {'known N':>14} {'estimated N':>14}  thresholds options"
    )
    for name, row in rows.items():
        halves = {
            half: add(
                [
                    result[name]
                    for (where, _), result in zip(tasks, results, strict=True)
                    if where == half
                ]
            )
            for half in HALVES
        }
        known = sum((known for known, _ in halves.values()), Score())
        estimated, thresholds = held_out(
            {half: sweep for half, (_, sweep) in halves.items()}
        )
        paper = (f"({rate:5.2f})" for rate in row.paper or ())
        theirs = [*paper, "", ""]
        print(
            f"{name:22} {known.der:6.2f} {theirs[0]:7} {estimated.der:6.2f} "
            f"{theirs[1]:7}  {thresholds:9}  {row.flags()}"
        )
    print(f"{time.monotonic() - start:.0f} s with {arguments.jobs} jobs")


if __name__ == "__main__":
    main()
