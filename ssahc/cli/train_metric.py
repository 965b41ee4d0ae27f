"""``ssahc train-metric``."""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssahc.cli.parsing import (
    PATH,
    Verb,
    config_option,
    options_of,
    resolve,
)
from ssahc.cli.resume import check_same_run, is_interrupted
from ssahc.cli.runner import print_errors
from ssahc.cli.training import (
    CHECKPOINT,
    is_finished,
    open_training,
    resume_option,
    write_epochs,
)
from ssahc.core.options import Options
from ssahc.core.types import LabelledXvectors
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.files import refuse_input
from ssahc.io.labelled import read_labelled
from ssahc.io.model import MODEL_FILES, read_model_dir, write_model_dir
from ssahc.io.scp import find_archives
from ssahc.io.xvectors import SCP, UTT2SPK
from ssahc.learning.losses.options import DISPLACED_BY_LOSS, MetricOptions
from ssahc.runtime.device import Device, has_gpu, memory_errors

if TYPE_CHECKING:
    from ssahc.learning.checkpoint import Checkpoint
    from ssahc.learning.embedding_training import EmbeddingEpoch

_COLUMNS = ("epoch", "loss", "eer", "min_dcf")

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class MetricConfig(Options, group="Input and output"):
    """All options of ``ssahc train-metric``.

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
    metric : MetricOptions
    device : {"auto", "cpu", "cuda"}
        Where the network is trained; auto uses a GPU if there is one.
    """

    xvector_dir: Path | None = None
    utt2spk: Path | None = None
    model_dir: Path | None = None
    metric: MetricOptions = field(default_factory=MetricOptions)
    device: Device = field(default="auto", metadata={"group": "Execution"})


@click.command("train-metric", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(MetricConfig, without={"xvector_dir"})
@resume_option
@config_option
def command(
    xvector_dir: Path,
    out_dir: Path,
    resume: bool,
    config: Path | None,
    **given: Any,
) -> None:
    """Train an embedding network on labelled x-vectors: OUT_DIR/metric.ark.

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
    has_gpu(run.device)
    # A run interrupted at its very end has already moved some files of its model.
    is_done = not is_interrupted(out_dir, resume=resume) and is_finished(
        out_dir, _COLUMNS, MODEL_FILES, "train-metric"
    )
    if resume and is_done:
        check_same_run(out_dir, run, _find_inputs(xvector_dir, run))
        _logger.info("%s: the run is already finished", out_dir)
        return
    for path in _model_files(run):
        refuse_input(out_dir / path.name, [path], "choose another folder")
    labelled, faults = read_labelled(xvector_dir, utt2spk=run.utt2spk)
    print_errors(faults)
    inputs = _find_inputs(xvector_dir, run)
    # Here, since torch takes seconds to load.
    from ssahc.learning.embedding_training import EmbeddingEpoch

    with open_training(
        out_dir, run, inputs, MODEL_FILES, EmbeddingEpoch, resume=resume
    ) as (folder, checkpoint):
        _train(labelled, run, folder, checkpoint)
    sys.exit(1 if faults else 0)


def _find_inputs(xvector_dir: Path, run: MetricConfig) -> list[Path]:
    """Return the files that the network depends on."""
    scp = xvector_dir / SCP
    archives = find_archives(scp)
    speakers = run.utt2spk or xvector_dir / UTT2SPK
    return [scp, speakers, *archives, *_model_files(run)]


def _model_files(run: MetricConfig) -> list[Path]:
    """Return the possible files of the model to start from."""
    model = run.model_dir
    return [] if model is None else [model / name for name in MODEL_FILES]


def _train(
    labelled: LabelledXvectors,
    run: MetricConfig,
    folder: Path,
    checkpoint: "Checkpoint[EmbeddingEpoch] | None",
) -> None:
    """Train, and write a model folder and the table of epochs."""
    from ssahc.learning.embedding_training import train_embedding_net

    start = run.model_dir
    model = None if start is None else read_model_dir(start)

    def on_epoch(reached: "Checkpoint[EmbeddingEpoch]") -> None:
        write_checkpoint(folder / CHECKPOINT, reached.arrays, reached.to_json())
        _log_epoch(reached.epochs[-1])

    with memory_errors():
        trained = train_embedding_net(
            labelled.xvectors,
            labelled.speakers,
            model,
            run.metric,
            device=run.device,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
    _logger.info("the network of epoch %d is kept", trained.best.number)
    if trained.best.number == 0:
        _logger.warning(
            "no epoch separated the held-out speakers better than the initial network; "
            "try another --loss or a smaller --lr"
        )
    write_model_dir(folder, trained.model)
    write_epochs(folder, trained.epochs, _COLUMNS)


def _log_epoch(epoch: "EmbeddingEpoch") -> None:
    parts = [] if epoch.loss is None else [f"loss {epoch.loss:.4f}"]
    if epoch.eer is not None:
        parts.append(f"held out: EER {100 * epoch.eer:.2f} %")
        parts.append(f"minDCF {epoch.min_dcf:.3f}")
    _logger.info("epoch %d: %s", epoch.number, ", ".join(parts) or "before training")
