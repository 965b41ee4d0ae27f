"""``ssahc report``."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from ssahc.cli.affinities import read_affinities
from ssahc.cli.diarize_config import AllOptions, reuse_options
from ssahc.cli.inputs import open_source
from ssahc.cli.journal import CONFIDENCE, POSTERIOR
from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.references import (
    Protocol,
    analyze_hypothesis,
    find_mismatches,
    read_hypothesis,
    read_references,
    refuse_scoring,
)
from ssahc.cli.runner import CONFIG, print_faults, track
from ssahc.core.errors import (
    DataError,
    FormatError,
    SsahcError,
    UsageError,
    counted,
    printable,
)
from ssahc.core.options import build, check_values
from ssahc.core.types import Fault, Turn
from ssahc.io.config import read_toml
from ssahc.io.files import atomic_write, check_output
from ssahc.io.linked import LINKED
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_confidence, read_speaker_posterior, times_of
from ssahc.report.doubt import Doubt, find_doubts, mean_over_windows
from ssahc.report.figure import require_libraries
from ssahc.report.overview import TurnsEntry, TurnsReport
from ssahc.report.page import RecordingEntry, RunReport, rank, render, render_turns

# Why the report on a folder of ssahc link shows less.
_OF_RUNS = "reports on the runs of ssahc diarize that were linked show it"

_logger = logging.getLogger("ssahc")


@click.command("report", cls=Verb)
@click.argument("out_dir", type=PATH)
@click.option(
    "--ref",
    "ref_rttm",
    type=PATH,
    help="RTTM of the references. Without one, the report shows turns, speakers and "
    "doubtful spots.",
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
    help="Number of recordings with an affinity matrix: those with the highest DER or, "
    "without --ref, the most speech.",
)
@click.option("--no-affinities", is_flag=True, help="Short for --affinities 0.")
def command(
    out_dir: Path,
    ref_rttm: Path | None,
    output: Path | None,
    num_affinities: int,
    no_affinities: bool,
    **given: Any,
) -> None:
    """Write an HTML report on a run of ssahc diarize or link in OUT_DIR.

    The report shows error rates, pooled and by number of speakers, the options of the
    run, and a timeline of reference, hypothesis and errors of every recording, in order
    of descending DER. It needs no network and no other file. Without --ref, it shows
    who speaks when and how much, and where that is doubtful, the least certain
    recordings and spots first.

    Affinities are read from OUT_DIR/scores.scp (--write-scores), or recomputed as
    OUT_DIR/config.toml says; if that is not possible, the report says why.

    Exit status: 0 success; 1 affinities of some recordings are missing, the report is
    written; 2 wrong usage or nothing to show, nothing is written.
    """
    protocol = resolve(Protocol, given)
    output = output or out_dir / "report.html"
    num_affinities = 0 if no_affinities else num_affinities
    _check_usage(out_dir, output, [ref_rttm, protocol.uem, out_dir / "rttm"])
    if ref_rttm is None:
        refuse_scoring(given, "--ref")
        sys.exit(_report_turns(out_dir, output, num_affinities))
    references = read_references(ref_rttm, protocol.uem)
    hypothesis = read_hypothesis(out_dir / "rttm", references)
    turns = references.rttm.turns
    analyses = analyze_hypothesis(references, hypothesis, protocol.scoring, list(turns))
    settings, notes = _read_settings(out_dir / CONFIG)
    posteriors = _read_posteriors(out_dir / POSTERIOR, notes)
    for what, names in find_mismatches(references, hypothesis).items():
        if names:
            notes.append(f"{what[0].upper()}{what[1:]}: {', '.join(sorted(names))}.")
    ranked = rank({name: analysis.score for name, analysis in analyses.items()})
    wanted = [name for name in ranked if name in hypothesis]
    found = _draw_affinities(out_dir, settings, wanted[:num_affinities], turns)
    pictures, faults = found.pictures, found.faults
    which = _which(found, len(turns), "with the highest DER")
    notes.append(found.excuse or f"Affinities are shown of {which}.")
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
                    posterior=posteriors.get(name, {}),
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
    print_faults(faults, len(wanted[:num_affinities]))
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


def _read_posteriors(path: Path, notes: list[str]) -> dict[str, dict[int, float]]:
    """Return how likely numbers of speakers are; if it cannot be read, add a note."""
    what = "How sure the numbers of speakers are is not known"
    if (path.parent / LINKED).exists():
        return {}
    if not os.path.lexists(path):
        notes.append(
            f"{what}: there is no {path}, as after runs that do not estimate them by "
            "evidence."
        )
        return {}
    try:
        return read_speaker_posterior(path)
    except FormatError as error:
        _logger.warning("%s is left out: %s", POSTERIOR, error)
        notes.append(f"{what}: {error}")
        return {}


@dataclass
class _Drawn:
    """Figures by recording, and why some or all are missing."""

    pictures: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    excuse: str | None = None


def _draw_affinities(
    out_dir: Path,
    settings: Mapping[str, Any],
    names: Sequence[str],
    turns: Mapping[str, Sequence[Turn]],
    *,
    found: bool = False,
) -> _Drawn:
    """Draw affinities with the speakers of turns: a reference's, or those `found`."""
    if not names:
        return _Drawn(excuse="Affinities are not shown.")
    if (out_dir / LINKED).exists():
        return _Drawn(excuse=f"Affinities are not shown: {_OF_RUNS}.")
    from ssahc.report.affinity import encode_affinity

    drawn = _Drawn()
    try:
        values = check_values(settings, AllOptions, out_dir / CONFIG)
        run = reuse_options(build(AllOptions, values))
        items = read_affinities(run, out_dir, names)
        for item in track(items, len(names), "drawing affinities"):
            if isinstance(item, Fault):
                drawn.faults.append(item)
                continue
            shown = item.affinity, item.segments, turns[item.id]
            drawn.pictures[item.id] = encode_affinity(*shown, found=found)
    except SsahcError as error:
        # Files that all recordings need are missing; the rest of the report is not
        # affected.
        _logger.warning("affinities are left out: %s", error)
        return _Drawn(excuse=f"Affinities are not available: {error}")
    return drawn


def _which(drawn: _Drawn, total: int, rank: str) -> str:
    """Say of which recordings there are affinities."""
    count = len(drawn.pictures) + len(drawn.faults)
    which = f"the {count} of {total} recordings {rank}"
    if count == total:
        which = "the only recording" if count == 1 else f"all {count} recordings"
    failed = len(drawn.faults)
    excepted = f", except {failed} that give the reason" if failed else ""
    return f"{which} (--affinities){excepted}"


class _Rated(NamedTuple):
    """Doubtful spots of a recording, and the mean confidence."""

    doubts: list[Doubt]
    mean: float


def _rate(
    out_dir: Path,
    settings: Mapping[str, Any],
    turns: Mapping[str, Sequence[Turn]],
    notes: list[str],
) -> dict[str, _Rated]:
    """Return doubtful spots and mean confidence; if they are not known, add a note."""
    path = out_dir / CONFIDENCE
    if (out_dir / LINKED).exists():
        notes.append(f"How sure the speakers are is not shown: {_OF_RUNS}.")
        return {}
    try:
        values = check_values(settings, AllOptions, out_dir / CONFIG)
        source = reuse_options(build(AllOptions, values)).source
        if source.xvector_dir is None:
            raise UsageError("the run's config.toml does not name its x-vector folder")
        # The list of recordings is not needed, and may be gone.
        folder = open_source(replace(source, recordings=None))
        confidence = read_confidence(path)
    except SsahcError as error:
        _logger.warning("the confidence is left out: %s", error)
        notes.append(f"How sure the speakers are is not known: {error}")
        return {}
    rated = {}
    for name in turns:
        windows = folder.utterances.get(name, ())
        if windows and confidence.keys() >= set(windows):
            times = times_of(folder.segments, windows)
            sure = np.array([confidence[window] for window in windows])
            doubts = find_doubts(sure, times, turns[name])
            rated[name] = _Rated(doubts, mean_over_windows(sure, times))
    return rated


def _report_turns(out_dir: Path, output: Path, num_affinities: int) -> int:
    """Write the report on a run without a reference; return the exit status."""
    turns = read_rttm(out_dir / "rttm").turns
    if not turns:
        raise DataError(f"{out_dir / 'rttm'}: holds no SPEAKER line; check the path")
    settings, notes = _read_settings(out_dir / CONFIG)
    posteriors = _read_posteriors(out_dir / POSTERIOR, notes)
    rated = _rate(out_dir, settings, turns, notes)
    entries = [
        TurnsEntry(
            name,
            turns[name],
            doubts=None if name not in rated else rated[name].doubts,
            confidence=float("nan") if name not in rated else rated[name].mean,
            posterior=posteriors.get(name, {}),
        )
        for name in sorted(turns)
    ]
    # Those with an unknown confidence come last.
    entries.sort(key=lambda entry: (isnan(entry.confidence), entry.confidence))
    by_speech = sorted(entries, key=lambda entry: entry.seconds, reverse=True)
    wanted = [entry.recording for entry in by_speech[:num_affinities]]
    drawn = _draw_affinities(out_dir, settings, wanted, turns, found=True)
    which = _which(drawn, len(turns), "with the most speech")
    notes.append(drawn.excuse or f"Affinities are shown of {which}.")
    reasons = {fault.recording: fault.reason for fault in drawn.faults}
    report = TurnsReport(
        out_dir.absolute().name,
        str(out_dir / "rttm"),
        settings,
        [
            replace(
                entry,
                affinity=drawn.pictures.get(entry.recording),
                note=reasons.get(entry.recording),
            )
            for entry in entries
        ],
        notes,
    )
    with atomic_write(output, "wb") as file:
        file.write(render_turns(report).encode())
    print_faults(drawn.faults, len(wanted))
    done = counted(len(entries), "recording")
    click.echo(printable(f"{output}: {done}, affinities of {len(drawn.pictures)}"))
    return 1 if drawn.faults else 0
