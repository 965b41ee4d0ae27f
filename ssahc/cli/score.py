"""``ssahc score``."""

import json
import logging
import sys
from math import isnan
from pathlib import Path
from typing import Any

import click

from ssahc.cli.batch import track
from ssahc.cli.options import PATH, Verb
from ssahc.errors import DataError
from ssahc.io.rttm import Rttm, read_rttm, read_uem
from ssahc.scoring import Score, ScoringOptions, score_corpus

_logger = logging.getLogger("ssahc")


@click.command("score", cls=Verb)
@click.argument("ref_rttm", type=PATH)
@click.argument("hyp_rttm", type=PATH)
@click.option(
    "--collar",
    type=float,
    default=ScoringOptions.collar,
    show_default=True,
    help="Seconds on each side of every reference boundary that are not scored "
    "(md-eval -c).",
)
@click.option(
    "--ignore-overlaps/--score-overlaps",
    default=ScoringOptions.ignore_overlaps,
    show_default=True,
    help="Leave out, or score, where two reference turns overlap (md-eval -1).",
)
@click.option("--uem", type=PATH, help="UEM file: the spans to score.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
def command(
    ref_rttm: Path,
    hyp_rttm: Path,
    collar: float,
    ignore_overlaps: bool,
    uem: Path | None,
    as_json: bool,
) -> None:
    """Print the diarization error rate of HYP_RTTM, per recording and pooled.

    Totals, misses, false alarms and confusions are those of NIST's md-eval with the
    same collar. A recording missing from HYP_RTTM counts as missed; one missing from
    the UEM is scored from its first to its last reference turn.
    """
    options = ScoringOptions(collar, ignore_overlaps)
    reference, hypothesis = read_rttm(ref_rttm), read_rttm(hyp_rttm)
    if not reference.turns:
        raise DataError(f"{ref_rttm}: holds no SPEAKER line; check the path")
    _check_channels(reference, hypothesis, ref_rttm, hyp_rttm)
    spans = None if uem is None else _spans(uem, reference)
    _note_differences(reference, hypothesis, spans)
    scores = score_corpus(
        reference.turns,
        hypothesis.turns,
        options,
        uem=spans,
        progress=lambda names: track(names, len(reference.turns), "scoring"),
    )
    pooled = sum(scores.values(), Score())
    if pooled.scored == 0:
        raise DataError(
            "no reference speech is left to score; check the collar and the UEM"
        )
    if as_json:
        _print_json(scores, pooled, options)
    else:
        _print_table(scores, pooled)


def _check_channels(
    reference: Rttm, hypothesis: Rttm, ref_rttm: Path, hyp_rttm: Path
) -> None:
    for recording, channel in hypothesis.channels.items():
        expected = reference.channels.get(recording, channel)
        if expected.lower() != channel.lower():
            raise DataError(
                f"recording {recording!r} is on channel {expected!r} in {ref_rttm}, on "
                f"{channel!r} in {hyp_rttm}, so md-eval would not match them; write "
                f"the hypothesis with --rttm-channel {expected}"
            )


def _spans(uem: Path, reference: Rttm) -> dict[str, list[tuple[float, float]]]:
    """Return the UEM's spans of the reference's recordings, on the same channels."""
    spans = {}
    for recording, channels in read_uem(uem).items():
        if recording not in reference.channels:
            continue
        channel = reference.channels[recording]
        by_lower = {name.lower(): parts for name, parts in channels.items()}
        if channel.lower() not in by_lower:
            raise DataError(
                f"{uem}: has recording {recording!r} on channel "
                f"{' and '.join(map(repr, channels))} only, the reference is on "
                f"{channel!r}; make them agree"
            )
        spans[recording] = by_lower[channel.lower()]
    if not spans:
        raise DataError(f"{uem}: names no recording of the reference; check the ids")
    return spans


def _note_differences(
    reference: Rttm, hypothesis: Rttm, spans: dict[str, Any] | None
) -> None:
    known = reference.turns.keys()
    differences = {
        "not in the hypothesis, counted as missed": known - hypothesis.turns.keys(),
        "in the hypothesis alone, not scored": hypothesis.turns.keys() - known,
        "not in the UEM, scored from first to last reference turn": (
            set() if spans is None else known - spans.keys()
        ),
    }
    for what, names in differences.items():
        if names:
            _logger.warning("%s: %s", what, ", ".join(sorted(names)))


def _as_dict(score: Score) -> dict[str, float | None]:
    return {
        "der": None if isnan(score.der) else score.der,
        "scored": score.scored,
        "missed": score.missed,
        "false_alarm": score.false_alarm,
        "confusion": score.confusion,
    }


def _print_json(
    scores: dict[str, Score], pooled: Score, options: ScoringOptions
) -> None:
    document = {
        "collar": options.collar,
        "ignore_overlaps": options.ignore_overlaps,
        "pooled": _as_dict(pooled),
        "recordings": {name: _as_dict(score) for name, score in scores.items()},
    }
    json.dump(document, sys.stdout, indent=2)
    click.echo()


def _print_table(scores: dict[str, Score], pooled: Score) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("recording")
    for heading in ("DER %", "scored s", "missed s", "false alarm s", "confusion s"):
        table.add_column(heading, justify="right")
    for name, score in [*scores.items(), ("pooled", pooled)]:
        values = _as_dict(score).values()
        table.add_row(Text(name), *("-" if v is None else f"{v:.2f}" for v in values))
    Console(highlight=False, soft_wrap=True).print(table)
