"""What the verbs share that train a network epoch by epoch: resuming, and the table."""

import csv
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ssahc.cli.overwrite import has_columns, refuse_others
from ssahc.cli.parsing import GroupedOption
from ssahc.cli.resume import begin, check_same_run, is_interrupted, work_folder
from ssahc.cli.runner import CONFIG
from ssahc.core.errors import DataError, FormatError
from ssahc.io.checkpoint import read_checkpoint
from ssahc.io.files import atomic_write
from ssahc.io.folders import clear_unfinished

if TYPE_CHECKING:
    from ssahc.learning.checkpoint import Checkpoint, Epoch

E = TypeVar("E", bound="Epoch")

resume_option = click.option(
    "--resume",
    cls=GroupedOption,
    group="Execution",
    is_flag=True,
    help="Continue after the last epoch of an interrupted run with the same options; a "
    "finished run is left as it is.",
)

CHECKPOINT, EPOCHS = "checkpoint.npz", "training.csv"

_logger = logging.getLogger("ssahc")


def is_finished(
    out_dir: Path, columns: Sequence[str], files: Collection[str], verb: str
) -> bool:
    """Whether a folder holds the results of a finished run; refuse those of others.

    They are `files` and the table of epochs, with these columns.
    """
    if has_columns(out_dir / EPOCHS, columns):
        return True
    refuse_others(out_dir, (*files, EPOCHS, CONFIG), verb)
    return False


@contextmanager
def open_training(
    out_dir: Path,
    run: Any,
    inputs: Sequence[Path],
    files: Sequence[str],
    epoch_class: type[E],
    *,
    resume: bool,
) -> Iterator[tuple[Path, "Checkpoint[E] | None"]]:
    """Yield the work folder of a run, and the checkpoint of an interrupted one.

    On leaving, `files` and the table of epochs are moved from there to `out_dir`.
    """
    # Files of an earlier model must not remain beside the new network.
    with work_folder(out_dir, (*files, EPOCHS), stale=lambda: files) as folder:
        path, checkpoint = folder / CHECKPOINT, None
        if is_interrupted(out_dir, resume=resume):
            check_same_run(folder, run, inputs)
            # There is none if the run was killed before its first epoch.
            if path.exists():
                checkpoint = load_checkpoint(path, epoch_class)
                _logger.info("resuming after epoch %d", checkpoint.epochs[-1].number)
        else:
            # Without options, nothing else there can be resumed.
            clear_unfinished(folder)
            begin(folder, run, inputs)
        try:
            yield folder, checkpoint
        except BaseException as error:
            # The same data and options would fail again.
            if path.exists() and not isinstance(error, DataError):
                _logger.warning(
                    f"the last epoch is kept in {out_dir}; continue from there by the "
                    "same command with --resume"
                )
            else:
                (folder / CONFIG).unlink(missing_ok=True)
            raise


def load_checkpoint(path: Path, epoch_class: type[E]) -> "Checkpoint[E]":
    """Read the checkpoint of an interrupted run."""
    from ssahc.learning.checkpoint import Checkpoint

    arrays, record = read_checkpoint(path)
    try:
        return Checkpoint.from_json(arrays, record, epoch_class)
    except ValueError as error:
        raise FormatError(
            "is not a checkpoint of this version of ssahc; remove its folder to start "
            "anew",
            path=path,
        ) from error


def write_epochs(
    folder: Path, epochs: Sequence["Epoch"], columns: Sequence[str]
) -> None:
    """Write the table of epochs; their number is the first column."""
    with atomic_write(folder / EPOCHS) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        names = ["number", *columns[1:]]
        for epoch in epochs:
            values = asdict(epoch)
            table.writerow(values[name] for name in names)
