"""``ssahc score``."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import click

from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.references import (
    Protocol,
    References,
    read_hypothesis,
    read_references,
    refuse_nothing_scored,
)
from ssahc.cli.runner import track, warn_of
from ssahc.cli.tables import print_markdown, print_table
from ssahc.core.errors import DataError, UsageError, printable
from ssahc.io.text import read_attributes
from ssahc.scoring.breakdown import (
    Group,
    Summary,
    break_down,
    count_speakers,
    summarize,
)
from ssahc.scoring.der import Score, ScoringOptions, score_corpus

_SPEAKERS = "speakers"
_Row = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Result:
    """All that is printed.

    Attributes
    ----------
    options : ScoringOptions
    scores : dict
        Recording to score; empty if recordings are not to be shown.
    corpus : Summary
    breakdowns : dict
        What the corpus is broken down by, to group, to summary.
    """

    options: ScoringOptions
    scores: Mapping[str, Score]
    corpus: Summary
    breakdowns: Mapping[str, Mapping[Group | None, Summary]]


def _to_sources(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> list[Path | None]:
    """Return files to break down by; None stands for the number of speakers."""
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
    help="Break the scores down by the number of reference speakers, or by a FILE of "
    "'recording value' lines (language, domain). May be given several times.",
)
@click.option("--summary", is_flag=True, help="Leave out the single recordings.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv", "markdown"]),
    help="How to print.  [default: text]",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
def command(
    ref_rttm: Path,
    hyp_rttm: Path,
    sources: list[Path | None],
    summary: bool,
    form: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Print the error rates of HYP_RTTM, per recording and pooled.

    DER (diarization error rate), missed speech, false alarms and confusions are those
    of NIST's md-eval with the same collar. JER (Jaccard error rate) is that of the
    DIHARD challenges: without a collar, and with overlap. A recording missing from
    HYP_RTTM counts as missed; one missing from the UEM is scored from its first to its
    last reference turn; those missing from a FILE of --by are a group of their own.
    """
    if as_json and form not in (None, "json"):
        raise UsageError(f"--json contradicts --format {form}; leave out one of them")
    protocol = resolve(Protocol, given)
    references = read_references(ref_rttm, protocol.uem)
    hypothesis = read_hypothesis(hyp_rttm, references)
    attributes = _read_attributes(sources, references)
    reference = references.rttm.turns
    scores = score_corpus(
        reference,
        hypothesis,
        protocol.scoring,
        uem=references.spans,
        progress=lambda names: track(names, len(reference), "scoring"),
    )
    refuse_nothing_scored(scores.values())
    corpus = summarize(scores.values())
    breakdowns = {
        name: break_down(scores, count_speakers(scores) if groups is None else groups)
        for name, groups in attributes.items()
    }
    shown = {} if summary else scores
    printer = _PRINTERS["json" if as_json else form or "text"]
    printer(_Result(protocol.scoring, shown, corpus, breakdowns))


def _read_attributes(
    sources: Sequence[Path | None], references: References
) -> dict[str, dict[str, str] | None]:
    """Return what to break down by: name to recordings' groups, None for speakers."""
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


def _print_text(result: _Result) -> None:
    for header, rows in _tables(result):
        print_table(header, rows)
        click.echo()
    click.echo("\n".join(_notes(result)))


def _print_markdown(result: _Result) -> None:
    for header, rows in _tables(result):
        print_markdown(header, rows)
        click.echo()
    click.echo("  \n".join(_notes(result)))


_SECONDS = ("scored\ns", "missed\ns", "%", "false\nalarm s", "%", "confusion\ns", "%")


def _tables(result: _Result) -> Iterator[tuple[_Row, list[_Row]]]:
    """Yield header and rows of the corpus and of every breakdown."""
    corpus = result.corpus
    rows = [
        (name, _number(score.der), *_seconds(score), _number(score.jer))
        for name, score in [*result.scores.items(), ("pooled", corpus.pooled)]
    ]
    blank = [""] * len(_SECONDS)
    rows.append(("mean", _number(corpus.mean_der), *blank, _number(corpus.mean_jer)))
    yield ("recording", "DER\n%", *_SECONDS, "JER\n%"), rows
    for by, groups in result.breakdowns.items():
        yield (
            (printable(by), "count", "DER\n%", "mean\nDER %", *_SECONDS, "JER\n%"),
            [
                (
                    "(unlisted)" if group is None else str(group),
                    str(summary.recordings),
                    _number(summary.pooled.der),
                    _number(summary.mean_der),
                    *_seconds(summary.pooled),
                    _number(summary.pooled.jer),
                )
                for group, summary in groups.items()
            ],
        )


def _seconds(score: Score) -> Iterator[str]:
    yield _number(score.scored)
    for seconds in (score.missed, score.false_alarm, score.confusion):
        yield _number(seconds)
        yield _number(score.percent(seconds))


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.2f}"


def _notes(result: _Result) -> Iterator[str]:
    options = result.options
    overlap = "not scored" if options.ignore_overlaps else "scored"
    yield (
        f"DER: collar {options.collar:g} s, overlap {overlap}; pooled by scored time, "
        "mean over recordings."
    )
    yield "JER: no collar, overlap scored; pooled over reference speakers."
    if result.breakdowns:
        yield "count: recordings."


def _print_json(result: _Result) -> None:
    document = {
        "collar": result.options.collar,
        "ignore_overlaps": result.options.ignore_overlaps,
        **_summary_values(result.corpus),
        "recordings": {name: _values(score) for name, score in result.scores.items()},
        "breakdowns": {
            by: [
                {"group": group, **_summary_values(summary)}
                for group, summary in groups.items()
            ]
            for by, groups in result.breakdowns.items()
        },
    }
    json.dump(document, sys.stdout, indent=2)
    click.echo()


def _summary_values(summary: Summary) -> dict[str, Any]:
    return {
        "num_recordings": summary.recordings,
        "pooled": _values(summary.pooled),
        "mean": {
            "der": _known(summary.mean_der),
            "jer": _known(summary.mean_jer),
        },
    }


def _values(score: Score) -> dict[str, float | None]:
    return {
        "der": _known(score.der),
        "scored": score.scored,
        "missed": score.missed,
        "false_alarm": score.false_alarm,
        "confusion": score.confusion,
        "missed_percent": _known(score.percent(score.missed)),
        "false_alarm_percent": _known(score.percent(score.false_alarm)),
        "confusion_percent": _known(score.percent(score.confusion)),
        "jer": _known(score.jer),
        "speakers": score.speakers,
    }


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def _print_csv(result: _Result) -> None:
    """Print a row a recording, a row a group, and a last one of the corpus."""
    header = ("level", "by", "group", "recording", "num_recordings", "mean_der")
    columns = [*header, "mean_jer", *_values(Score())]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for name, score in result.scores.items():
        shown = printable(name)
        writer.writerow({"level": "recording", "recording": shown, **_values(score)})
    for by, groups in result.breakdowns.items():
        for group, summary in groups.items():
            called = None if group is None else printable(str(group))
            names = {"level": "group", "by": printable(by), "group": called}
            writer.writerow({**names, **_csv_values(summary)})
    writer.writerow({"level": "pooled", **_csv_values(result.corpus)})


def _csv_values(summary: Summary) -> dict[str, Any]:
    return {
        "num_recordings": summary.recordings,
        "mean_der": _known(summary.mean_der),
        "mean_jer": _known(summary.mean_jer),
        **_values(summary.pooled),
    }


_PRINTERS: dict[str, Callable[[_Result], None]] = {
    "text": _print_text,
    "json": _print_json,
    "csv": _print_csv,
    "markdown": _print_markdown,
}
