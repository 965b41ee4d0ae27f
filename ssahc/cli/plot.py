"""``ssahc plot``: affinities, timelines with errors, error rates, confidence."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ssahc.cli.calibration import calibrate_hypothesis, state_error
from ssahc.cli.diarize_config import AllOptions, DiarizeConfig, reuse_options
from ssahc.cli.groups import VerbGroup
from ssahc.cli.inputs import CONFLICTS, find_inputs, learn_model, open_inputs
from ssahc.cli.parsing import (
    PATH,
    Verb,
    config_option,
    options_of,
    preset_option,
    resolve,
)
from ssahc.cli.references import (
    Protocol,
    References,
    analyze_hypothesis,
    read_hypothesis,
    read_references,
    refuse_scoring,
    score_hypothesis,
)
from ssahc.cli.sweep_table import draw_bars, draw_curves, read_sweep, threshold_units
from ssahc.core.errors import DataError, UsageError, counted, printable
from ssahc.core.types import Fault, Recording, Turn
from ssahc.io.rttm import read_rttm
from ssahc.io.xvectors import XvectorDir, open_xvector_dir, read_recordings
from ssahc.pipeline.options import System, choose_system
from ssahc.report.figure import check_picture
from ssahc.report.overview import share_speech
from ssahc.scoring.breakdown import break_down, count_speakers

# Options of ssahc diarize that do not affect affinities.
_NOT_OF_AFFINITIES = {
    "xvector_dir",
    "recordings",
    "write_scores",
    "rttm_channel",
    "rttm_confidence",
}


@click.group("plot", cls=VerbGroup)
def command() -> None:
    """Draw affinities or errors of a recording, or rates of a corpus."""


# ---- affinities --------------------------------------------------------------------


@command.command("affinity", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("recording")
@click.argument("ref_rttms", metavar="[REF_RTTM]", type=PATH, nargs=-1)
@click.argument("picture", type=PATH)
@options_of(DiarizeConfig, without=_NOT_OF_AFFINITIES)
@preset_option
@config_option
def affinity(
    xvector_dir: Path,
    recording: str,
    ref_rttms: tuple[Path, ...],
    picture: Path,
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Draw affinities of one RECORDING of XVECTOR_DIR.

    Every matrix has the reference speaker of each window on two sides, as in Figure 3
    of Singh & Ganapathy (Interspeech 2020): PLDA scores (if there is a PLDA), cosine
    and the learned affinity. Without REF_RTTM, the sides show the speakers that the
    system found. With --system, only the affinity of that system is drawn. PICTURE ends
    in .png, .svg or .pdf.
    """
    ref_rttm = _optional(ref_rttms)
    # All options of diarize, so that its config.toml is accepted.
    run = reuse_options(
        resolve(AllOptions, given, config=config, preset=preset, displaces=CONFLICTS)
    )
    check_picture(picture, [ref_rttm, config, *find_inputs(run.files, run.tables)])
    folder = open_xvector_dir(xvector_dir)
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    has_scores = inputs.plda_scores is not None
    systems: tuple[System, ...] = ("cosine", "ssahc")
    if run.method.system is not None:
        systems = (run.method.system,)
    elif choose_system(None, inputs.model, has_scores=has_scores) == "ssahc+plda":
        systems = ("plda", *systems)
    inputs = learn_model(inputs, folder)
    item = _read_recording(folder, recording)
    reference = None
    if ref_rttm is not None:
        reference = _turns_of(recording, read_rttm(ref_rttm).turns, ref_rttm)
    results = {
        str(system): inputs.diarize(item, replace(run.method, system=system))
        for system in systems
    }
    from ssahc.report.affinity import save_affinities

    save_affinities(
        picture,
        recording,
        item.segments,
        reference or {name: result.turns for name, result in results.items()},
        {name: result.affinity for name, result in results.items()},
    )
    names = " ".join(systems)
    click.echo(printable(f"{picture}: {names} of {counted(len(item), 'window')}"))


def _optional(paths: tuple[Path, ...]) -> Path | None:
    """Return the one path of an optional argument, or None."""
    if len(paths) > 1:
        raise UsageError(f"one REF_RTTM at most, found {' '.join(map(str, paths))}")
    return paths[0] if paths else None


def _read_recording(folder: XvectorDir, name: str) -> Recording:
    item = next(read_recordings(folder.select([name])))
    if isinstance(item, Fault):
        raise DataError(f"recording {name!r}: {item.reason}")
    return item


def _turns_of(
    recording: str, reference: Mapping[str, list[Turn]], path: Path
) -> list[Turn]:
    if recording not in reference:
        raise DataError(
            f"{path}: has no recording {recording!r}; among its {len(reference)} "
            f"recordings are {', '.join(sorted(reference)[:3])}"
        )
    return reference[recording]


# ---- errors and error rates --------------------------------------------------------


@command.command("timeline", cls=Verb)
@click.argument("ref_rttms", metavar="[REF_RTTM]", type=PATH, nargs=-1)
@click.argument("hyp_rttm", type=PATH)
@click.argument("recording")
@click.argument("picture", type=PATH)
@options_of(Protocol)
def timeline(
    ref_rttms: tuple[Path, ...],
    hyp_rttm: Path,
    recording: str,
    picture: Path,
    **given: Any,
) -> None:
    """Draw who speaks when in RECORDING, and the errors of HYP_RTTM.

    Three rows: reference, hypothesis, errors (missed speech, false alarms, confusions),
    which add up to what ssahc score counts. What is not scored is grey. Hypothesis
    speakers have the colours of the reference speakers that they are mapped to.

    Without REF_RTTM, there are the turns alone, and every speaker's share in the
    legend. PICTURE ends in .png, .svg or .pdf.
    """
    protocol, ref_rttm = resolve(Protocol, given), _optional(ref_rttms)
    check_picture(picture, [ref_rttm, hyp_rttm, protocol.uem])
    if ref_rttm is None:
        refuse_scoring(given, "REF_RTTM")
        _draw_turns(picture, recording, hyp_rttm)
        return
    references = read_references(ref_rttm, protocol.uem)
    _turns_of(recording, references.rttm.turns, ref_rttm)
    analyses = analyze_hypothesis(
        references,
        read_hypothesis(hyp_rttm, references),
        protocol.scoring,
        [recording],
    )
    from ssahc.report.timeline import save_timeline

    save_timeline(picture, recording, analyses[recording])
    score = analyses[recording].score
    result = (
        f"{picture}: missed {score.missed:.2f} s, false alarm {score.false_alarm:.2f} "
        f"s, confusion {score.confusion:.2f} s of {score.scored:.2f} s"
    )
    click.echo(printable(result))


def _draw_turns(picture: Path, recording: str, rttm: Path) -> None:
    turns = _turns_of(recording, read_rttm(rttm).turns, rttm)
    shares = share_speech(turns)
    from ssahc.report.timeline import save_turns

    save_turns(picture, recording, turns, shares)
    said = ", ".join(f"{one.name} {one.percent:.1f} %" for one in shares)
    click.echo(printable(f"{picture}: {counted(len(turns), 'turn')}; {said}"))


@command.command("speakers", cls=Verb)
@click.argument("ref_rttm", type=PATH)
@click.argument("hyp_rttms", metavar="HYP_RTTM...", type=PATH, nargs=-1, required=True)
@click.argument("picture", type=PATH)
@options_of(Protocol)
def speakers(
    ref_rttm: Path, hyp_rttms: tuple[Path, ...], picture: Path, **given: Any
) -> None:
    """Draw error rates by number of reference speakers.

    There is a group of bars for each number of speakers, with the number of recordings
    below, and in it a bar for each HYP_RTTM. PICTURE ends in .png, .svg or .pdf.
    """
    protocol = resolve(Protocol, given)
    references = _open_references(ref_rttm, hyp_rttms, picture, protocol)
    breakdowns = {}
    for path, name in zip(hyp_rttms, _distinct_names(hyp_rttms), strict=True):
        hypothesis = read_hypothesis(path, references)
        scores = score_hypothesis(references, hypothesis, protocol.scoring)
        breakdowns[name] = break_down(scores, count_speakers(scores))
    from ssahc.report.rates import save_speakers

    save_speakers(picture, breakdowns)
    count = len(references.rttm.turns)
    click.echo(
        printable(f"{picture}: {counted(count, 'recording')}, {', '.join(breakdowns)}")
    )


@command.command("reliability", cls=Verb)
@click.argument("ref_rttm", type=PATH)
@click.argument("hyp_rttms", metavar="HYP_RTTM...", type=PATH, nargs=-1, required=True)
@click.argument("picture", type=PATH)
@options_of(Protocol)
def reliability(
    ref_rttm: Path, hyp_rttms: tuple[Path, ...], picture: Path, **given: Any
) -> None:
    """Draw how often turns are right by how sure they are.

    There is a curve for each HYP_RTTM, written by ssahc diarize --rttm-confidence; on
    the diagonal, turns are right as often as they say. Figures are those of ssahc score
    --calibration. PICTURE ends in .png, .svg or .pdf.
    """
    protocol = resolve(Protocol, given)
    references = _open_references(ref_rttm, hyp_rttms, picture, protocol)
    calibrations = {
        name: calibrate_hypothesis(
            references, read_hypothesis(path, references), protocol.scoring, path
        )
        for path, name in zip(hyp_rttms, _distinct_names(hyp_rttms), strict=True)
    }
    from ssahc.report.reliability import save_reliability

    save_reliability(picture, calibrations)
    for name, found in calibrations.items():
        click.echo(printable(f"{picture}: {name}, {state_error(found)}"))


def _open_references(
    ref_rttm: Path, hyp_rttms: tuple[Path, ...], picture: Path, protocol: Protocol
) -> References:
    """Read the references of several hypotheses, once a figure can be written."""
    check_picture(picture, [ref_rttm, *hyp_rttms, protocol.uem])
    if len(set(hyp_rttms)) < len(hyp_rttms):
        raise UsageError("a HYP_RTTM is given twice; leave one out")
    return read_references(ref_rttm, protocol.uem)


def _distinct_names(paths: tuple[Path, ...]) -> list[str]:
    """Return the shortest distinct ends of paths, such as out/rttm."""
    parts = [path.absolute().parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


# ---- sweeps ------------------------------------------------------------------------


@command.command("thresholds", cls=Verb)
@click.argument("tables", metavar="TUNING_CSV...", type=PATH, nargs=-1, required=True)
@click.argument("picture", type=PATH)
def thresholds(tables: tuple[Path, ...], picture: Path) -> None:
    """Draw error rates against the threshold.

    TUNING_CSV are tables of ssahc tune. There is a curve for each combination of
    the other options that were swept; the best point of all is marked. If the threshold
    was not swept, error rates are drawn against the last option. The unit of thresholds
    is that of the config.toml beside the table. PICTURE ends in .png, .svg or .pdf.
    """
    check_picture(picture, tables)
    sweeps = {str(path): read_sweep(path) for path in tables}
    draw_curves(picture, sweeps, threshold_units(tables))


@command.command("sweep", cls=Verb)
@click.argument("tuning_csv", type=PATH)
@click.argument("picture", type=PATH)
def sweep(tuning_csv: Path, picture: Path) -> None:
    """Draw error rates by gamma and first threshold.

    Bars as in Figure 4 of Singh & Ganapathy (Interspeech 2020; there with --lambda 0.1
    and known numbers of speakers). TUNING_CSV is a table of ssahc tune with
    --gammas and --init-thresholds. If other options were swept as well, each bar is the
    lowest error rate over these. The best bar is marked. PICTURE ends in .png, .svg or
    .pdf.
    """
    check_picture(picture, [tuning_csv])
    draw_bars(picture, read_sweep(tuning_csv))
