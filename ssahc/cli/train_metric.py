"""``ssahc train-metric``."""

import csv
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssahc.cli.overwrite import has_columns, refuse_others
from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    resolve,
)
from ssahc.cli.resume import begin, check_same_run, is_interrupted, work_folder
from ssahc.cli.runner import CONFIG, print_errors
from ssahc.core.errors import DataError, FormatError
from ssahc.core.options import Options
from ssahc.core.types import LabelledXvectors
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.io.files import atomic_write, refuse_input
from ssahc.io.folders import clear_unfinished
from ssahc.io.labelled import read_labelled
from ssahc.io.model import MODEL_FILES, read_model_dir, write_model_dir
from ssahc.io.scp import read_scp
from ssahc.io.xvectors import SCP, UTT2SPK
from ssahc.learning.losses.options import DISPLACED_BY_LOSS, MetricOptions
from ssahc.runtime.device import Device, has_gpu, memory_errors

if TYPE_CHECKING:
    from ssahc.learning.embedding_state import Checkpoint, Epoch

_CHECKPOINT, _EPOCHS = "checkpoint.npz", "training.csv"
_COLUMNS = ("epoch", "loss", "eer", "min_dcf")

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class Sources(Options, group="Input and output"):
    """What an embedding network is trained on.

    Parameters
    ----------
    xvector_dir : Path, optional
        Folder with xvector.scp.
    utt2spk : Path, optional
        Speaker of each x-vector; x-vectors that are not listed are not used. Default:
        XVECTOR_DIR/utt2spk.
    model_dir : Path, optional
        Model to start from, which is copied to OUT_DIR. Default: mean, whitening and
        PLDA are estimated as by ssahc fit from the speakers that are not held out.
    """

    xvector_dir: Path | None = None
    utt2spk: Path | None = None
    model_dir: Path | None = None


@dataclass(frozen=True)
class Running(Options, group="Execution"):
    """Where a network is trained.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        Where the network is trained; auto uses a GPU if there is one.
    """

    device: Device = "auto"


@dataclass(frozen=True)
class MetricConfig:
    """All options of ``ssahc train-metric``."""

    sources: Sources = field(default_factory=Sources)
    metric: MetricOptions = field(default_factory=MetricOptions)
    running: Running = field(default_factory=Running)


@click.command("train-metric", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(MetricConfig, without={"xvector_dir"})
@click.option(
    "--resume",
    cls=GroupedOption,
    group="Execution",
    is_flag=True,
    help="Continue after the last epoch of an interrupted run with the same options; a "
    "finished run is left as it is.",
)
@config_option
def command(
    xvector_dir: Path,
    out_dir: Path,
    resume: bool,
    config: Path | None,
    **given: Any,
) -> None:
    """Train a network on x-vectors of known speakers: OUT_DIR/metric.ark.

    XVECTOR_DIR holds xvector.scp and utt2spk, with a speaker for each x-vector. OUT_DIR
    becomes a model folder (mean.vec, transform.mat, plda, metric.ark) for ssahc verify
    and for ssahc diarize, whose networks then start from the embeddings; it also gets
    config.toml and training.csv with loss and error rates of every epoch.

    Exit status: 0 if all x-vectors were used; 1 if some are broken (each is named, and
    the network is trained on the others); 2 on wrong usage or without usable x-vectors
    (nothing is written). The state of an interrupted run is kept in OUT_DIR/.unfinished
    for --resume.
    """
    given["xvector_dir"] = xvector_dir
    run = resolve(MetricConfig, given, config=config, displaces=DISPLACED_BY_LOSS)
    # What is in the way is found out before x-vectors are read.
    has_gpu(run.running.device)
    # What was stopped at its very end has left a part of the model, which is its own.
    is_done = not is_interrupted(out_dir, resume=resume) and _is_finished(out_dir)
    if resume and is_done:
        check_same_run(out_dir, run, _find_inputs(run.sources))
        _logger.info("%s: the run was finished before", out_dir)
        return
    for path in _model_files(run.sources):
        refuse_input(out_dir / path.name, [path], "choose another folder")
    labelled, faults = read_labelled(xvector_dir, utt2spk=run.sources.utt2spk)
    print_errors(faults)
    with _open_training(out_dir, run, resume=resume) as (folder, checkpoint):
        _train(labelled, run, folder, checkpoint)
    sys.exit(1 if faults else 0)


def _is_finished(out_dir: Path) -> bool:
    """Whether a folder holds what an earlier run has trained to the end.

    Raises
    ------
    UsageError
        If it holds a model or options of something else, which would be lost.
    """
    if has_columns(out_dir / _EPOCHS, _COLUMNS):
        return True
    refuse_others(out_dir, (*MODEL_FILES, _EPOCHS, CONFIG), "train-metric")
    return False


@contextmanager
def _open_training(
    out_dir: Path, run: MetricConfig, *, resume: bool
) -> Iterator[tuple[Path, "Checkpoint | None"]]:
    """Keep a checkpoint while a training run is under way; finish it on leaving.

    Yields
    ------
    folder : Path
        Where the checkpoint and the files for `out_dir` are made.
    checkpoint : Checkpoint or None
        What an interrupted run has left.
    """
    # Parts of another model must not stand beside the metric.
    with work_folder(
        out_dir, (*MODEL_FILES, _EPOCHS), stale=lambda: MODEL_FILES
    ) as folder:
        kept, checkpoint = folder / _CHECKPOINT, None
        if is_interrupted(out_dir, resume=resume):
            check_same_run(folder, run, _find_inputs(run.sources))
            # There is none if the run was killed before it began to learn.
            if kept.exists():
                checkpoint = _read_checkpoint(kept)
                _logger.info(
                    "epoch %d was reached before", checkpoint.epochs[-1].number
                )
        else:
            # Without options nothing can be made of what else lies there.
            clear_unfinished(folder)
            begin(folder, run, _find_inputs(run.sources))
        try:
            yield folder, checkpoint
        except BaseException as error:
            # With the same data and options it would fail again.
            if kept.exists() and not isinstance(error, DataError):
                _logger.warning(
                    "what was learned is kept in %s; the same command with --resume "
                    "goes on from there",
                    out_dir,
                )
            else:
                (folder / CONFIG).unlink(missing_ok=True)
            raise


def _find_inputs(sources: Sources) -> list[Path]:
    """Return the files that a metric depends on."""
    if sources.xvector_dir is None:
        raise AssertionError("the folder of x-vectors is an argument")
    scp = sources.xvector_dir / SCP
    archives = {entry.archive for entry in read_scp(scp).values()}
    speakers = sources.utt2spk or sources.xvector_dir / UTT2SPK
    return [scp, speakers, *archives, *_model_files(sources)]


def _model_files(sources: Sources) -> list[Path]:
    """Return the files that the model to start from may have."""
    model = sources.model_dir
    return [] if model is None else [model / name for name in MODEL_FILES]


def _train(
    labelled: LabelledXvectors,
    run: MetricConfig,
    folder: Path,
    checkpoint: "Checkpoint | None",
) -> None:
    """Train, and write a model folder and a table of the epochs."""
    from ssahc.learning.embedding_training import train_metric

    start = run.sources.model_dir
    model = None if start is None else read_model_dir(start)

    def on_epoch(reached: "Checkpoint") -> None:
        _write_checkpoint(folder / _CHECKPOINT, reached)
        _tell(reached.epochs[-1])

    with memory_errors():
        trained = train_metric(
            labelled.xvectors,
            labelled.speakers,
            model,
            run.metric,
            device=run.running.device,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
    _logger.info("the metric is that of epoch %d", trained.best.number)
    if trained.best.number == 0:
        _logger.warning(
            "no epoch separated the speakers held out better than the start; try "
            "another --loss or a smaller --lr"
        )
    write_model_dir(folder, trained.model)
    with atomic_write(folder / _EPOCHS) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows(asdict(epoch).values() for epoch in trained.epochs)


def _tell(epoch: "Epoch") -> None:
    """Log how far it is."""
    parts = [] if epoch.loss is None else [f"loss {epoch.loss:.4f}"]
    if epoch.eer is not None:
        parts.append(f"held out: EER {100 * epoch.eer:.2f} %")
        parts.append(f"minDCF {epoch.min_dcf:.3f}")
    _logger.info("epoch %d: %s", epoch.number, ", ".join(parts) or "the start")


def _write_checkpoint(path: Path, checkpoint: "Checkpoint") -> None:
    epochs = [asdict(epoch) for epoch in checkpoint.epochs]
    record = json.dumps({"epochs": epochs, "generator": checkpoint.generator})
    write_checkpoint(path, checkpoint.arrays, record)


def _read_checkpoint(path: Path) -> "Checkpoint":
    from ssahc.learning.embedding_state import Checkpoint, Epoch

    arrays, text = read_checkpoint(path)
    try:
        record = json.loads(text)
        epochs = tuple(Epoch(**epoch) for epoch in record["epochs"])
        if [epoch.number for epoch in epochs] != [*range(max(len(epochs), 1))]:
            raise ValueError("epochs are missing")
        measured = (v for epoch in epochs for v in asdict(epoch).values())
        if not all(v is None or isfinite(v) for v in measured):
            raise ValueError("a measurement is none")
        return Checkpoint(epochs, arrays, record["generator"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(
            "is no checkpoint of this version of ssahc; remove its folder to start "
            "anew",
            path=path,
        ) from error
