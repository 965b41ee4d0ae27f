"""``ssahc train-extractor``."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssahc.cli.audio_inputs import extractor_files
from ssahc.cli.labelled_speech import speech_files
from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    resolve,
)
from ssahc.cli.resume import check_same_run, is_interrupted
from ssahc.cli.runner import meter, print_faults
from ssahc.cli.train_extractor_config import (
    ExtractorConfig,
    check_config,
    complete_config,
    start_network,
)
from ssahc.cli.train_extractor_inputs import (
    TrainingInputs,
    embed_by_teacher,
    log_size,
    make_surroundings,
    read_inputs,
)
from ssahc.cli.training import (
    CHECKPOINT,
    is_finished,
    load_checkpoint,
    open_training,
    resume_option,
    write_epochs,
)
from ssahc.core.errors import DataError
from ssahc.core.options import list_options
from ssahc.frontend.extractors import Extractor
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.config import read_config
from ssahc.io.folders import UNFINISHED
from ssahc.io.model import MODEL_FILES
from ssahc.learning.extractor.options import (
    SpeechAugmentationOptions,
)
from ssahc.learning.losses.options import DISPLACED_BY_LOSS
from ssahc.runtime.device import memory_errors

if TYPE_CHECKING:
    from ssahc.learning.checkpoint import Checkpoint
    from ssahc.learning.extractor.processes import Processes
    from ssahc.learning.extractor.training import ExtractorEpoch

# What depends on time is not in the table.
_COLUMNS = ("epoch", "loss", "eer", "short_eer")
_AUGMENTATION = {option.name for option in list_options(SpeechAugmentationOptions)}
# What may be in the folder of an extractor.
_NETWORK = ("final.raw", "mfcc.conf", "extract.config", "extractor.toml", "weights.npz")
_FILES = (*_NETWORK, "min_chunk_size", "max_chunk_size", *MODEL_FILES)

_logger = logging.getLogger("ssahc")


@click.command("train-extractor", cls=Verb)
@click.argument("out_dir", type=PATH)
@options_of(ExtractorConfig, without=_AUGMENTATION)
@click.option(
    "--augmentation",
    cls=GroupedOption,
    group="Learning",
    type=PATH,
    metavar="FILE",
    help="TOML file that says what is done to the audio: rooms, noise, babble, speed, "
    "telephone, level. Its values are copied to OUT_DIR/config.toml.",
)
@resume_option
@config_option
def command(
    out_dir: Path,
    augmentation: Path | None,
    resume: bool,
    config: Path | None,
    **given: Any,
) -> None:
    """Train an extractor on the speech of known speakers: OUT_DIR.

    Folders of --train and --dev hold speech and say whose it is. OUT_DIR is for ssahc
    diarize --extractor; it also gets config.toml, and training.csv with loss and equal
    error rates of every epoch: of full utterances of held-out speakers, and of 1.5 s of
    each. The network with the lowest error at 1.5 s is kept.

    Exit status: 0 if all speech was used; 1 if some is broken (each file is named, and
    the network is trained on the others); 2 on wrong usage or without usable speech
    (nothing is written). The state of an interrupted run is kept in OUT_DIR/.unfinished
    for --resume.
    """
    base = {}
    if augmentation is not None:
        base = read_config(augmentation, SpeechAugmentationOptions)
    run = resolve(
        ExtractorConfig, given, config=config, displaces=DISPLACED_BY_LOSS, base=base
    )
    check_config(run)
    # Here, since torch takes seconds to load.
    from ssahc.learning.extractor.processes import join_processes

    with join_processes(run.device) as processes:
        teacher = None
        if run.teacher is not None:
            # Each process has its own GPU by now.
            teacher = Extractor.load(run.teacher, device=run.device)
        run = complete_config(run, teacher, given)
        status = _run(out_dir, run, teacher, processes, resume=resume)
    sys.exit(status)


def _run(
    out_dir: Path,
    run: ExtractorConfig,
    teacher: Extractor | None,
    processes: "Processes",
    *,
    resume: bool,
) -> int:
    """Read, train and write; only the first process writes. Return the exit status."""
    from ssahc.learning.extractor.training import ExtractorEpoch

    is_done = False
    if processes.is_first:
        is_done = not is_interrupted(out_dir, resume=resume) and is_finished(
            out_dir, _COLUMNS, _FILES, "train-extractor"
        )
    else:
        _logger.setLevel(logging.ERROR)
    inputs = speech_files([*run.train, *run.dev])
    if run.init is not None:
        inputs += [run.init / name for name in _FILES]
    if run.teacher is not None:
        inputs += extractor_files(run.teacher)
    if processes.agree(float(resume and is_done)):
        if processes.is_first:
            check_same_run(out_dir, run, inputs)
            _logger.info("%s: the run is already finished", out_dir)
        return 0
    training, development, faults = read_inputs(run)
    if processes.is_first:
        print_faults(faults, len(training) + len(faults))
    if not len(training):
        raise DataError("no speech can be used; nothing is written")
    log_size(training, development, run.network.sample_rate)
    speech = TrainingInputs(training, development, make_surroundings(run), teacher)
    if processes.is_first:
        with open_training(
            out_dir, run, inputs, _FILES, ExtractorEpoch, resume=resume
        ) as (folder, checkpoint):
            processes.wait()
            # In between, the others read what is stored.
            processes.wait()
            _train(speech, run, processes, folder, checkpoint)
    else:
        processes.wait()
        path, stored = out_dir / UNFINISHED / CHECKPOINT, None
        if path.exists():
            stored = load_checkpoint(path, ExtractorEpoch)
        processes.wait()
        _train(speech, run, processes, None, stored)
    return 1 if faults else 0


def _train(
    speech: TrainingInputs,
    run: ExtractorConfig,
    processes: "Processes",
    folder: Path | None,
    checkpoint: "Checkpoint[ExtractorEpoch] | None",
) -> None:
    """Train, and write the network and the table of epochs, if there is a folder."""
    from ssahc.frontend.extractors.networks.writing import write_extractor
    from ssahc.learning.extractor.training import train_extractor

    options = run.training
    teaching = embed_by_teacher(speech, run, folder)
    network = start_network(run)
    weights = sum(weight.numel() for weight in network.parameters())
    _logger.info("%d weights", weights)
    done = 0 if checkpoint is None else checkpoint.epochs[-1].number
    total = options.epochs * options.epoch_hours
    with (
        memory_errors(),
        meter(
            total, "training", done=done * options.epoch_hours, in_hours=True
        ) as advance,
    ):

        def on_epoch(reached: "Checkpoint[ExtractorEpoch]") -> None:
            if folder is not None:
                path = folder / CHECKPOINT
                write_checkpoint(path, reached.arrays, reached.to_json())
            _log_epoch(reached.epochs[-1])

        trained = train_extractor(
            network,
            speech.training,
            speech.development,
            speech.surroundings,
            options,
            teaching=teaching,
            is_trained=run.init is not None,
            processes=processes,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            on_step=advance,
        )
    _logger.info("the network of epoch %d is kept", trained.best.number)
    if trained.best.number == 0:
        _logger.warning(
            "no epoch is better than the network before training; train longer, or "
            "with another --lr"
        )
    if folder is not None:
        write_extractor(folder, trained.network.cpu())
        write_epochs(folder, trained.epochs, _COLUMNS)


def _log_epoch(epoch: "ExtractorEpoch") -> None:
    parts = ["before training" if epoch.loss is None else f"loss {epoch.loss:.4f}"]
    if epoch.eer is not None and epoch.short_eer is not None:
        parts.append(
            f"held out: EER {100 * epoch.eer:.2f} %, of 1.5 s "
            f"{100 * epoch.short_eer:.2f} %"
        )
    parts.append(f"{epoch.minutes:.1f} min")
    _logger.info("epoch %d: %s", epoch.number, ", ".join(parts))
