"""``ssahc tune``."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import floor, isfinite
from pathlib import Path
from typing import Any

import click

from ssahc.cli.batch import CONFIG, work_through
from ssahc.cli.diarize import Run, check_device, settle_system
from ssahc.cli.inputs import CONFLICTS, Inputs, open_inputs, open_source
from ssahc.cli.options import (
    PATH,
    Verb,
    config_option,
    options_of,
    preset_option,
    take_options,
)
from ssahc.cli.references import Protocol, References, read_references
from ssahc.cli.sweeps import (
    draw_sweep,
    print_folds,
    print_sweep,
    write_folds,
    write_sweep,
)
from ssahc.config import resolve, write_config
from ssahc.cuts import LabelScorer
from ssahc.errors import DataError, UsageError
from ssahc.io.files import staged_output
from ssahc.io.xvectors import read_recordings
from ssahc.parallel import RunningOptions
from ssahc.pipeline import DiarizeOptions
from ssahc.plots.figure import can_draw
from ssahc.scoring import Score, ScoringOptions
from ssahc.tuning import (
    Fold,
    Grid,
    Point,
    Sweep,
    check_grid,
    cross_validate,
    pool_sweeps,
    sweep_recording,
)
from ssahc.types import Fault, Recording

_logger = logging.getLogger("ssahc")
_TABLE, _FOLDS, _PICTURE = "tuning.csv", "folds.csv", "tuning.png"
# Most steps from start to stop.
_MOST = 10_000


@dataclass(frozen=True)
class GridOptions:
    """What is tried; every combination of it.

    The default thresholds suit every kind of affinity: in steps of 0.05 where cosines
    are, and beyond, where only log-likelihood ratios get, in steps that grow with the
    distance from zero. Thresholds cost next to nothing.

    Parameters
    ----------
    thresholds : str
        Values of --threshold: numbers with commas between them; start:stop:step stands
        for all from start to stop. Not for known numbers of speakers.
    fusion_weights : str, optional
        Values of --fusion-weight, written in the same way.
    init_thresholds : str, optional
        Values of --init-threshold.
    gammas : str, optional
        Values of --gamma.
    folds : int, optional
        Also deal the recordings into so many folds, and score each of them with the
        values that are best for the others.
    """

    thresholds: str = "-50:-10:5,-5:-1:0.5,-1:1:0.05,1:5:0.5,10:50:5"
    fusion_weights: str | None = None
    init_thresholds: str | None = None
    gammas: str | None = None
    folds: int | None = None

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise UsageError(f"--folds must be 2 or more, found {self.folds}")


# Options that have no place beside the values to try, and where these come from.
_SWEPT = {
    "init_threshold": "init_thresholds",
    "gamma": "gammas",
    "fusion_weight": "fusion_weights",
}


@dataclass(frozen=True)
class Tuning:
    """All options of ``ssahc tune``; of those of ``ssahc diarize`` it has most."""

    run: Run = field(default_factory=Run)
    grid: GridOptions = field(default_factory=GridOptions)
    protocol: Protocol = field(default_factory=Protocol)


@dataclass(frozen=True, eq=False)
class _Tuned:
    """What was found."""

    sweep: Sweep
    best: Point
    folds: list[Fold]
    faults: list[Fault]


@click.command("tune", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("ref_rttm", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(
    Tuning, without={"xvector_dir", "threshold", "write_scores", "rttm_channel"}
)
@options_of(RunningOptions)
@preset_option
@config_option
def command(
    xvector_dir: Path,
    ref_rttm: Path,
    out_dir: Path,
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Find the threshold and other options that serve XVECTOR_DIR best.

    Each recording is clustered once and cut at every threshold; what is learned is
    fused at every weight. OUT_DIR gets tuning.csv (the error rates of the pooled
    recordings), tuning.png, and config.toml: the options with the best values and
    without any files, for other recordings:

      ssahc diarize OTHER_DIR OUT --model-dir MODEL --config OUT_DIR/config.toml

    With known numbers of speakers (--reco2num-spk, --num-speakers) there is no
    threshold, and the other options are swept. With --folds, recordings are dealt like
    cards in the order of spk2utt; folds.csv says what each got.

    Exit status: 0 all recordings done; 1 some failed and are left out; 2 wrong usage or
    nothing done, nothing is written.
    """
    running = take_options(RunningOptions, given)
    given["xvector_dir"] = xvector_dir
    for name, values in _SWEPT.items():
        if given[name] is not None and given[values] is not None:
            one, many = (f"--{key.replace('_', '-')}" for key in (name, values))
            raise UsageError(f"{one} has no use beside {many}; leave it out")
    options = resolve(Tuning, given, config=config, preset=preset, displaces=CONFLICTS)
    if (out_dir / "rttm").exists():
        raise UsageError(
            f"{out_dir}: holds a diarization, whose {CONFIG} would be lost; choose "
            "another folder"
        )
    ours = (_FOLDS, _PICTURE) if (out_dir / _TABLE).exists() else ()
    files = (_TABLE, _FOLDS, _PICTURE, CONFIG)
    with staged_output(out_dir, files, stale=ours) as folder:
        tuned = _tune(folder, ref_rttm, options, running)
    _print(tuned, options.protocol.scoring, out_dir)
    sys.exit(1 if tuned.faults else 0)


@dataclass(frozen=True, eq=False)
class _SweepRecording:
    """The work on one recording, here or in another process."""

    inputs: Inputs
    references: References
    method: DiarizeOptions
    grid: Grid
    scoring: ScoringOptions

    def __call__(self, recording: Recording) -> Sweep:
        turns = self.references.rttm.turns.get(recording.id)
        if turns is None:
            raise DataError(
                f"{self.references.path}: has no turns of this recording; check the ids"
            )
        spans = self.references.spans
        uem = None if spans is None else spans.get(recording.id)
        return sweep_recording(
            recording,
            LabelScorer(recording.segments, turns, self.scoring, uem=uem),
            self.grid,
            self.inputs.model,
            replace(self.method, speakers=self.inputs.speakers_of(recording.id)),
            plda_scores=self.inputs.scores_of(recording, self.method.system),
        )


def _tune(
    out_dir: Path, ref_rttm: Path, options: Tuning, running: RunningOptions
) -> _Tuned:
    run, protocol = options.run, options.protocol
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    method = settle_system(run, inputs).method
    grid = _make_grid(options.grid, method, known=run.tables.reco2num_spk is not None)
    check_device(method, running)
    references = read_references(ref_rttm, protocol.uem)
    folder = open_source(run.source)
    names = folder.utterances.keys() | folder.unlisted.keys()
    others = references.rttm.turns.keys() - names
    if others:
        _logger.info("%s: has %d other recordings as well", ref_rttm, len(others))
    done, faults = work_through(
        read_recordings(folder),
        _SweepRecording(inputs, references, method, grid, protocol.scoring),
        total=len(names),
        what="tuning",
        running=running,
    )
    sweeps = {name: done[name] for name in folder.utterances if name in done}
    pooled = pool_sweeps(sweeps.values())
    best = pooled.best()
    num_folds = options.grid.folds
    folds = [] if num_folds is None else cross_validate(sweeps, num_folds)
    write_sweep(out_dir / _TABLE, pooled)
    write_config(out_dir / CONFIG, pooled.options_at(best, method))
    if folds:
        write_folds(out_dir / _FOLDS, pooled.names, folds)
    if can_draw():
        draw_sweep(out_dir / _PICTURE, pooled)
    return _Tuned(pooled, best, folds, faults)


def _make_grid(options: GridOptions, method: DiarizeOptions, *, known: bool) -> Grid:
    """Return the values to try of every option.

    Raises
    ------
    UsageError
        If there is nothing to sweep, or the options contradict each other.
    """
    grid = {
        name: parse_numbers(f"--{values.replace('_', '-')}", getattr(options, values))
        for name, values in _SWEPT.items()
        if getattr(options, values) is not None
    }
    if not known and method.speakers.num_speakers is None:
        grid["threshold"] = parse_numbers("--thresholds", options.thresholds)
    elif options.thresholds != GridOptions.thresholds:
        raise UsageError("with known numbers of speakers there are no --thresholds")
    if not grid:
        raise UsageError(
            "with known numbers of speakers there is no threshold to tune; give values "
            "by --fusion-weights, --gammas or --init-thresholds"
        )
    check_grid(grid, method)
    return grid


def parse_numbers(flag: str, text: str) -> tuple[float, ...]:
    """Return the numbers that a list like ``-2,0:1:0.1`` stands for, in their order.

    Raises
    ------
    UsageError
        If it is no such list.
    """
    try:
        numbers = {number for part in text.split(",") for number in _expand(part)}
    except ValueError as error:
        raise UsageError(
            f"{flag}: expected numbers like 0.1,0.2 or start:stop:step, found {text!r}"
        ) from error
    return tuple(sorted(numbers))


def _expand(part: str) -> Iterator[float]:
    numbers = [float(number) for number in part.split(":")]
    if not all(map(isfinite, numbers)):
        raise ValueError("not finite")
    if len(numbers) == 1:
        yield numbers[0]
        return
    start, stop, step = numbers
    if not (step > 0 and start <= stop):
        raise ValueError("no way from start to stop")
    steps = (stop - start) / step + 1e-9
    if steps > _MOST:
        raise UsageError(f"{part}: more than {_MOST} values; take larger steps")
    for index in range(floor(steps) + 1):
        # Without the dust of sums of decimal fractions, and zero without its sign.
        yield round(start + index * step, 10) + 0.0


def _print(tuned: _Tuned, scoring: ScoringOptions, out_dir: Path) -> None:
    names = tuned.sweep.names
    print_sweep(tuned.sweep, tuned.best)
    overlap = "not scored" if scoring.ignore_overlaps else "scored"
    click.echo(f"collar {scoring.collar:g} s, overlap {overlap}")
    if tuned.folds:
        click.echo()
        print_folds(names, tuned.folds)
        pooled = sum((fold.held_out for fold in tuned.folds), Score())
        click.echo(f"all recordings, held out: DER {pooled.der:.2f} %")
    values = zip(names, tuned.best, strict=True)
    said = ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in values)
    rate = tuned.sweep.scores[tuned.best].der
    click.echo(f"\nbest: {said}, DER {rate:.2f} %; {out_dir / CONFIG} has it")
    for name, value, option in zip(names, tuned.best, map(_plural, names), strict=True):
        tried = tuned.sweep.values(names.index(name))
        # A weight of 0 or 1 is the edge of what there is.
        if len(tried) == 1 or (name == "fusion_weight" and value in (0, 1)):
            continue
        for edge, what in ((min(tried), "smaller"), (max(tried), "larger")):
            if value == edge:
                _logger.warning(
                    "the best %s, %g, is at the edge of what was tried; a %s one may "
                    "be better: give more values by %s",
                    name.replace("_", "-"),
                    value,
                    what,
                    option,
                )


def _plural(name: str) -> str:
    return f"--{name.replace('_', '-')}s"
