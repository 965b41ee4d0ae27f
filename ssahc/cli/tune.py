"""``ssahc tune``."""

import logging
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from ssahc.cli.diarize import check_device, method_of_workers
from ssahc.cli.diarize_config import DiarizeConfig, settle_system
from ssahc.cli.inputs import (
    CONFLICTS,
    Inputs,
    learn_model,
    open_inputs,
    open_source,
    refuse_same_folder,
    warn_of_other_system,
)
from ssahc.cli.overwrite import has_columns, refuse_others
from ssahc.cli.parsing import (
    PATH,
    Verb,
    config_option,
    options_of,
    preset_option,
    resolve,
    running_options,
    take_running,
)
from ssahc.cli.references import Protocol, References, read_references
from ssahc.cli.runner import CONFIG, TUNING, work_through
from ssahc.cli.score_formats import describe_scoring
from ssahc.cli.sweep_grid import (
    GridOptions,
    make_grid,
    refuse_single_values,
    warn_of_edges,
)
from ssahc.cli.sweep_table import (
    SCORE_COLUMNS,
    draw_sweep,
    print_folds,
    print_sweep,
    write_folds,
    write_sweep,
)
from ssahc.core.errors import DataError, UsageError, counted, printable
from ssahc.core.options import flatten
from ssahc.core.types import Fault, Recording
from ssahc.core.validation import dashed
from ssahc.io.config import write_config
from ssahc.io.folders import staged_output
from ssahc.io.xvectors import read_recordings
from ssahc.pipeline.options import DiarizeOptions
from ssahc.pipeline.tune import (
    Fold,
    Grid,
    Sweep,
    cross_validate,
    pool_sweeps,
    sweep_recording,
)
from ssahc.report.figure import can_draw
from ssahc.runtime.executor import RunningOptions
from ssahc.scoring.label_scorer import LabelScorer
from ssahc.scoring.regions import ScoringOptions

_logger = logging.getLogger("ssahc")
_FOLDS, _PICTURE = "folds.csv", "tuning.png"
# Thresholds on the command line win over numbers of speakers in a config file.
_DISPLACES = CONFLICTS | {"thresholds": {"num_speakers", "reco2num_spk"}}


@dataclass(frozen=True)
class TuneConfig:
    """All options of ``ssahc tune``, most of them those of ``ssahc diarize``."""

    run: DiarizeConfig = field(default_factory=DiarizeConfig)
    grid: GridOptions = field(default_factory=GridOptions)
    protocol: Protocol = field(default_factory=Protocol)


@click.command("tune", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("ref_rttm", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(
    TuneConfig,
    without={
        "xvector_dir",
        "threshold",
        "write_scores",
        "rttm_channel",
        "rttm_confidence",
    },
)
@running_options
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
    """Find the threshold and other options with the lowest DER on XVECTOR_DIR.

    Each recording is trained once per --gammas and --init-thresholds, and clustered
    once for all thresholds. OUT_DIR gets tuning.csv (error rates of the pooled
    recordings), tuning.png, and config.toml: the options with the best values, without
    file names, for other recordings:

      ssahc diarize OTHER_DIR OUT --model-dir MODEL --config OUT_DIR/config.toml

    With known numbers of speakers (--reco2num-spk, --num-speakers) there is no
    threshold, and only the other options are swept. With --folds, recordings are dealt
    to the folds in turn, in the order of spk2utt; folds.csv lists the results.

    Exit status: 0 if all recordings were processed; 1 if some failed and are left out;
    2 on wrong usage or if all failed (nothing is written).
    """
    refuse_same_folder(out_dir, xvector_dir)
    running = take_running(given)
    given["xvector_dir"] = xvector_dir
    refuse_single_values(given)
    options = resolve(
        TuneConfig, given, config=config, preset=preset, displaces=_DISPLACES
    )
    warn_of_other_system(given, config)
    _find_stale(out_dir)
    files = (TUNING, _FOLDS, _PICTURE, CONFIG)
    with staged_output(out_dir, files, stale=partial(_find_stale, out_dir)) as folder:
        sweep, folds, faults = _tune(folder, ref_rttm, options, running)
    _print(sweep, folds, options.protocol.scoring, out_dir / CONFIG)
    sys.exit(1 if faults else 0)


def _find_stale(out_dir: Path) -> tuple[str, ...]:
    """Return files that an earlier run may have left; refuse to replace any others."""
    if has_columns(out_dir / TUNING, SCORE_COLUMNS):
        return _FOLDS, _PICTURE
    if (out_dir / CONFIG).exists():
        raise UsageError(
            f"{out_dir / CONFIG}: was not written by ssahc tune and would be lost; "
            "choose another folder"
        )
    refuse_others(out_dir, (TUNING, _FOLDS, _PICTURE), "tune")
    return ()


def _sweep(
    recording: Recording,
    inputs: Inputs,
    references: References,
    method: DiarizeOptions,
    grid: Grid,
    scoring: ScoringOptions,
) -> Sweep:
    turns = references.rttm.turns.get(recording.id)
    if turns is None:
        raise DataError(
            f"{references.path}: has no turns of this recording; check the ids"
        )
    scorer = LabelScorer(
        recording.segments,
        turns,
        scoring,
        uem=references.uem_of(recording.id),
        objects=references.objects_of(recording.id),
    )
    inputs.check_dim(recording)
    return sweep_recording(
        recording,
        scorer,
        grid,
        inputs.model,
        replace(method, speakers=inputs.speakers_of(recording.id)),
        plda_scores=inputs.scores_of(recording, method.system),
    )


def _tune(
    out_dir: Path, ref_rttm: Path, options: TuneConfig, running: RunningOptions
) -> tuple[Sweep, list[Fold], list[Fault]]:
    """Sweep all recordings and write the results; return these and what failed."""
    run, protocol = options.run, options.protocol
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    method = settle_system(run, inputs).method
    known = run.tables.reco2num_spk is not None or method.speakers.num_speakers
    grid = make_grid(options.grid, method, known=bool(known))
    check_device(method, running)
    references = read_references(ref_rttm, protocol.uem)
    folder = open_source(run.source)
    names = folder.utterances.keys() | folder.unlisted.keys()
    if (options.grid.folds or 0) > len(names):
        raise UsageError(
            f"--folds {options.grid.folds} needs as many recordings, found {len(names)}"
        )
    others = references.rttm.turns.keys() - names
    if others:
        _logger.info(
            f"not used for tuning: {counted(len(others), 'recording')} of {ref_rttm}"
        )
    inputs = learn_model(inputs, folder)
    # Recordings that wait for worker processes are held in this process.
    room = method.max_bytes() / (4 * running.nj)
    done, faults = work_through(
        read_recordings(folder, max_bytes=method.max_bytes()),
        partial(
            _sweep,
            inputs=inputs,
            references=references,
            method=method_of_workers(method, running),
            grid=grid,
            scoring=protocol.scoring,
        ),
        total=len(names),
        what="tuning",
        running=running,
        load=None if running.nj == 1 else partial(_load, room=room),
    )
    sweeps = {name: done[name] for name in folder.utterances if name in done}
    pooled = pool_sweeps(sweeps.values())
    best = pooled.best()
    folds = _cross_validate(sweeps, options.grid.folds)
    write_sweep(out_dir / TUNING, pooled)
    write_config(out_dir / CONFIG, pooled.options_at(best, method))
    if folds:
        write_folds(out_dir / _FOLDS, pooled.names, folds)
    if can_draw():
        draw_sweep(out_dir / _PICTURE, pooled, flatten(method))
    return pooled, folds, faults


def _load(recording: Recording, room: float) -> float:
    """Return the share of a recording in a batch for a worker process."""
    return 1 / 8 + recording.xvectors.nbytes / room


def _cross_validate(sweeps: dict[str, Sweep], num_folds: int | None) -> list[Fold]:
    """Return the folds; none, with a warning, if too many recordings failed."""
    if num_folds is None:
        return []
    try:
        return cross_validate(sweeps, num_folds)
    except DataError as error:
        _logger.warning("no folds: %s", error)
        return []


def _print(
    sweep: Sweep, folds: list[Fold], scoring: ScoringOptions, config: Path
) -> None:
    best = sweep.best()
    print_sweep(sweep, best)
    click.echo(describe_scoring(scoring))
    if folds:
        click.echo()
        print_folds(sweep.names, folds)
    values = zip(map(dashed, sweep.names), best, strict=True)
    text = ", ".join(f"{name} {value:g}" for name, value in values)
    rate = sweep.scores[best].der
    click.echo(f"\nbest: {text}, DER {rate:.2f} %; written to {printable(str(config))}")
    warn_of_edges(sweep, best)
