"""``ssahc score-extractor``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ssahc.cli.labelled_speech import read_speech
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import print_faults, track
from ssahc.cli.tables import print_table
from ssahc.core.errors import DataError, counted
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

    Exit status: 1 if some speech is broken (each file is named), else 0.
    """
    extractor = Extractor.load(model, device=device)
    rows, faults = [], []
    for folder in folders:
        speech, broken = read_speech([folder], extractor.sample_rate)
        faults += broken
        print_faults(broken, len(speech) + len(broken))
        speech = limit_trials(speech)
        full, short, speakers = [], [], []
        utterances = zip(speech.signals, speech.speakers, strict=True)
        for signal, speaker in track(utterances, len(speech), "embedding"):
            if len(signal) >= _SHORTEST * extractor.sample_rate:
                both = _embed(signal, extractor)
                full.append(both[0])
                short.append(both[1])
                speakers.append(speaker)
        if len(set(speakers)) < 2:
            raise DataError(
                f"{folder}: needs two speakers with two utterances of {_SHORTEST:g} s "
                f"or more each, found {len(set(speakers))}"
            )
        rates = [error_rate(vectors, speakers) for vectors in (full, short)]
        cells = [f"{100 * rate:.2f}" for rate in rates]
        counts = str(len(set(speakers))), str(len(speakers))
        rows.append((str(folder), *counts, *cells))
    header = ("speech", "speakers", "utterances", "EER full\n%", "EER 1.5 s\n%")
    print_table(header, rows)
    click.echo(
        f"\n{model}: {counted(extractor.dim, 'dimension')}; all pairs of utterances, "
        f"cosine without the mean; 1.5 s: the middle of each"
    )
    sys.exit(1 if faults else 0)


def _embed(
    signal: "NDArray[np.generic]", extractor: Extractor
) -> "NDArray[np.float32]":
    """Return the embeddings (2, D) of an utterance, and of its middle."""
    shift = extractor.frame_shift
    count = len(signal) / extractor.sample_rate / shift
    first, last = middle_frames(round(count), shift)
    windows = [[0.0, count * shift], [first * shift, min(last, count) * shift]]
    return extractor.embed(signal.astype(np.float32), windows)
