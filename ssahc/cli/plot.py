"""``ssahc plot``: affinities of a recording, error rates over options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ssahc.cli.diarize import DiarizeConfig
from ssahc.cli.inputs import (
    CONFLICTS,
    ModelFiles,
    SpeakerTables,
    find_inputs,
    open_inputs,
)
from ssahc.cli.parsing import (
    PATH,
    Verb,
    config_option,
    options_of,
    preset_option,
    resolve,
)
from ssahc.cli.plot_scored import speakers, timeline
from ssahc.cli.sweep_table import draw_bars, draw_curves, read_sweep
from ssahc.core.errors import DataError, printable
from ssahc.core.types import Fault, Recording, Turn
from ssahc.io.rttm import read_rttm
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.pipeline.options import DiarizeOptions, System, choose_system
from ssahc.report.figure import check_picture


@dataclass(frozen=True)
class _Shown:
    """Options of the pictures: those of ``ssahc diarize`` but for its output."""

    files: ModelFiles = field(default_factory=ModelFiles)
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)


@click.group("plot", no_args_is_help=False)
def command() -> None:
    """Draw affinities or errors of a recording, or error rates of a corpus."""


command.add_command(timeline)
command.add_command(speakers)


def _diarizing(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `_Shown`, presets and config files."""
    return options_of(_Shown)(preset_option(config_option(function)))


def _resolve(
    given: Mapping[str, Any], preset: str | None, config: Path | None
) -> DiarizeConfig:
    """Combine the sources of options as diarize does: its config.toml will do."""
    return resolve(
        DiarizeConfig, given, config=config, preset=preset, displaces=CONFLICTS
    )


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
    check_picture(picture, [ref_rttm, config, *find_inputs(run.files, run.tables)])
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    has_scores = inputs.plda_scores is not None
    systems: tuple[System, ...] = ("cosine", "ssahc")
    if run.method.system is not None:
        systems = (run.method.system,)
    elif choose_system(None, inputs.model, has_scores=has_scores) == "ssahc+plda":
        systems = ("plda", *systems)
    chosen = _find_recording(xvector_dir, recording)
    reference = _turns_of(recording, read_rttm(ref_rttm).turns, ref_rttm)
    from ssahc.report.affinity import save_affinities

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
    names = " ".join(systems)
    click.echo(printable(f"{picture}: {names} of {len(chosen)} windows"))


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


@command.command("thresholds", cls=Verb)
@click.argument("tables", metavar="TUNING_CSV...", type=PATH, nargs=-1, required=True)
@click.argument("picture", type=PATH)
def thresholds(tables: tuple[Path, ...], picture: Path) -> None:
    """Draw error rates against the threshold.

    TUNING_CSV are tables that ``ssahc tune`` has written. There is a curve for each
    combination of the other options that were swept (where no threshold was, against
    the last of them); its lowest point is marked. PICTURE ends in .png, .svg or .pdf.
    """
    check_picture(picture, tables)
    draw_curves(picture, {str(path): read_sweep(path) for path in tables})


@command.command("sweep", cls=Verb)
@click.argument("tuning_csv", type=PATH)
@click.argument("picture", type=PATH)
def sweep(tuning_csv: Path, picture: Path) -> None:
    """Draw error rates over gamma and the threshold of the first clustering.

    Bars as in Figure 4 of Singh & Ganapathy (Interspeech 2020; there with --lambda 0.1
    and known numbers of speakers). TUNING_CSV is what ``ssahc tune`` has written with
    --gammas and --init-thresholds; where it varies other options as well, a bar is the
    lowest error rate over these. PICTURE ends in .png, .svg or .pdf.
    """
    check_picture(picture, [tuning_csv])
    draw_bars(picture, read_sweep(tuning_csv))
