"""``ssahc train-segmentation``."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssahc.cli.annotated_audio import AnnotatedFolder, list_annotated, read_annotated
from ssahc.cli.parsing import (
    PATH,
    Verb,
    config_option,
    options_of,
    resolve,
)
from ssahc.cli.resume import check_same_run, is_interrupted
from ssahc.cli.runner import meter, print_faults
from ssahc.cli.training import (
    CHECKPOINT,
    is_finished,
    open_training,
    resume_option,
    write_epochs,
)
from ssahc.core.errors import DataError, UsageError
from ssahc.core.options import Options, flatten
from ssahc.core.validation import flag
from ssahc.frontend.segmentation import NETWORK, find_network
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.io.checkpoint import write_checkpoint
from ssahc.learning.segmentation.options import SegmentationTrainingOptions
from ssahc.runtime.device import Device, has_gpu, memory_errors

if TYPE_CHECKING:
    from ssahc.frontend.segmentation.encoder import Encoder
    from ssahc.frontend.segmentation.loading import TrainedNet
    from ssahc.learning.checkpoint import Checkpoint
    from ssahc.learning.segmentation.annotated import AnnotatedAudio
    from ssahc.learning.segmentation.training import SegmentationEpoch

# What depends on time is not in the table.
_COLUMNS = ("epoch", "loss", "der", "missed", "false", "confused", "threshold")

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class SegmentationConfig(Options, group="Input and output"):
    """All options of ``ssahc train-segmentation``.

    Parameters
    ----------
    train : tuple of Path
        Folder of recordings to train on: audio with or without a wav.scp, ref.rttm, and
        perhaps all.uem. Can be repeated.
    dev : tuple of Path
        Folder of other recordings, by which the best epoch and the threshold are
        chosen. Can be repeated.
    init : str, optional
        Network to start from, whose shape is kept, except --chunk: a name such as
        segmentation-3.0, or what train-segmentation wrote.
    network : NetworkOptions
    training : SegmentationTrainingOptions
    device : {"auto", "cpu", "cuda"}
        Where the network is trained; auto uses a GPU if there is one.
    """

    train: tuple[Path, ...] = ()
    dev: tuple[Path, ...] = ()
    init: str | None = None
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: SegmentationTrainingOptions = field(
        default_factory=SegmentationTrainingOptions
    )
    device: Device = field(default="auto", metadata={"group": "Execution"})


@click.command("train-segmentation", cls=Verb)
@click.argument("out_dir", type=PATH)
@options_of(SegmentationConfig)
@resume_option
@config_option
def command(out_dir: Path, resume: bool, config: Path | None, **given: Any) -> None:
    """Train a network that finds who speaks when in a chunk: OUT_DIR/segmentation.npz.

    Folders of --train and --dev hold audio and its speaker turns. OUT_DIR is for ssahc
    diarize --segmentation; it also gets config.toml, and training.csv with loss and
    local diarization error rate of every epoch: that of single chunks, no collar,
    overlap scored.

    Exit status: 0 if all recordings were used; 1 if some are broken (each is named, and
    the network is trained on the others); 2 on wrong usage or without usable recordings
    (nothing is written). The state of an interrupted run is kept in OUT_DIR/.unfinished
    for --resume.
    """
    run = resolve(SegmentationConfig, given, config=config)
    for name in ("train", "dev"):
        if not getattr(run, name):
            raise UsageError(f"{flag(name)} is missing; give a folder of recordings")
    # What is in the way is found out before audio is read.
    has_gpu(run.device)
    is_done = not is_interrupted(out_dir, resume=resume) and is_finished(
        out_dir, _COLUMNS, (NETWORK,), "train-segmentation"
    )
    run = _complete(run, given)
    train, dev = list_annotated(run.train), list_annotated(run.dev)
    inputs = _find_inputs(run, [*train, *dev])
    if resume and is_done:
        check_same_run(out_dir, run, inputs)
        _logger.info("%s: the run is already finished", out_dir)
        return
    rate = run.network.sample_rate
    training, faults = read_annotated(train, rate)
    development, others = read_annotated(dev, rate)
    for recordings, broken in ((training, faults), (development, others)):
        print_faults(broken, len(recordings) + len(broken))
    if not training or not development:
        raise DataError("no recording can be used; nothing is written")
    # Here, since torch takes seconds to load.
    from ssahc.learning.segmentation.training import SegmentationEpoch

    with open_training(
        out_dir, run, inputs, (NETWORK,), SegmentationEpoch, resume=resume
    ) as (folder, checkpoint):
        _train(training, development, run, folder, checkpoint)
    sys.exit(1 if faults or others else 0)


def _complete(run: SegmentationConfig, given: Mapping[str, Any]) -> SegmentationConfig:
    """Return options with the shape of the network to start from, if there is one."""
    if run.init is None:
        return replace(run, network=_find_encoder(run.network))
    network = _read_init(run.init).network.options
    asked, default = flatten(run.network), flatten(NetworkOptions())
    for name, value in flatten(network).items():
        is_asked = given.get(name) is not None or asked[name] != default[name]
        if is_asked and name == "chunk":
            network = replace(network, chunk=run.network.chunk)
        elif is_asked and asked[name] != value:
            raise UsageError(
                f"--init {run.init} has {flag(name)} {value}; leave out {flag(name)}"
            )
    path = Path(run.init)
    init = str(path.absolute()) if path.exists() else run.init
    return replace(run, init=init, network=network)


def _find_encoder(network: NetworkOptions) -> NetworkOptions:
    """Return options with the full path of an encoder that is read."""
    if network.encoder != "wav2vec":
        return network
    if network.wav2vec is None:
        raise UsageError(
            "--encoder wav2vec needs --wav2vec, the folder of a network of transformers"
        )
    return replace(network, wav2vec=str(Path(network.wav2vec).absolute()))


def _read_init(init: str) -> "TrainedNet":
    from ssahc.frontend.segmentation.loading import read_network

    return read_network(find_network(init))


def _find_inputs(run: SegmentationConfig, folders: list[AnnotatedFolder]) -> list[Path]:
    """Return the files that the network depends on."""
    others = [] if run.init is None else [find_network(run.init)]
    if run.network.wav2vec is not None:
        from ssahc.frontend.segmentation.wav2vec import find_wav2vec

        others += find_wav2vec(Path(run.network.wav2vec))
    return [path for folder in folders for path in folder.files] + others


def _train(
    training: list["AnnotatedAudio"],
    development: list["AnnotatedAudio"],
    run: SegmentationConfig,
    folder: Path,
    checkpoint: "Checkpoint[SegmentationEpoch] | None",
) -> None:
    """Train, and write the network and the table of epochs."""
    from ssahc.frontend.segmentation.loading import TrainedNet, write_network
    from ssahc.learning.segmentation.training import new_network, train_segmentation

    options = run.training
    if run.init is None:
        network = new_network(run.network, options.seed, _read_encoder(run.network))
    else:
        start = _read_init(run.init).network
        network = new_network(run.network, options.seed, start.encoder)
        network.load_state_dict(start.state_dict())
    _logger.info(
        "%.2f h to train on, %.2f h for development, %d weights",
        _hours(training),
        _hours(development),
        sum(weight.numel() for weight in network.parameters()),
    )
    with memory_errors(), _meter(options, checkpoint) as on_step:

        def on_epoch(reached: "Checkpoint[SegmentationEpoch]") -> None:
            write_checkpoint(folder / CHECKPOINT, reached.arrays, reached.to_json())
            _log_epoch(reached.epochs)

        trained = train_segmentation(
            network,
            training,
            development,
            options,
            device=run.device,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            on_step=on_step,
        )
    _logger.info("the network of epoch %d is kept", trained.best.number)
    if trained.best.number == 0:
        _logger.warning(
            "no epoch is better than the network before training; train longer (a "
            "thousand steps or more), or with another --lr"
        )
    write_network(folder / NETWORK, TrainedNet(trained.network, trained.threshold))
    write_epochs(folder, trained.epochs, _COLUMNS)


@contextmanager
def _meter(
    options: SegmentationTrainingOptions,
    checkpoint: "Checkpoint[SegmentationEpoch] | None",
) -> Iterator[Callable[[float], None]]:
    """Show progress by hours of audio, or by time if that is limited."""
    last = None if checkpoint is None else checkpoint.epochs[-1]
    if options.minutes is None:
        hours = options.epoch_hours
        done = 0 if last is None else last.number * hours
        total = options.epochs * hours
        with meter(total, "training", done=done, in_hours=True) as advance:
            yield advance
        return
    done = 0 if last is None else last.minutes
    with meter(options.minutes, "training", done=done, in_minutes=True) as advance:
        before = time.monotonic()

        def on_step(hours: float) -> None:
            nonlocal before
            now = time.monotonic()
            advance((now - before) / 60)
            before = now

        yield on_step


def _read_encoder(network: NetworkOptions) -> "Encoder | None":
    if network.wav2vec is None:
        return None
    from ssahc.frontend.segmentation.wav2vec import read_wav2vec

    return read_wav2vec(Path(network.wav2vec))


def _hours(recordings: list["AnnotatedAudio"]) -> float:
    """Return how much is annotated."""
    return sum(float((r.spans[:, 1] - r.spans[:, 0]).sum()) for r in recordings) / 3600


def _log_epoch(epochs: "tuple[SegmentationEpoch, ...]") -> None:
    epoch = epochs[-1]
    parts = ["before training" if epoch.loss is None else f"loss {epoch.loss:.4f}"]
    if epoch.der is not None:
        rates = (epoch.missed, epoch.false, epoch.confused)
        missed, false, confused = (100 * (rate or 0) for rate in rates)
        parts.append(
            f"local DER {100 * epoch.der:.1f} % (missed {missed:.1f}, false alarms "
            f"{false:.1f}, confused {confused:.1f})"
        )
    if epoch.threshold is not None:
        parts.append(f"threshold {epoch.threshold:g}")
    parts.append(f"{epoch.minutes:.1f} min")
    _logger.info("epoch %d: %s", epoch.number, ", ".join(parts))
