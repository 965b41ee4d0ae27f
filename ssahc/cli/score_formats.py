"""The output formats of ``ssahc score``: text, JSON, CSV and Markdown."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import Any

import click

from ssahc.cli.tables import print_markdown, print_table
from ssahc.core.errors import printable
from ssahc.scoring.breakdown import Group, Summary
from ssahc.scoring.der import Score
from ssahc.scoring.regions import ScoringOptions

_Row = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ErrorRates:
    """Error rates to print."""

    options: ScoringOptions
    # By recording; empty if single recordings are not listed.
    scores: Mapping[str, Score]
    corpus: Summary
    # By name of the breakdown, and group.
    breakdowns: Mapping[str, Mapping[Group | None, Summary]]


def _print_tables(
    rates: ErrorRates, print_one: Callable[[_Row, list[_Row]], None], line_end: str
) -> None:
    for header, rows in _list_tables(rates):
        print_one(header, rows)
        click.echo()
    click.echo(line_end.join(_notes(rates)))


_SECONDS = (
    "scored\ns",
    *("missed\ns", "missed\n%"),
    *("false\nalarm s", "false\nalarm %"),
    *("conf.\ns", "conf.\n%"),
)
# Digits of JSON and CSV; what is beyond is due to rounding.
_DIGITS = 6


def _list_tables(rates: ErrorRates) -> Iterator[tuple[_Row, list[_Row]]]:
    """Yield header and rows of the corpus and of every breakdown."""
    corpus = rates.corpus
    rows = [
        (name, _format(score.der), *_format_errors(score))
        for name, score in [*rates.scores.items(), ("pooled", corpus.pooled)]
    ]
    blank = [""] * len(_SECONDS)
    rows.append(("mean", _format(corpus.mean_der), *blank, _format(corpus.mean_jer)))
    yield ("recording", "DER\n%", *_SECONDS, "JER\n%"), rows
    for by, groups in rates.breakdowns.items():
        header = (printable(by), "count", "DER\n%", "mean\nDER %", *_SECONDS, "JER\n%")
        rows = []
        for group, summary in groups.items():
            name = "(unlisted)" if group is None else str(group)
            ders = _format(summary.pooled.der), _format(summary.mean_der)
            errors = _format_errors(summary.pooled)
            rows.append((name, str(summary.recordings), *ders, *errors))
        yield header, rows


def _format_errors(score: Score) -> Iterator[str]:
    """Yield the cells of seconds and percentages, and the JER."""
    yield _format(score.scored)
    for seconds in (score.missed, score.false_alarm, score.confusion):
        yield _format(seconds)
        yield _format(score.percent(seconds))
    yield _format(score.jer)


def _format(value: float) -> str:
    return "-" if isnan(value) else f"{value:.2f}"


def describe_scoring(options: ScoringOptions) -> str:
    """Return collar and treatment of overlap in words."""
    overlap = "not scored" if options.ignore_overlaps else "scored"
    return f"collar {options.collar:g} s, overlap {overlap}"


def _notes(rates: ErrorRates) -> Iterator[str]:
    yield (
        f"DER: {describe_scoring(rates.options)}; pooled by scored time, mean over "
        "recordings."
    )
    yield "JER: no collar, overlap scored; pooled over reference speakers."
    if rates.breakdowns:
        yield "count: number of recordings."


def _print_json(rates: ErrorRates) -> None:
    document = {
        "collar": rates.options.collar,
        "ignore_overlaps": rates.options.ignore_overlaps,
        **_summary_values(rates.corpus),
        "recordings": {name: _values(score) for name, score in rates.scores.items()},
        "breakdowns": {
            by: [
                {"group": group, **_summary_values(summary)}
                for group, summary in groups.items()
            ]
            for by, groups in rates.breakdowns.items()
        },
    }
    json.dump(document, sys.stdout, indent=2)
    click.echo()


def _summary_values(summary: Summary) -> dict[str, Any]:
    return {
        "num_recordings": summary.recordings,
        "pooled": _values(summary.pooled),
        "mean": {"der": _known(summary.mean_der), "jer": _known(summary.mean_jer)},
    }


def _values(score: Score) -> dict[str, float | None]:
    return {
        "der": _known(score.der),
        "scored": _known(score.scored),
        "missed": _known(score.missed),
        "false_alarm": _known(score.false_alarm),
        "confusion": _known(score.confusion),
        "missed_percent": _known(score.percent(score.missed)),
        "false_alarm_percent": _known(score.percent(score.false_alarm)),
        "confusion_percent": _known(score.percent(score.confusion)),
        "jer": _known(score.jer),
        "speakers": score.speakers,
    }


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, _DIGITS)


def _print_csv(rates: ErrorRates) -> None:
    """Print one row per recording and per group, and a last one for the corpus."""
    header = ("level", "by", "group", "recording", "num_recordings", "mean_der")
    columns = [*header, "mean_jer", *_values(Score())]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for name, score in rates.scores.items():
        shown = printable(name)
        writer.writerow({"level": "recording", "recording": shown, **_values(score)})
    for by, groups in rates.breakdowns.items():
        for group, summary in groups.items():
            shown = "" if group is None else printable(str(group))
            names = {"level": "group", "by": printable(by), "group": shown}
            writer.writerow(names | _csv_values(summary))
    writer.writerow({"level": "pooled", **_csv_values(rates.corpus)})


def _csv_values(summary: Summary) -> dict[str, Any]:
    return {
        "num_recordings": summary.recordings,
        "mean_der": _known(summary.mean_der),
        "mean_jer": _known(summary.mean_jer),
        **_values(summary.pooled),
    }


PRINTERS: dict[str, Callable[[ErrorRates], None]] = {
    "text": partial(_print_tables, print_one=print_table, line_end="\n"),
    "json": _print_json,
    "csv": _print_csv,
    "markdown": partial(_print_tables, print_one=print_markdown, line_end="  \n"),
}
