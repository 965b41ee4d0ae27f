"""``ssahc score-segmentation``."""

import sys
from collections.abc import Iterable
from itertools import chain
from math import isnan
from pathlib import Path

import click

from ssahc.cli.annotated_audio import list_annotated, read_annotated
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import print_faults
from ssahc.cli.tables import print_table
from ssahc.core.errors import DataError, UsageError, counted
from ssahc.frontend.segmentation import find_network
from ssahc.runtime.device import Device, has_gpu

_BEST = "best"


@click.command("score-segmentation", cls=Verb)
@click.argument("model")
@click.argument("folders", metavar="DIR...", type=PATH, nargs=-1, required=True)
@click.option(
    "--threshold",
    metavar="NUMBER|best",
    help="Threshold of a multi-label network instead of its own; best is the one with "
    "the fewest errors on these recordings, for comparison.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where the network is computed; auto uses a GPU if there is one.  [default: "
    "auto]",
)
def command(
    model: str, folders: tuple[Path, ...], threshold: str | None, device: Device
) -> None:
    """Print the local diarization error rates of a segmentation network.

    MODEL is what ssahc train-segmentation wrote, or a name such as segmentation-3.0.
    Each DIR holds audio, ref.rttm, and perhaps all.uem. Chunks are scored by
    themselves, as long as in the training of the network, each with the best
    permutation of its speakers, without a collar and with overlap: these errors are the
    network's alone.

    Exit status: 1 if some recordings are broken (each is named), else 0.
    """
    chosen = _parse_threshold(threshold)
    place = "cuda" if has_gpu(device) else "cpu"
    # Here, since torch takes seconds to load.
    from ssahc.frontend.segmentation.loading import read_network
    from ssahc.frontend.segmentation.model import as_segmenter
    from ssahc.learning.segmentation.local_errors import (
        LocalErrors,
        best_threshold,
        local_errors,
        run_chunks,
    )

    trained = read_network(find_network(model))
    if threshold is not None and trained.network.options.head == "powerset":
        raise UsageError(
            f"{model}: powerset networks have no threshold; leave out --threshold"
        )
    if threshold is None:
        chosen = trained.threshold
    segmenter = as_segmenter(trained.network, place, chosen)
    recordings, faults = read_annotated(list_annotated(folders), segmenter.sample_rate)
    print_faults(faults, len(recordings) + len(faults))
    outputs = [list(run_chunks([recording], segmenter)) for recording in recordings]
    best = None
    if threshold == _BEST:
        together = list(chain.from_iterable(outputs))
        best, _ = best_threshold(together, segmenter.sets)
        chosen = best
    rows, total = [], LocalErrors()
    for recording, chunks in zip(recordings, outputs, strict=True):
        errors = local_errors(chunks, segmenter.sets, best)
        total += errors
        rows.append((recording.id, *_percentages(errors.rates())))
    if total.total == 0:
        raise DataError("nobody speaks in the chunks of these recordings")
    rows.append(("pooled", *_percentages(total.rates())))
    header = ("recording", "local\nDER %", "missed\n%", "false\nalarm %", "conf.\n%")
    print_table(header, rows)
    seconds = segmenter.chunk / segmenter.sample_rate
    what = f"{counted(len(outputs), 'recording')} in chunks of {seconds:g} s"
    if trained.network.options.head == "multilabel":
        what += f", threshold {chosen:g}"
    click.echo(f"\n{what}; no collar, overlap scored")
    sys.exit(1 if faults else 0)


def _parse_threshold(text: str | None) -> float:
    """Return the threshold; 0.5 if it is still to be found."""
    if text is None or text == _BEST:
        return 0.5
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise UsageError(
            f"--threshold must be above 0 and below 1, or best, found {text!r}"
        )
    return value


def _percentages(rates: Iterable[float]) -> list[str]:
    return ["-" if isnan(rate) else f"{100 * rate:.1f}" for rate in rates]
