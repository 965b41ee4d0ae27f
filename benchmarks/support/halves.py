"""Recordings in two halves, and how systems do on them.

Whatever is tuned is tuned on one half and reported on the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time

from ssahc import (
    Diarization,
    DiarizeOptions,
    Fault,
    LabelScorer,
    Model,
    Recording,
    Score,
    SpeakerOptions,
    Sweep,
    Turn,
    diarize_recording,
    make_options,
    open_xvector_dir,
    pool_sweeps,
    read_model_dir,
    read_recordings,
    read_rttm,
)
from ssahc.core.types import NO_MODEL
from ssahc.pipeline.diarize import prepare_recording
from ssahc.pipeline.tune import Grid, Point, sweep_prepared
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

Halves = Mapping[str, list["Item"]]
CALLHOME = {"callhome1": "callhome2", "callhome2": "callhome1"}


@dataclass(frozen=True)
class Item:
    """A recording, its reference turns, and the model to diarize it with."""

    recording: Recording
    turns: list[Turn]
    model: Model

    @property
    def count(self) -> int:
        """The number of speakers."""
        return len({turn.speaker for turn in self.turns})


def read_items(folder: Path, model: Path | None = None) -> list[Item]:
    """Read the recordings of an x-vector folder that has a ref.rttm."""
    turns = read_rttm(folder / "ref.rttm").turns
    shared = NO_MODEL if model is None else read_model_dir(model)
    items = []
    for recording in read_recordings(open_xvector_dir(folder)):
        if isinstance(recording, Fault):
            raise SystemExit(f"{recording.recording}: {recording.reason}")
        items.append(Item(recording, turns[recording.id], shared))
    return items


def read_shaped(data: Path) -> Halves:
    """Read callhome_shaped, each half with the other's model."""
    return {
        half: read_items(
            data / "callhome_shaped" / half, data / "callhome_model" / other
        )
        for half, other in CALLHOME.items()
    }


@dataclass(frozen=True)
class Outcome:
    """How a system did on some recordings.

    Attributes
    ----------
    known : Score
        With the number of speakers known.
    sweep : Sweep
        Over thresholds (of clusterings that know none: their own rule alone).
    estimated : Score
        With the options as they are.
    excess : tuple of int
        Speakers found there beyond those who speak, for every recording.
    seconds : float
        CPU time that took.
    """

    known: Score
    sweep: Sweep
    estimated: Score
    excess: tuple[int, ...]
    seconds: float


def add(outcomes: Iterable[Outcome]) -> Outcome:
    """Put outcomes of one system on several recordings together."""
    outcomes = list(outcomes)
    return Outcome(
        sum((outcome.known for outcome in outcomes), Score()),
        pool_sweeps(outcome.sweep for outcome in outcomes),
        sum((outcome.estimated for outcome in outcomes), Score()),
        tuple(number for outcome in outcomes for number in outcome.excess),
        sum(outcome.seconds for outcome in outcomes),
    )


def make_scorer(item: Item) -> LabelScorer:
    """Return what scores labels of the recording's windows."""
    return LabelScorer(item.recording.segments, item.turns)


def measure(
    diarize: Callable[[DiarizeOptions], Diarization],
    item: Item,
    scorer: LabelScorer,
    options: DiarizeOptions,
    thresholds: Sequence[float],
) -> Outcome:
    """Run a system on one recording: as it is, at thresholds, and told the number.

    Parameters
    ----------
    diarize : callable
        From `prepare_recording`; what it has computed before costs no time again.
    item : Item
    scorer : LabelScorer
        Of the item.
    options : DiarizeOptions
    thresholds : sequence of float
    """
    # Where there is no threshold to vary, the sweep asks the same again.
    diarize = cache(diarize)
    start = process_time()
    estimated = diarize(options)
    seconds = process_time() - start
    grid: Grid = {"threshold": thresholds}
    if options.final_method() != "ahc":
        # Nothing to choose: the eigengap decides, or another rule.
        grid = {"min_speakers": [1]}
    told = replace(options, speakers=SpeakerOptions(num_speakers=item.count))
    return Outcome(
        scorer.score(diarize(told).labels),
        sweep_prepared(diarize, scorer, grid, options),
        scorer.score(estimated.labels),
        (estimated.num_speakers - item.count,),
        seconds,
    )


def choose(outcomes: Mapping[str, Outcome]) -> dict[str, Point]:
    """Return, for each of two halves, what is best on the other."""
    first, second = outcomes
    others = {first: second, second: first}
    return {half: outcomes[other].sweep.best() for half, other in others.items()}


def name_points(outcome: Outcome, points: Iterable[Point]) -> str:
    """Return chosen thresholds as text; of spectral clustering, that it has none."""
    if outcome.sweep.names != ("threshold",):
        return "eigengap"
    return " ".join(f"{value:g}" for (value,) in points)


def measure_fresh(
    item: Item,
    scorer: LabelScorer,
    options: DiarizeOptions,
    thresholds: Sequence[float],
) -> Outcome:
    """Run a system on one recording of which nothing is computed yet.

    The time is then what one run of a user takes. Parameters as for `measure`.
    """
    _warm_up()
    diarize = prepare_recording(item.recording, item.model)
    return measure(diarize, item, scorer, options, thresholds)


@cache
def _warm_up() -> None:
    """Have libraries loaded before a clock starts."""
    corpus = simulate_corpus(SimulateOptions(recordings=1, duration=30.0, dim=16))
    for system in ("ssahc+plda", "spectral"):
        diarize_recording(
            corpus["a"].conversations[0].recording,
            corpus["b"].model,
            make_options("paper-ssa1", system=system),
        )
