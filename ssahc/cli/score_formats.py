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
from ssahc.scoring.across import AcrossScore
from ssahc.scoring.breakdown import Group, Summary
from ssahc.scoring.der import Errors, Score
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
    # With speakers whose names recordings share, if it is wanted.
    across: AcrossScore | None = None


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
    if rates.across is not None:
        linked = rates.across.errors
        rows.append(("across", _format(linked.der), *_format_errors(linked)))
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
    if not rates.options.ignore_overlaps:
        yield _list_parts(corpus.pooled)


def _list_parts(score: Score) -> tuple[_Row, list[_Row]]:
    """Return header and rows of the errors by number of reference speakers."""
    parts = {
        "nobody": score.silence,
        "one speaker": score.single,
        "overlap": score.overlap,
        "all": score,
    }
    rows = []
    for name, part in parts.items():
        cells = [_format(part.der), _format(score.percent(part.error))]
        rows.append((name, *cells, *_format_seconds(part, score)))
    return ("who speaks", "own\nDER %", "adds to\nDER %", *_SECONDS), rows


def _format_errors(score: Score) -> Iterator[str]:
    """Yield the cells of seconds and percentages, and the JER."""
    yield from _format_seconds(score, score)
    yield _format(score.jer)


def _format_seconds(part: Errors, whole: Errors) -> Iterator[str]:
    """Yield the cells of a part's seconds, and of percentages of the whole."""
    yield _format(part.scored)
    for seconds in (part.missed, part.false_alarm, part.confusion):
        yield _format(seconds)
        yield _format(whole.percent(seconds))


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
    if rates.across is not None:
        one = rates.across
        yield (
            f"across: speakers mapped once for all recordings; {one.num_found} found, "
            f"{one.num_reference} in the reference, purity {_format(one.purity)} %, "
            f"coverage {_format(one.coverage)} %."
        )
    if rates.breakdowns:
        yield "count: number of recordings."
    if not rates.options.ignore_overlaps:
        yield (
            "who speaks: in the reference; own DER: of that speech alone; other "
            "percentages: of all speech."
        )
        overlap = rates.corpus.pooled.overlap_seconds
        yield (
            f"overlap: {overlap.reference:.2f} s, missed {_format(overlap.missed)} % "
            f"(recall {_format(overlap.recall)} %); found {overlap.hypothesis:.2f} s, "
            f"precision {_format(overlap.precision)} %."
        )


def _print_json(rates: ErrorRates) -> None:
    options = rates.options
    document = {
        "collar": options.collar,
        "ignore_overlaps": options.ignore_overlaps,
        **_summary_values(rates.corpus, options),
        **_across_values(rates),
        "recordings": {
            name: _values(score, options) for name, score in rates.scores.items()
        },
        "breakdowns": {
            by: [
                {"group": group, **_summary_values(summary, options)}
                for group, summary in groups.items()
            ]
            for by, groups in rates.breakdowns.items()
        },
    }
    json.dump(document, sys.stdout, indent=2)
    click.echo()


def _across_values(rates: ErrorRates) -> dict[str, Any]:
    """Return what JSON says of speakers across recordings, if it is wanted."""
    one = rates.across
    if one is None:
        return {}
    values = _values(one.errors, rates.options)
    # Of all recordings at once they are not computed.
    del values["jer"], values["speakers"]
    return {
        "across": {
            **values,
            "purity": _known(one.purity),
            "coverage": _known(one.coverage),
            "num_found": one.num_found,
            "num_reference": one.num_reference,
        }
    }


def _summary_values(summary: Summary, options: ScoringOptions) -> dict[str, Any]:
    return {
        "num_recordings": summary.recordings,
        "pooled": _values(summary.pooled, options),
        "mean": {"der": _known(summary.mean_der), "jer": _known(summary.mean_jer)},
    }


def _values(score: Score, options: ScoringOptions) -> dict[str, float | None]:
    values = {
        "der": score.der,
        **_seconds(score),
        "missed_percent": score.percent(score.missed),
        "false_alarm_percent": score.percent(score.false_alarm),
        "confusion_percent": score.percent(score.confusion),
        "jer": score.jer,
        "speakers": score.speakers,
    }
    if not options.ignore_overlaps:
        values |= _split_values(score)
    return {name: _known(value) for name, value in values.items()}


def _split_values(score: Score) -> dict[str, float]:
    """Return the errors by number of reference speakers, and overlap as detected."""
    overlap = score.overlap_seconds
    parts = {"single": score.single, "overlap": score.overlap}
    values = {"silence_false_alarm": score.silence.false_alarm}
    for part, errors in parts.items():
        for name, value in {"der": errors.der, **_seconds(errors)}.items():
            values[f"{part}_{name}"] = value
    return values | {
        "overlap_reference": overlap.reference,
        "overlap_hypothesis": overlap.hypothesis,
        "overlap_both": overlap.both,
        "overlap_precision": overlap.precision,
        "overlap_recall": overlap.recall,
    }


def _seconds(errors: Errors) -> dict[str, float]:
    return {
        "scored": errors.scored,
        "missed": errors.missed,
        "false_alarm": errors.false_alarm,
        "confusion": errors.confusion,
    }


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, _DIGITS)


def _print_csv(rates: ErrorRates) -> None:
    """Print one row per recording and per group, and a last one for the corpus."""
    header = ("level", "by", "group", "recording", "num_recordings", "mean_der")
    options = rates.options
    columns = [*header, "mean_jer", *_values(Score(), options)]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for name, score in rates.scores.items():
        row = {"level": "recording", "recording": printable(name)}
        writer.writerow(row | _values(score, options))
    for by, groups in rates.breakdowns.items():
        for group, summary in groups.items():
            shown = "" if group is None else printable(str(group))
            names = {"level": "group", "by": printable(by), "group": shown}
            writer.writerow(names | _csv_values(summary, options))
    writer.writerow({"level": "pooled", **_csv_values(rates.corpus, options)})
    for values in _across_values(rates).values():
        row = {name: value for name, value in values.items() if name in columns}
        writer.writerow({"level": "across", **row})


def _csv_values(summary: Summary, options: ScoringOptions) -> dict[str, Any]:
    return {
        "num_recordings": summary.recordings,
        "mean_der": _known(summary.mean_der),
        "mean_jer": _known(summary.mean_jer),
        **_values(summary.pooled, options),
    }


PRINTERS: dict[str, Callable[[ErrorRates], None]] = {
    "text": partial(_print_tables, print_one=print_table, line_end="\n"),
    "json": _print_json,
    "csv": _print_csv,
    "markdown": partial(_print_tables, print_one=print_markdown, line_end="  \n"),
}
