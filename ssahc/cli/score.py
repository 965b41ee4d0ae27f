"""``ssahc score``."""

import json
import sys
from collections.abc import Set
from pathlib import Path

import click

from ssahc.cli.batch import track
from ssahc.cli.options import ANY_PATH
from ssahc.errors import DataError
from ssahc.io.rttm import Rttm, read_rttm, read_uem
from ssahc.scoring import Score, ScoringOptions, score_corpus


@click.command("score")
@click.argument("ref_rttm", type=ANY_PATH)
@click.argument("hyp_rttm", type=ANY_PATH)
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
@click.option("--uem", type=ANY_PATH, help="UEM file: the spans to score.")
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
    same collar. A recording missing from HYP_RTTM counts as missed.
    """
    options = ScoringOptions(collar, ignore_overlaps)
    reference, hypothesis = read_rttm(ref_rttm), read_rttm(hyp_rttm)
    if not reference.turns:
        raise DataError(f"{ref_rttm}: holds no SPEAKER line; check the path")
    _check_channels(reference, hypothesis, ref_rttm, hyp_rttm)
    spans = None if uem is None else read_uem(uem)
    scored = (reference.turns if spans is None else spans).keys()
    _warn_of_strangers(scored, reference, hypothesis)
    scores = score_corpus(
        reference.turns,
        hypothesis.turns,
        options,
        uem=spans,
        progress=lambda names: track(names, len(scored), "scoring"),
    )
    pooled = sum(scores.values(), Score())
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


def _warn_of_strangers(scored: Set[str], reference: Rttm, hypothesis: Rttm) -> None:
    for names, what in (
        (scored - hypothesis.turns.keys(), "not in the hypothesis, counted as missed"),
        (hypothesis.turns.keys() - scored, "in the hypothesis alone, not scored"),
        (reference.turns.keys() - scored, "not in the UEM, not scored"),
    ):
        if names:
            click.echo(f"ssahc: {what}: {', '.join(sorted(names))}", err=True)


def _as_dict(score: Score) -> dict[str, float]:
    return {
        "der": score.der,
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

    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("recording")
    for heading in ("DER %", "scored s", "missed s", "false alarm s", "confusion s"):
        table.add_column(heading, justify="right")
    for name, score in [*scores.items(), ("pooled", pooled)]:
        values = list(_as_dict(score).values())
        table.add_row(name, *(f"{value:.2f}" for value in values))
    Console(highlight=False, soft_wrap=True).print(table)
