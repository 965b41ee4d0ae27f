"""``ssahc report``."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ssahc.cli.affinities import read_affinities
from ssahc.cli.diarize import DiarizeConfig
from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.references import (
    Protocol,
    analyze_hypothesis,
    find_mismatches,
    read_hypothesis,
    read_references,
)
from ssahc.cli.runner import CONFIG, print_faults, track
from ssahc.core.errors import FormatError, SsahcError, UsageError, counted, printable
from ssahc.core.options import build, check_values
from ssahc.core.types import Fault, Turn
from ssahc.io.config import read_toml
from ssahc.io.files import atomic_write, check_output
from ssahc.report.figure import require_libraries
from ssahc.report.page import RecordingEntry, RunReport, rank, render

_logger = logging.getLogger("ssahc")


@click.command("report", cls=Verb)
@click.argument("out_dir", type=PATH)
@click.option(
    "--ref",
    "ref_rttm",
    type=PATH,
    required=True,
    help="RTTM of the references.",
)
@options_of(Protocol)
@click.option(
    "--output",
    type=PATH,
    help="HTML file to write.  [default: OUT_DIR/report.html]",
)
@click.option(
    "--affinities",
    "num_affinities",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Number of recordings with an affinity matrix; those with the highest DER.",
)
@click.option("--no-affinities", is_flag=True, help="Short for --affinities 0.")
def command(
    out_dir: Path,
    ref_rttm: Path,
    output: Path | None,
    num_affinities: int,
    no_affinities: bool,
    **given: Any,
) -> None:
    """Write an HTML report on a run of ssahc diarize in OUT_DIR.

    The report shows error rates, pooled and by number of speakers, the options of the
    run, and a timeline of reference, hypothesis and errors of every recording, in order
    of descending DER. It needs no network and no other file.

    Affinities are read from OUT_DIR/scores.scp (--write-scores), or recomputed as
    OUT_DIR/config.toml says; if that is not possible, the report says why.

    Exit status: 0 success; 1 affinities of some recordings are missing, the report is
    written; 2 wrong usage or nothing to show, nothing is written.
    """
    protocol = resolve(Protocol, given)
    output = output or out_dir / "report.html"
    _check_usage(out_dir, output, [ref_rttm, protocol.uem, out_dir / "rttm"])
    references = read_references(ref_rttm, protocol.uem)
    hypothesis = read_hypothesis(out_dir / "rttm", references)
    turns = references.rttm.turns
    analyses = analyze_hypothesis(references, hypothesis, protocol.scoring, list(turns))
    settings, notes = _read_settings(out_dir / CONFIG)
    for what, names in find_mismatches(references, hypothesis).items():
        if names:
            notes.append(f"{what[0].upper()}{what[1:]}: {', '.join(sorted(names))}.")
    ranked = rank({name: analysis.score for name, analysis in analyses.items()})
    wanted = [name for name in ranked if name in hypothesis]
    wanted = wanted[: 0 if no_affinities else num_affinities]
    pictures, faults, note = _draw_affinities(out_dir, settings, wanted, turns)
    notes.append(note)
    reasons = {fault.recording: fault.reason for fault in faults}
    sources = {"Reference": ref_rttm, "hypothesis": out_dir / "rttm"}
    if protocol.uem is not None:
        sources["UEM"] = protocol.uem
    page = render(
        RunReport(
            out_dir.absolute().name,
            {what: str(path) for what, path in sources.items()},
            protocol.scoring,
            settings,
            [
                RecordingEntry(
                    name,
                    analysis,
                    found=name in hypothesis,
                    affinity=pictures.get(name),
                    note=reasons.get(name),
                )
                for name, analysis in analyses.items()
            ],
            notes,
        )
    )
    with atomic_write(output, "wb") as file:
        file.write(page.encode())
    print_faults(faults, len(wanted))
    done = counted(len(analyses), "recording")
    click.echo(printable(f"{output}: {done}, affinities of {len(pictures)}"))
    sys.exit(1 if faults else 0)


def _check_usage(out_dir: Path, output: Path, inputs: Sequence[Path | None]) -> None:
    """Refuse early what could not be read or written."""
    require_libraries("jinja2", "matplotlib")
    if not out_dir.is_dir():
        raise UsageError(f"{out_dir}: no such folder; give the output of ssahc diarize")
    if output.suffix not in (".html", ".htm"):
        # Another suffix may be a mistake, such as the name of the reference.
        raise UsageError(f"{output}: the name of a report ends in .html")
    check_output(output, inputs)


def _read_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the options of the run; if they cannot be read, none and a note."""
    try:
        return read_toml(path), []
    except FormatError as error:
        _logger.warning("settings are left out: %s", error)
        return {}, [f"The settings are not available: {error}"]


def _draw_affinities(
    out_dir: Path,
    settings: Mapping[str, Any],
    names: Sequence[str],
    reference: Mapping[str, Sequence[Turn]],
) -> tuple[dict[str, bytes], list[Fault], str]:
    """Return figures of affinities, recordings that failed, and a note on them."""
    if not names:
        return {}, [], "Affinities are not shown."
    from ssahc.report.affinity import encode_affinity

    pictures: dict[str, bytes] = {}
    faults: list[Fault] = []
    try:
        run = build(
            DiarizeConfig, check_values(settings, DiarizeConfig, out_dir / CONFIG)
        )
        items = read_affinities(run, out_dir, names)
        for item in track(items, len(names), "drawing affinities"):
            if isinstance(item, Fault):
                faults.append(item)
                continue
            pictures[item.id] = encode_affinity(
                item.affinity, item.segments, reference[item.id]
            )
    except SsahcError as error:
        # Files that all recordings need are missing; the rest of the report is not
        # affected.
        _logger.warning("affinities are left out: %s", error)
        return {}, [], f"Affinities are not available: {error}"
    which = f"the {len(names)} of {len(reference)} recordings with the highest DER"
    if len(names) == len(reference):
        which = (
            "the only recording" if len(names) == 1 else f"all {len(names)} recordings"
        )
    note = f"Affinities are shown of {which} (--affinities)"
    if faults:
        note += f", except {len(faults)} that give the reason"
    return pictures, faults, f"{note}."
