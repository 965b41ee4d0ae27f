"""``ssahc report``."""

import logging
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from ssahc.cli.affinities import read_affinities
from ssahc.cli.diarize import DiarizeConfig
from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.references import (
    Protocol,
    References,
    read_hypothesis,
    read_references,
    refuse_nothing_scored,
)
from ssahc.cli.runner import CONFIG, print_faults, track
from ssahc.core.errors import FormatError, SsahcError, UsageError, printable
from ssahc.core.options import build, check_values
from ssahc.core.types import Fault, Turn
from ssahc.io.config import read_toml
from ssahc.io.files import atomic_write, check_output
from ssahc.report.page import Entry, Report, rank, render
from ssahc.scoring.error_spans import Comparison, compare

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
    help="Where to write the page.  [default: OUT_DIR/report.html]",
)
@click.option(
    "--affinities",
    "most",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Show the affinities of this many recordings, the worst.",
)
@click.option("--no-affinities", is_flag=True, help="Short for --affinities 0.")
def command(
    out_dir: Path,
    ref_rttm: Path,
    output: Path | None,
    most: int,
    no_affinities: bool,
    **given: Any,
) -> None:
    """Write one HTML page on what ssahc diarize left in OUT_DIR.

    Error rates, pooled and by number of speakers; the options of the run; and every
    recording, the worst first, with a timeline of reference, hypothesis and errors. The
    page needs no network and no other file.

    Affinities are those of OUT_DIR/scores.scp (--write-scores), else they are computed
    again as OUT_DIR/config.toml says; where that cannot be done, the page says why.

    Exit status: 0 all done; 1 some recordings' affinities cannot be shown, the page is
    written; 2 wrong usage or nothing to show, nothing is written.
    """
    protocol = resolve(Protocol, given)
    output = output or out_dir / "report.html"
    _check_needs(out_dir, output, [ref_rttm, protocol.uem, out_dir / "rttm"])
    references = read_references(ref_rttm, protocol.uem)
    hypothesis = read_hypothesis(out_dir / "rttm", references)
    comparisons = _compare(references, hypothesis, protocol)
    settings, notes = _read_settings(out_dir / CONFIG)
    notes += _note_differences(references, hypothesis)
    ranked = rank({name: both.score for name, both in comparisons.items()})
    wanted = [name for name in ranked if name in hypothesis]
    wanted = wanted[: 0 if no_affinities else most]
    pictures, faults, note = _draw_affinities(
        out_dir, settings, wanted, references.rttm.turns
    )
    notes.append(note)
    reasons = {fault.recording: fault.reason for fault in faults}
    page = render(
        Report(
            out_dir.absolute().name,
            _sources(ref_rttm, out_dir, protocol),
            protocol.scoring,
            settings,
            [
                Entry(
                    name,
                    both,
                    found=name in hypothesis,
                    affinity=pictures.get(name),
                    note=reasons.get(name),
                )
                for name, both in comparisons.items()
            ],
            notes,
        )
    )
    with atomic_write(output, "wb") as file:
        file.write(page.encode())
    print_faults(faults, len(wanted))
    said = f"{output}: {len(comparisons)} recordings, affinities of {len(pictures)}"
    click.echo(printable(said))
    sys.exit(1 if faults else 0)


def _check_needs(out_dir: Path, output: Path, inputs: Sequence[Path | None]) -> None:
    """Refuse before anything is computed what could not be read or written."""
    for library in ("jinja2", "matplotlib"):
        if find_spec(library) is None:
            raise UsageError(f"reports need {library}: pip install 'ssahc[plots]'")
    if not out_dir.is_dir():
        raise UsageError(f"{out_dir}: no such folder; give what ssahc diarize wrote")
    if output.suffix not in (".html", ".htm"):
        # Anything else may be a file of another kind, such as the reference.
        raise UsageError(f"{output}: a page's name ends in .html")
    check_output(output, inputs)


def _compare(
    references: References, hypothesis: Mapping[str, Sequence[Turn]], protocol: Protocol
) -> dict[str, Comparison]:
    turns, spans = references.rttm.turns, references.spans or {}
    comparisons = {
        name: compare(
            turns[name],
            hypothesis.get(name, ()),
            protocol.scoring,
            uem=spans.get(name),
        )
        for name in track(turns, len(turns), "scoring")
    }
    refuse_nothing_scored(both.score for both in comparisons.values())
    return comparisons


def _read_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the options of the run; where they are not to be had, none and why."""
    try:
        return read_toml(path), []
    except FormatError as error:
        _logger.warning("the settings are left out: %s", error)
        return {}, [f"The settings are not known: {error}"]


def _note_differences(
    references: References, hypothesis: Mapping[str, Sequence[Turn]]
) -> list[str]:
    ours, theirs = references.rttm.turns.keys(), hypothesis.keys()
    differences = {
        "Not in the hypothesis, counted as missed": ours - theirs,
        "In the hypothesis alone, not scored": theirs - ours,
    }
    if references.spans is not None:
        what = "Not in the UEM, scored from first to last reference turn"
        differences[what] = ours - references.spans.keys()
    return [
        f"{what}: {', '.join(sorted(names))}."
        for what, names in differences.items()
        if names
    ]


def _sources(ref_rttm: Path, out_dir: Path, protocol: Protocol) -> dict[str, str]:
    sources = {"Reference": ref_rttm, "hypothesis": out_dir / "rttm"}
    if protocol.uem is not None:
        sources["UEM"] = protocol.uem
    return {what: str(path) for what, path in sources.items()}


def _draw_affinities(
    out_dir: Path,
    settings: Mapping[str, Any],
    names: Sequence[str],
    reference: Mapping[str, Sequence[Turn]],
) -> tuple[dict[str, bytes], list[Fault], str]:
    """Return pictures of affinities, what could not be drawn, and a note on them."""
    if not names:
        return {}, [], "Affinities are left out."
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
        # What all recordings need is gone. The rest of the page needs none of it.
        _logger.warning("affinities are left out: %s", error)
        return {}, [], f"There are no affinities: {error}"
    shown = f"the worst {len(names)} of {len(reference)}"
    if len(names) == len(reference):
        shown = f"all {len(names)}"
    lacking = f", but for {len(faults)}; there it is said why" if faults else ""
    note = f"Affinities are of {shown} recordings (--affinities){lacking}."
    return pictures, faults, note
