"""``ssahc check``."""

import sys
from pathlib import Path

import click

from ssahc.cli.messages import say_error
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import track
from ssahc.core.errors import FormatError, printable
from ssahc.core.types import NO_MODEL
from ssahc.io.check import find_problems
from ssahc.io.model import read_model_dir


@click.command("check", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.option(
    "--model-dir",
    type=PATH,
    help="Folder with mean.vec, transform.mat and (for PLDA) plda, to check as well.",
)
def command(xvector_dir: Path, model_dir: Path | None) -> None:
    """List all problems of XVECTOR_DIR, without diarizing it.

    Reads xvector.scp, segments, utt2spk, spk2utt, reco2num_spk (if there is one), and
    all x-vectors that recordings use.

    Exit status: 0 no problems; 2 problems, of which the first thousand are printed.
    """
    problems: list[FormatError] = []
    model = NO_MODEL
    if model_dir is not None:
        try:
            model = read_model_dir(model_dir)
        except FormatError as error:
            problems.append(error)
    report = find_problems(
        xvector_dir,
        model,
        progress=lambda vectors, total: track(vectors, total, "checking"),
    )
    count = len(problems) + report.num_problems
    problems += report.problems
    if problems:
        for problem in problems:
            say_error(str(problem))
        omitted = len(problems) < count
        listed = f", of which {len(problems)} are listed" if omitted else ""
        say_error(f"{_count(count, 'problem')}{listed}")
        sys.exit(2)
    click.echo(
        f"{printable(str(xvector_dir))}: "
        f"{_count(report.recordings, 'recording')}, "
        f"{_count(report.xvectors, 'x-vector')} of {_count(report.dim, 'dimension')}, "
        f"{report.seconds / 3600:.1f} hours of speech: no problems"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
