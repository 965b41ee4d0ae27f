"""``ssahc plot``, where it diarizes: affinities of a recording, a sweep."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from math import isnan
from pathlib import Path
from typing import Any

import click

from ssahc.cli.batch import work_through
from ssahc.cli.diarize import Run
from ssahc.cli.inputs import (
    CONFLICTS,
    ModelFiles,
    SpeakerTables,
    open_inputs,
)
from ssahc.cli.options import PATH, Verb, config_option, options_of, preset_option
from ssahc.cli.plot_scored import speakers, timeline
from ssahc.config import resolve
from ssahc.errors import DataError, UsageError
from ssahc.io.rttm import read_rttm
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.pipeline import DiarizeOptions, System, choose_system
from ssahc.plots.figure import check_picture
from ssahc.scoring import Score
from ssahc.tuning import LabelScorer
from ssahc.types import Fault, Recording, Turn


@dataclass(frozen=True)
class _Shown:
    """Options of the pictures: those of ``ssahc diarize`` but for its output."""

    files: ModelFiles = field(default_factory=ModelFiles)
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)


def _numbers(
    ctx: click.Context, param: click.Parameter, value: str
) -> tuple[float, ...]:
    """Parse numbers with commas between them."""
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(
            f"expected numbers like 0.1,0.2, found {value!r}", ctx, param
        ) from error


@click.group("plot", no_args_is_help=False)
def command() -> None:
    """Draw affinities or errors of a recording, or error rates of a corpus."""


command.add_command(timeline)
command.add_command(speakers)


def _diarizing(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `_Shown`, presets and config files."""
    return options_of(_Shown)(preset_option(config_option(function)))


def _resolve(given: Mapping[str, Any], preset: str | None, config: Path | None) -> Run:
    """Combine the sources of options as diarize does: its config.toml will do."""
    return resolve(Run, given, config=config, preset=preset, displaces=CONFLICTS)


@command.command("affinity", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("recording")
@click.argument("ref_rttm", type=PATH)
@click.argument("picture", type=PATH)
@_diarizing
def affinity(
    xvector_dir: Path,
    recording: str,
    ref_rttm: Path,
    picture: Path,
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Draw affinities of one RECORDING of XVECTOR_DIR.

    Every matrix has the reference speaker of each window on two sides, as in Figure 3
    of Singh & Ganapathy (Interspeech 2020): PLDA scores (where there is a PLDA), cosine
    and the learned affinity. With --system, what that system clusters is drawn alone.
    PICTURE ends in .png, .svg or .pdf.
    """
    run = _resolve(given, preset, config)
    check_picture(picture)
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    has_scores = inputs.plda_scores is not None
    systems: tuple[System, ...] = ("cosine", "ssahc")
    if run.method.system is not None:
        systems = (run.method.system,)
    elif choose_system(None, inputs.model, has_scores=has_scores) == "ssahc+plda":
        systems = ("plda", *systems)
    chosen = _find_recording(xvector_dir, recording)
    reference = _turns_of(recording, read_rttm(ref_rttm).turns, ref_rttm)
    from ssahc.plots.affinity import save_affinities

    save_affinities(
        picture,
        recording,
        chosen.segments,
        reference,
        {
            system: inputs.diarize(chosen, replace(run.method, system=system)).affinity
            for system in systems
        },
    )
    click.echo(f"{picture}: {' '.join(systems)} of {len(chosen)} windows")


def _find_recording(xvector_dir: Path, name: str) -> Recording:
    folder = open_xvector_dir(xvector_dir).select([name])
    item = next(read_recordings(folder))
    if isinstance(item, Fault):
        raise DataError(f"recording {name!r}: {item.reason}")
    return item


def _turns_of(
    recording: str, reference: Mapping[str, list[Turn]], path: Path
) -> list[Turn]:
    if recording not in reference:
        raise DataError(f"{path}: has no turns of this recording; check the ids")
    return reference[recording]


@command.command("sweep", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("ref_rttm", type=PATH)
@click.argument("picture", type=PATH)
@click.option(
    "--init-thresholds",
    metavar="NUMBERS",
    callback=_numbers,
    default="0.0,0.1,0.2,0.3,0.4",
    show_default=True,
    help="Values of --init-threshold.",
)
@click.option(
    "--gammas",
    metavar="NUMBERS",
    callback=_numbers,
    default="0.2,0.3,0.4,0.5,0.6",
    show_default=True,
    help="Values of --gamma.",
)
@_diarizing
def sweep(
    xvector_dir: Path,
    ref_rttm: Path,
    picture: Path,
    init_thresholds: tuple[float, ...],
    gammas: tuple[float, ...],
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Draw the error rates of XVECTOR_DIR over two options.

    It is diarized with every pair of values. Bars of the pooled error rate over gamma
    and the threshold of the first clustering, as in Figure 4 of Singh & Ganapathy
    (Interspeech 2020; there with --lambda 0.1 and known numbers of speakers), and the
    same as a table on standard output. Scored as NIST's md-eval does: collar 0.25 s,
    overlap not scored.
    """
    run = _resolve(given, preset, config)
    check_picture(picture)
    for name, instead in (
        ("gamma", "--gammas"),
        ("init_threshold", "--init-thresholds"),
    ):
        if given.get(name) is not None:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} has no use here; give its values by {instead}")
    if run.method.system in ("cosine", "plda", "spectral"):
        raise UsageError(
            f"--system {run.method.system} learns nothing, so there is nothing to "
            "sweep; use ssahc or ssahc+plda"
        )
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    reference = read_rttm(ref_rttm).turns
    folder = open_xvector_dir(xvector_dir)
    options = {
        (threshold, gamma): replace(
            run.method,
            learning=replace(
                run.method.learning, init_threshold=threshold, gamma=gamma
            ),
        )
        for threshold, gamma in product(init_thresholds, gammas)
    }

    def work(recording: Recording) -> dict[tuple[float, float], Score]:
        turns = _turns_of(recording.id, reference, ref_rttm)
        scorer = LabelScorer(recording.segments, turns)
        return {
            values: scorer.score(inputs.diarize(recording, method).labels)
            for values, method in options.items()
        }

    done, faults = work_through(
        read_recordings(folder), work, total=len(folder.utterances), what="sweeping"
    )
    rates = {
        values: sum((scores[values] for scores in done.values()), Score()).der
        for values in options
    }
    if any(isnan(rate) for rate in rates.values()):
        raise DataError(
            f"{ref_rttm}: no reference speech is left to score beside the collars"
        )
    _print_rates(rates)
    from ssahc.plots.rates import save_sweep

    save_sweep(picture, rates)
    sys.exit(1 if faults else 0)


def _print_rates(rates: Mapping[tuple[float, float], float]) -> None:
    """Print a row a threshold and a column a gamma."""
    thresholds = dict.fromkeys(threshold for threshold, _ in rates)
    gammas = dict.fromkeys(gamma for _, gamma in rates)
    click.echo("DER %, init-threshold down, gamma across")
    click.echo("      " + "".join(f"{gamma:7g}" for gamma in gammas))
    for threshold in thresholds:
        row = "".join(f"{rates[threshold, gamma]:7.2f}" for gamma in gammas)
        click.echo(f"{threshold:6g}{row}")
