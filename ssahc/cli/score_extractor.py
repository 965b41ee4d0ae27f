"""``ssahc score-extractor``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ssahc.cli.labelled_speech import read_speech
from ssahc.cli.messages import say_error
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import print_faults, track
from ssahc.cli.tables import print_table
from ssahc.core.errors import DataError, SsahcError, counted
from ssahc.core.types import Fault
from ssahc.frontend.extractors import Extractor
from ssahc.learning.extractor.trials import (
    error_rate,
    limit_trials,
    middle_frames,
)
from ssahc.runtime.device import Device

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shorter utterances have no embedding from some models; in seconds.
_SHORTEST = 0.2


@click.command("score-extractor", cls=Verb)
@click.argument("model")
@click.argument("folders", metavar="DIR...", type=PATH, nargs=-1, required=True)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where the extractor runs; auto: on a GPU if there is one.  [default: auto]",
)
def command(model: str, folders: tuple[Path, ...], device: Device) -> None:
    """Print the equal error rates of an extractor on the speech of known speakers.

    MODEL is what --extractor of ssahc diarize takes: a folder of ssahc train-extractor
    or of Kaldi, an ONNX file, or a name such as campplus. Each DIR is a data folder of
    Kaldi (wav.scp, utt2spk, perhaps segments), or has a folder of audio for each
    speaker. Trials are all pairs of at most 1000 utterances, 20 of a speaker, of those
    with two or more: in full, and of the 1.5 s in their middle. Scores are cosines
    after the mean of all is subtracted, as in the training of extractors.

    A DIR that cannot be scored is named; the others are scored. Exit status: 2 if no
    DIR could be scored, 1 if some could not or some speech is broken (each file is
    named), else 0.
    """
    extractor = Extractor.load(model, device=device)
    rows: list[tuple[str, ...]] = []
    errors: list[SsahcError] = []
    is_broken = False
    for folder in folders:
        try:
            row, faults = _score(folder, extractor)
        except SsahcError as error:
            errors.append(error)
        else:
            rows.append(row)
            is_broken |= bool(faults)
    if rows:
        header = ("speech", "speakers", "utterances", "EER full\n%", "EER 1.5 s\n%")
        print_table(header, rows)
        click.echo(
            f"\n{model}: {counted(extractor.dim, 'dimension')}; all pairs of "
            f"utterances, cosine without the mean; 1.5 s: the middle of each"
        )
    for problem in errors:
        say_error(str(problem))
    sys.exit(2 if not rows else int(is_broken or bool(errors)))


def _score(folder: Path, extractor: Extractor) -> tuple[tuple[str, ...], list[Fault]]:
    """Return the row of a folder, and what is wrong with its recordings.

    A DataError is raised if no two utterances that are long enough are of one speaker,
    or no two of different ones.
    """
    speech, faults = read_speech([folder], extractor.sample_rate)
    print_faults(faults, len(speech) + len(faults))
    shortest = _SHORTEST * extractor.sample_rate
    sizes = map(len, speech.signals)
    speech = speech.select([row for row, size in enumerate(sizes) if size >= shortest])
    speech = limit_trials(speech)
    count = len(set(speech.speakers))
    if count < 2:
        raise DataError(
            f"{folder}: needs two speakers with two utterances of {_SHORTEST:g} s or "
            f"more each, found {counted(count, 'such speaker')}"
        )
    full, short = [], []
    for signal in track(speech.signals, len(speech), "embedding"):
        both = _embed(signal, extractor)
        full.append(both[0])
        short.append(both[1])
    rates = [error_rate(vectors, speech.speakers) for vectors in (full, short)]
    cells = [f"{100 * rate:.2f}" for rate in rates]
    return (str(folder), str(count), str(len(speech)), *cells), faults


def _embed(
    signal: "NDArray[np.generic]", extractor: Extractor
) -> "NDArray[np.float32]":
    """Return the embeddings (2, D) of an utterance, and of its middle."""
    shift = extractor.frame_shift
    count = len(signal) / extractor.sample_rate / shift
    first, last = middle_frames(round(count), shift)
    windows = [[0.0, count * shift], [first * shift, min(last, count) * shift]]
    return extractor.embed(signal.astype(np.float32), windows)
