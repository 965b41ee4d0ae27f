"""``ssahc plot``, where it draws what is scored: timelines, rates by speakers."""

from pathlib import Path
from typing import Any

import click

from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.references import (
    Protocol,
    read_hypothesis,
    read_references,
    refuse_nothing_scored,
)
from ssahc.cli.runner import track
from ssahc.core.errors import DataError, UsageError, printable
from ssahc.report.figure import check_picture
from ssahc.scoring.breakdown import break_down, count_speakers
from ssahc.scoring.der import score_corpus
from ssahc.scoring.error_spans import compare


@click.command("timeline", cls=Verb)
@click.argument("ref_rttm", type=PATH)
@click.argument("hyp_rttm", type=PATH)
@click.argument("recording")
@click.argument("picture", type=PATH)
@options_of(Protocol)
def timeline(
    ref_rttm: Path, hyp_rttm: Path, recording: str, picture: Path, **given: Any
) -> None:
    """Draw who speaks when in RECORDING, and where HYP_RTTM is wrong.

    Three rows: reference, hypothesis, errors (missed speech, false alarms, confusions),
    which add up to what ssahc score counts; what is not scored is grey. Hypothesis
    speakers have the colours of the reference speakers they are scored as. PICTURE
    ends in .png, .svg or .pdf.
    """
    protocol = resolve(Protocol, given)
    check_picture(picture, [ref_rttm, hyp_rttm, protocol.uem])
    references = read_references(ref_rttm, protocol.uem)
    turns = references.rttm.turns
    if recording not in turns:
        raise DataError(
            f"{ref_rttm}: has no recording {recording!r}; among its {len(turns)} "
            f"recordings are {', '.join(sorted(turns)[:3])}"
        )
    hypothesis = read_hypothesis(hyp_rttm, references)
    comparison = compare(
        turns[recording],
        hypothesis.get(recording, ()),
        protocol.scoring,
        uem=(references.spans or {}).get(recording),
    )
    score = comparison.score
    refuse_nothing_scored([score])
    from ssahc.report.timeline import save_timeline

    save_timeline(picture, recording, comparison)
    said = (
        f"{picture}: missed {score.missed:.2f} s, false alarm {score.false_alarm:.2f} "
        f"s, confusion {score.confusion:.2f} s of {score.scored:.2f} s"
    )
    click.echo(printable(said))


@click.command("speakers", cls=Verb)
@click.argument("ref_rttm", type=PATH)
@click.argument("hyp_rttms", metavar="HYP_RTTM...", type=PATH, nargs=-1, required=True)
@click.argument("picture", type=PATH)
@options_of(Protocol)
def speakers(
    ref_rttm: Path, hyp_rttms: tuple[Path, ...], picture: Path, **given: Any
) -> None:
    """Draw error rates by the number of speakers that recordings have.

    A group of bars for each number of reference speakers, with the number of its
    recordings below, and in it a bar for each HYP_RTTM. PICTURE ends in .png, .svg or
    .pdf.
    """
    protocol = resolve(Protocol, given)
    check_picture(picture, [ref_rttm, *hyp_rttms, protocol.uem])
    if len(set(hyp_rttms)) < len(hyp_rttms):
        raise UsageError("a HYP_RTTM is given twice; leave one out")
    references = read_references(ref_rttm, protocol.uem)
    turns = references.rttm.turns
    breakdowns = {}
    for path, name in zip(hyp_rttms, _name_apart(hyp_rttms), strict=True):
        scores = score_corpus(
            turns,
            read_hypothesis(path, references),
            protocol.scoring,
            uem=references.spans,
            progress=lambda names: track(names, len(turns), "scoring"),
        )
        refuse_nothing_scored(scores.values())
        breakdowns[name] = break_down(scores, count_speakers(scores))
    from ssahc.report.speakers import save_speakers

    save_speakers(picture, breakdowns)
    said = f"{picture}: {len(turns)} recordings, {', '.join(breakdowns)}"
    click.echo(printable(said))


def _name_apart(paths: tuple[Path, ...]) -> list[str]:
    """Return the shortest ends of paths that tell them apart, such as out/rttm."""
    parts = [path.absolute().parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
