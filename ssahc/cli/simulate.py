"""``ssahc simulate``."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    resolve,
)
from ssahc.core.errors import UsageError, counted
from ssahc.core.types import LabelledXvectors
from ssahc.io.files import atomic_write, open_regular
from ssahc.io.folders import lock_folder, move_tree, refuse_links, staging_folder
from ssahc.io.labelled import write_labelled
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import write_rttm
from ssahc.io.trials import write_trials
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import SCP
from ssahc.simulation.conversations import Half, simulate_corpus, simulate_training
from ssahc.simulation.kinds import KINDS
from ssahc.simulation.options import SimulateOptions

# Trials of every x-vector.
_TRIALS = 20
# X-vector folders and the start of their first key, by which they are recognised.
_FIRST = {"a": "a000-", "b": "b000-", "train": "t0000-"}

_logger = logging.getLogger("ssahc")


@click.command("simulate", cls=Verb)
@click.argument("out_dir", type=PATH)
@click.option(
    "--like",
    cls=GroupedOption,
    group="Simulation",
    type=click.Choice(sorted(KINDS)),
    help="Kind of embeddings whose figures, as measured on real recordings, take the "
    "place of defaults: CAM++ and Resemblyzer on meetings, Kaldi's x-vectors on calls.",
)
@options_of(SimulateOptions)
@config_option
def command(out_dir: Path, like: str | None, config: Path | None, **given: Any) -> None:
    """Write two halves of synthetic conversations to OUT_DIR.

    OUT_DIR/a and OUT_DIR/b are x-vector folders with ref.rttm and reco2num_spk;
    OUT_DIR/model/a and OUT_DIR/model/b are model folders. Diarize each half with the
    model of the other. OUT_DIR/train holds x-vectors of known speakers for ssahc fit
    and ssahc train-metric, and trials for ssahc verify.
    """
    options = resolve(SimulateOptions, given, config=config, base=KINDS.get(like or ""))
    with lock_folder(out_dir) as unfinished:
        refuse_what_is_not_simulated(
            out_dir, _FIRST if options.train_speakers > 0 else ("a", "b")
        )
        halves = simulate_corpus(options)
        with staging_folder(unfinished) as folder:
            write_corpus(folder, halves)
            if options.train_speakers > 0:
                write_training(folder / "train", simulate_training(options))
            move_tree(folder, out_dir)
    count = sum(len(half.conversations) for half in halves.values())
    text = counted(count, "conversation")
    _logger.info("wrote %s to %s/a and %s/b", text, out_dir, out_dir)


def refuse_what_is_not_simulated(out_dir: Path, names: Iterable[str]) -> None:
    """Raise a UsageError if a folder is a link, or holds anything not simulated."""
    for name in names:
        folders = [name] if name == "train" else [name, "model", f"model/{name}"]
        refuse_links(out_dir, folders)
        if _begins(out_dir / name / SCP, _FIRST[name]):
            continue
        for folder in (out_dir / name, out_dir / folders[-1]):
            # A killed run may leave the archive and hidden files.
            for path in sorted(folder.glob("[!.]*")):
                if path.name != "xvector.ark":
                    raise UsageError(
                        f"{folder}: holds {path.name} that ssahc simulate did not "
                        "write; choose another folder"
                    )


def _begins(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    with open_regular(path) as file:
        return file.read(len(text)) == text.encode()


def write_training(folder: Path, labelled: LabelledXvectors) -> None:
    """Write labelled x-vectors, and trials of each with those that follow it."""
    write_labelled(folder, labelled)
    rows = list(zip(labelled.utterances, labelled.speakers, strict=True))
    write_trials(
        folder / "trials",
        (
            (enrolled, test, speaker == other)
            for place, (enrolled, speaker) in enumerate(rows)
            for test, other in rows[place + 1 : place + 1 + _TRIALS]
        ),
    )


def write_corpus(out_dir: Path, halves: dict[str, Half]) -> None:
    """Write halves as x-vector folders and model folders."""
    for name, half in halves.items():
        folder = out_dir / name
        write_xvector_dir(folder, [item.recording for item in half.conversations])
        turns = {item.recording.id: item.turns for item in half.conversations}
        write_rttm(folder / "ref.rttm", turns)
        with atomic_write(folder / "reco2num_spk") as file:
            for recording, group in turns.items():
                file.write(f"{recording} {len({turn.speaker for turn in group})}\n")
        write_model_dir(out_dir / "model" / name, half.model)
