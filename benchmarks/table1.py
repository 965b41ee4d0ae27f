"""Table 1 of Singh & Ganapathy (Interspeech 2020), row by row, on callhome_shaped.

Every row with the number of speakers known, and estimated: by a threshold that was
chosen on the other half (by eigengap for spectral clustering). Each half is diarized
with the other half's model; both are pooled and scored as NIST's md-eval does
(0.25 s collar, overlap not scored).

    python benchmarks/table1.py DATA [--jobs N]

DATA holds callhome_shaped and callhome_model. PLDA rows are made with the recipe's
target energy (0.1) and with that of the authors' code (0.3). The paper's figures stand
beside ours for the shape only: its x-vectors are those of the real recordings, ours are
simulated.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from ssahc import (
    DiarizeOptions,
    diarize_recording,
    make_options,
    open_xvector_dir,
    read_model_dir,
    read_recordings,
    read_rttm,
)
from ssahc.io.text import read_reco2num_spk
from ssahc.scoring import Score
from ssahc.tuning import LabelScorer, best_threshold, pool_thresholds, score_thresholds

HALVES = {"callhome1": "callhome2", "callhome2": "callhome1"}
# The grid on which real Kaldi's figures for callhome_shaped were made.
THRESHOLDS = [-2.0, -1.0, -0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5, 1.0]


@dataclass(frozen=True)
class Row:
    """Options of ``ssahc diarize``, and the paper's DER with N known and estimated."""

    known: float
    estimated: float
    system: str
    preset: str | None = None
    target_energy: float | None = None

    def options(self, num_speakers: int | None = None) -> DiarizeOptions:
        """Return the row's options for a recording."""
        return make_options(
            self.preset,
            system=self.system,
            target_energy=self.target_energy,
            num_speakers=num_speakers,
        )

    def flags(self) -> str:
        """Return the row's options as the command line has them."""
        given = {
            "--system": self.system,
            "--preset": self.preset,
            "--target-energy": self.target_energy,
        }
        return " ".join(f"{flag} {value}" for flag, value in given.items() if value)


ROWS = {
    "PLDA + AHC, te 0.1": Row(7.01, 8.00, "plda", target_energy=0.1),
    "PLDA + AHC, te 0.3": Row(7.01, 8.00, "plda", target_energy=0.3),
    "cosine + AHC": Row(8.86, 10.00, "cosine"),
    "cosine + SC": Row(9.37, 11.86, "spectral"),
    "SSA1, lambda 0.0": Row(6.35, 8.26, "ssahc", "paper-ssa1"),
    "SSA1, lambda 0.1": Row(6.47, 8.33, "ssahc", "paper-ssa1-lambda0.1"),
    "SSA1, lambda 0.2": Row(6.32, 8.36, "ssahc", "paper-ssa1-lambda0.2"),
    "SSA2, lambda 0.0": Row(6.37, 8.51, "ssahc", "paper-ssa2"),
    "SSA2, lambda 0.1": Row(6.30, 8.60, "ssahc", "paper-ssa2-lambda0.1"),
    "SSA2, lambda 0.2": Row(6.65, 8.77, "ssahc", "paper-ssa2-lambda0.2"),
    "SSA1 + PLDA, te 0.1": Row(5.88, 7.38, "ssahc+plda", "paper-ssa1", 0.1),
    "SSA1 + PLDA, te 0.3": Row(5.88, 7.38, "ssahc+plda", "paper-ssa1", 0.3),
    "SSA2 + PLDA, te 0.1": Row(6.10, 7.50, "ssahc+plda", "paper-ssa2", 0.1),
    "SSA2 + PLDA, te 0.3": Row(6.10, 7.50, "ssahc+plda", "paper-ssa2", 0.3),
}


class Tally:
    """The scores of some recordings of one half, for one row."""

    def __init__(self) -> None:
        self.known = self.eigengap = Score()
        self.by_threshold: dict[float, Score] = {}


def work(data: Path, half: str, part: slice) -> dict[str, Tally]:
    folder = data / "callhome_shaped" / half
    model = read_model_dir(data / "callhome_model" / HALVES[half])
    reference = read_rttm(folder / "ref.rttm").turns
    counts = read_reco2num_spk(folder / "reco2num_spk")
    tallies = {row: Tally() for row in ROWS}
    for recording in list(read_recordings(open_xvector_dir(folder)))[part]:
        scorer = LabelScorer(recording.segments, reference[recording.id])
        for name, row in ROWS.items():
            tally = tallies[name]
            known = row.options(counts[recording.id])
            labels = diarize_recording(recording, model, known).labels
            tally.known += scorer.score(labels)
            free = diarize_recording(recording, model, row.options())
            if free.history is None:
                tally.eigengap += scorer.score(free.labels)
            else:
                scores = score_thresholds(free.history, scorer, THRESHOLDS)
                tally.by_threshold = pool_thresholds([tally.by_threshold, scores])
    return tallies


def add(tallies: list[Tally]) -> Tally:
    total = Tally()
    total.known = sum((tally.known for tally in tallies), Score())
    total.eigengap = sum((tally.eigengap for tally in tallies), Score())
    total.by_threshold = pool_thresholds(tally.by_threshold for tally in tallies)
    return total


def held_out(halves: dict[str, Tally]) -> tuple[Score, str]:
    """Score each half at the other's best threshold; also say which these are."""
    if not halves["callhome1"].by_threshold:
        return sum((half.eigengap for half in halves.values()), Score()), "eigengap"
    chosen = {
        half: best_threshold(halves[other].by_threshold)
        for half, other in HALVES.items()
    }
    score = sum(
        (halves[half].by_threshold[threshold] for half, threshold in chosen.items()),
        Score(),
    )
    return score, " ".join(f"{threshold:g}" for threshold in chosen.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--jobs", type=int, default=cpu_count())
    arguments = parser.parse_args()

    start = time.monotonic()
    parts = [slice(part, None, arguments.jobs) for part in range(arguments.jobs)]
    tasks = [(half, part) for half in HALVES for part in parts]
    results = Parallel(n_jobs=arguments.jobs)(
        delayed(work)(arguments.data, half, part) for half, part in tasks
    )
    print(
        "callhome_shaped, DER %; in brackets the paper's, on real CALLHOME\n"
        f"{'row':20} {'known N':>15} {'estimated N':>16}  {'thresholds':11} options"
    )
    for name, row in ROWS.items():
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
        known = sum((half.known for half in halves.values()), Score())
        estimated, thresholds = held_out(halves)
        print(
            f"{name:20} {known.der:6.2f} ({row.known:5.2f}) {estimated.der:8.2f} "
            f"({row.estimated:5.2f})  {thresholds:11} {row.flags()}"
        )
    print(f"{time.monotonic() - start:.0f} s with {arguments.jobs} jobs")


if __name__ == "__main__":
    main()
