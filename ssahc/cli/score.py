"""``ssahc score``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ssahc.cli.calibration import calibrate_hypothesis, print_calibration
from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.references import (
    Protocol,
    References,
    read_hypothesis,
    read_references,
    score_hypothesis,
    score_linked,
)
from ssahc.cli.runner import warn_of
from ssahc.cli.score_formats import PRINTERS, ErrorRates
from ssahc.core.errors import DataError, UsageError
from ssahc.io.text import read_attributes
from ssahc.scoring.breakdown import break_down, count_speakers, summarize

_SPEAKERS = "speakers"


def _to_sources(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[Path | None]:
    """Return the files of ``--by``; None stands for the number of speakers."""
    return [
        None if value == _SPEAKERS else PATH.convert(value, param, ctx)
        for value in values
    ]


@click.command("score", cls=Verb)
@click.argument("ref_rttm", type=PATH)
@click.argument("hyp_rttm", type=PATH)
@options_of(Protocol)
@click.option(
    "--by",
    "sources",
    metavar="speakers|FILE",
    multiple=True,
    callback=_to_sources,
    help="Break scores down by the number of reference speakers, or by a FILE of "
    "'recording value' lines (language, domain). Can be repeated.",
)
@click.option(
    "--across",
    "is_across",
    is_flag=True,
    help="Also score speakers across recordings, where a name stands for one person: "
    "the DER with one mapping of speakers for all, purity and coverage.",
)
@click.option(
    "--calibration",
    is_flag=True,
    help="Print how well the confidence in HYP_RTTM agrees with what is right, instead "
    "of error rates.",
)
@click.option("--summary", is_flag=True, help="Do not list single recordings.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(PRINTERS)),
    help="Output format.  [default: text]",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
def command(
    ref_rttm: Path,
    hyp_rttm: Path,
    sources: list[Path | None],
    is_across: bool,
    calibration: bool,
    summary: bool,
    form: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Print the error rates of HYP_RTTM, per recording and pooled.

    DER (diarization error rate), missed speech, false alarms and confusions match
    NIST's md-eval with the same collar. JER (Jaccard error rate) is that of the DIHARD
    challenges: without a collar, and with overlap. With --score-overlaps, errors are
    also split by how many speak in the reference, and it is printed how much of the
    overlap is found. Recordings missing from HYP_RTTM
    count as missed; those missing from the UEM are scored from their first to their
    last reference turn; those missing from a FILE of --by form a group of their own.
    """
    if as_json and form not in (None, "json"):
        raise UsageError(f"--json contradicts --format {form}; leave out one of them")
    if calibration and (sources or summary or is_across):
        raise UsageError(
            "--calibration does not use --by, --summary or --across; leave them out"
        )
    form = "json" if as_json else form or "text"
    protocol = resolve(Protocol, given)
    references = read_references(ref_rttm, protocol.uem)
    hypothesis = read_hypothesis(hyp_rttm, references)
    if calibration:
        found = calibrate_hypothesis(references, hypothesis, protocol.scoring, hyp_rttm)
        print_calibration(found, protocol.scoring, form)
        return
    attributes = _read_attributes(sources, references)
    scores = score_hypothesis(references, hypothesis, protocol.scoring)
    breakdowns = {
        name: break_down(scores, count_speakers(scores) if groups is None else groups)
        for name, groups in attributes.items()
    }
    rates = ErrorRates(
        protocol.scoring,
        {} if summary else scores,
        summarize(scores.values()),
        breakdowns,
        score_linked(references, hypothesis, protocol.scoring) if is_across else None,
    )
    PRINTERS[form](rates)


def _read_attributes(
    sources: Sequence[Path | None], references: References
) -> dict[str, dict[str, str] | None]:
    """Return name of the breakdown to recordings' groups; None for speakers."""
    attributes: dict[str, dict[str, str] | None] = {}
    known = references.rttm.turns.keys()
    for path in sources:
        name = _SPEAKERS if path is None else path.name
        if name in attributes:
            raise UsageError(f"two breakdowns are called {name!r}; rename a file")
        attributes[name] = groups = None if path is None else read_attributes(path)
        if groups is None:
            continue
        if not known & groups.keys():
            raise DataError(
                f"{path}: lists no recording of the reference; check the ids"
            )
        warn_of(f"not listed in {path}, in a group of their own", known - groups.keys())
    return attributes
