"""Accuracy that clustering a long recording in two passes costs.

Long simulated recordings are diarized with exact linkage, and with a first pass over
pieces of a quarter, a tenth and a fiftieth of the windows, which leaves as many
clusters as a piece has windows. (By default ssahc uses a quarter.)
"""

import argparse
from collections.abc import Sequence
from functools import partial
from unittest.mock import patch

from benchmarks.support.tables import show
from ssahc import LabelScorer, diarize_recording, make_options
from ssahc.clustering.two_pass import merge_in_pieces
from ssahc.core.types import Model
from ssahc.simulation.conversations import (
    Conversation,
    SimulateOptions,
    simulate_corpus,
)

_SHARES = (4, 10, 50)
_SYSTEMS = {
    "plda": {"system": "plda"},
    "ssahc+plda, clusters": {"resegmentation": "none"},
    "ssahc+plda": {},
}
# Simulated windows begin so far apart, of which not all hold speech.
_SECONDS_A_WINDOW = 0.9


def simulate(windows: int, speakers: int) -> tuple[Conversation, Model]:
    """Return one long conversation of so many speakers, and a model for it."""
    options = SimulateOptions(
        recordings=1,
        duration=_SECONDS_A_WINDOW * windows,
        min_speakers=speakers,
        max_speakers=speakers,
    )
    corpus = simulate_corpus(options)
    return corpus["a"].conversations[0], corpus["b"].model


def measure(
    item: Conversation, model: Model, system: str, speakers: int, piece: int | None
) -> float:
    """Return the error rate with a known number of speakers.

    Parameters
    ----------
    item : Conversation
    model : Model
    system : str
    speakers : int
    piece : int, optional
        Windows a piece of the first pass; exact if not given.
    """
    longest = len(item.recording) if piece is None else piece
    merge = partial(merge_in_pieces, longest=longest, piece=longest)
    options = make_options(num_speakers=speakers, **_SYSTEMS[system])
    with patch("ssahc.clustering.ahc.merge_in_pieces", merge):
        labels = diarize_recording(item.recording, model, options).labels
    return LabelScorer(item.recording.segments, item.turns).score(labels).der


def run(windows: int, numbers: Sequence[int]) -> list[list[str]]:
    """Return a row for each number of speakers and system."""
    rows = []
    for speakers in numbers:
        item, model = simulate(windows, speakers)
        pieces = [None, *(len(item.recording) // share for share in _SHARES)]
        for system in _SYSTEMS:
            rates = [measure(item, model, system, speakers, piece) for piece in pieces]
            row = [str(speakers), system, *(f"{rate:.2f}" for rate in rates)]
            rows.append(row)
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--windows", type=int, default=20_000)


def main(arguments: argparse.Namespace) -> None:
    header = ["speakers", "system", "exact", *(f"pieces of 1/{n}" for n in _SHARES)]
    show(run(arguments.windows, (4, 20, 60)), header, text=2)
