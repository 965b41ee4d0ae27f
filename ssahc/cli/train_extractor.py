"""``ssahc train-extractor``."""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ssahc.cli.labelled_speech import list_speakers, read_speech, speech_files
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
from ssahc.cli.simulate_audio import open_noise
from ssahc.cli.training import (
    CHECKPOINT,
    is_finished,
    load_checkpoint,
    open_training,
    resume_option,
    write_epochs,
)
from ssahc.core.errors import DataError, UsageError, counted
from ssahc.core.options import Options, flatten, list_options
from ssahc.core.types import Fault, Float32Array
from ssahc.core.validation import flag
from ssahc.frontend.extractors.networks import new_network
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.config import read_config
from ssahc.io.folders import UNFINISHED
from ssahc.io.model import MODEL_FILES
from ssahc.learning.extractor.options import (
    ExtractorTrainingOptions,
    SpeechAugmentationOptions,
)
from ssahc.learning.extractor.speech import LabelledSpeech, hold_out
from ssahc.learning.losses.options import DISPLACED_BY_LOSS
from ssahc.runtime.device import Device, has_gpu, memory_errors
from ssahc.simulation.audio.acoustics import (
    TELEPHONE_RATE,
    draw_responses,
    to_telephone,
)
from ssahc.simulation.audio.mixing import NoiseSource
from ssahc.simulation.audio.noise import draw_background
from ssahc.simulation.audio.voices import RATE, condense

if TYPE_CHECKING:
    from ssahc.frontend.extractors.networks.network import EmbeddingNetwork
    from ssahc.learning.checkpoint import Checkpoint
    from ssahc.learning.extractor.augmentation import Surroundings
    from ssahc.learning.extractor.processes import Processes
    from ssahc.learning.extractor.training import ExtractorEpoch

# What depends on time is not in the table.
_COLUMNS = ("epoch", "loss", "eer", "short_eer")
_AUGMENTATION = {option.name for option in list_options(SpeechAugmentationOptions)}
# Rooms, and pieces of noise: drawn ones, or parts of files.
_ROOMS, _NOISES, _NOISE_FILES = 200, 64, 500
_FULL_SCALE = 32768
# What may be in the folder of an extractor.
_NETWORK = ("final.raw", "mfcc.conf", "extract.config", "extractor.toml", "weights.npz")
_FILES = (*_NETWORK, "min_chunk_size", "max_chunk_size", *MODEL_FILES)

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class ExtractorConfig(Options, group="Input and output"):
    """All options of ``ssahc train-extractor``.

    Parameters
    ----------
    train : tuple of Path
        Speech to train on: a data folder of Kaldi with wav.scp, utt2spk and perhaps
        segments, or a folder that has a folder of audio files for each speaker. Can be
        repeated; speakers of one name are the same.
    dev : tuple of Path
        Such a folder of other speakers, by whose error rates the best epoch is chosen.
        Can be repeated. Default: --validation-share of the speakers.
    features : bool
        Read the MFCC of feats.scp, without augmentation, instead of audio.
    noise : Path, optional
        Folder of audio files to take noise from; by default it is drawn.
    init : Path, optional
        Extractor to train further: what train-extractor wrote, or a model folder of
        Kaldi's x-vector recipes.
    network : ExtractorNetworkOptions
    training : ExtractorTrainingOptions
    device : {"auto", "cpu", "cuda"}
        Where the network is trained; auto uses a GPU if there is one.
    """

    train: tuple[Path, ...] = ()
    dev: tuple[Path, ...] = ()
    features: bool = False
    noise: Path | None = None
    init: Path | None = None
    network: ExtractorNetworkOptions = field(default_factory=ExtractorNetworkOptions)
    training: ExtractorTrainingOptions = field(default_factory=ExtractorTrainingOptions)
    device: Device = field(default="auto", metadata={"group": "Execution"})


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
    _check(run)
    run = _complete(run, given)
    # Here, since torch takes seconds to load.
    from ssahc.learning.extractor.processes import join_processes

    with join_processes(run.device) as processes:
        status = _run(out_dir, run, processes, resume=resume)
    sys.exit(status)


def _check(run: ExtractorConfig) -> None:
    """Raise a UsageError for what is missing or in contradiction."""
    if not run.train:
        raise UsageError("--train is missing; give a folder of speech")
    if run.features and run.network.takes_samples:
        raise UsageError(
            f"--network {run.network.network} takes samples; leave out --features"
        )
    has_gpu(run.device)


def _complete(run: ExtractorConfig, given: Mapping[str, Any]) -> ExtractorConfig:
    """Return options with the shape of the network to start from, if there is one."""
    if run.init is None:
        return run
    network = _start(run).options
    asked, default = flatten(run.network), flatten(ExtractorNetworkOptions())
    for name, value in flatten(network).items():
        is_asked = given.get(name) is not None
        is_asked |= asked.get(name) != default.get(name)
        if is_asked and asked.get(name) != value:
            raise UsageError(
                f"--init {run.init} has {flag(name)} {value}; leave out {flag(name)}"
            )
    return replace(run, network=network)


def _run(
    out_dir: Path, run: ExtractorConfig, processes: "Processes", *, resume: bool
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
    if processes.agree(float(resume and is_done)):
        if processes.is_first:
            check_same_run(out_dir, run, inputs)
            _logger.info("%s: the run is already finished", out_dir)
        return 0
    training, development, faults = _read(run)
    if processes.is_first:
        print_faults(faults, len(training) + len(faults))
    if not len(training):
        raise DataError("no speech can be used; nothing is written")
    _log_size(training, development, run.network.sample_rate)
    surroundings = _make_surroundings(run)
    if processes.is_first:
        with open_training(
            out_dir, run, inputs, _FILES, ExtractorEpoch, resume=resume
        ) as (folder, checkpoint):
            processes.wait()
            # In between, the others read what is stored.
            processes.wait()
            _train(
                training, development, surroundings, run, processes, folder, checkpoint
            )
    else:
        processes.wait()
        path, stored = out_dir / UNFINISHED / CHECKPOINT, None
        if path.exists():
            stored = load_checkpoint(path, ExtractorEpoch)
        processes.wait()
        _train(training, development, surroundings, run, processes, None, stored)
    return 1 if faults else 0


def _read(
    run: ExtractorConfig,
) -> tuple[LabelledSpeech, LabelledSpeech | None, list[Fault]]:
    """Read the speech to train on, without pauses, and that of held-out speakers."""
    rate, options = run.network.sample_rate, run.training
    dim = run.network.feature_dim if run.features else None
    held_out: set[str] = set()
    if not run.dev:
        speakers = list_speakers(run.train)
        held_out = hold_out(speakers, options.validation_share, options.seed)
    training, faults = read_speech(
        run.train,
        rate,
        dim=dim,
        trim=lambda samples: _FULL_SCALE * condense(samples, rate),
        is_wanted=lambda speaker: speaker not in held_out,
    )
    if not run.dev and not held_out:
        return training, None, faults
    development, others = read_speech(
        run.dev or run.train,
        rate,
        dim=dim,
        is_wanted=lambda speaker: bool(run.dev) or speaker in held_out,
    )
    shared = set(training.speakers) & set(development.speakers)
    if shared:
        raise UsageError(
            f"speakers are in --train and in --dev, such as {min(shared)!r} "
            f"({len(shared)} in all); error rates need others: leave them out of one"
        )
    # A recording that cannot be read is in both lists.
    return training, development, list(dict.fromkeys([*faults, *others]))


def _log_size(
    training: LabelledSpeech, development: LabelledSpeech | None, rate: int
) -> None:
    for what, speech in (("to train on", training), ("held out", development)):
        if speech is not None:
            size = sum(map(len, speech.signals))
            per_hour = 3600 * (rate if speech.is_audio else 100)
            _logger.info(
                "%s: %.2f h of %s",
                what,
                size / per_hour,
                counted(len(set(speech.speakers)), "speaker"),
            )


def _make_surroundings(run: ExtractorConfig) -> "Surroundings":
    """Draw rooms and noises."""
    from ssahc.learning.extractor.augmentation import Surroundings

    options, rate = run.training.augmentation, run.network.sample_rate
    generator = np.random.default_rng([run.training.seed, 1])
    is_used = not run.features
    rooms = draw_responses(
        _ROOMS if is_used and options.room_share > 0 else 0,
        rate,
        (options.min_reverberation, options.max_reverberation),
        generator,
    )
    draw: NoiseSource = draw_background
    count = _NOISES
    if run.noise is not None:
        draw, count = open_noise(run.noise), _NOISE_FILES
    if not is_used or options.noise_share == 0:
        count = 0
    size = round(2 * run.training.max_chunk * RATE)
    noises: list[Float32Array] = []
    for _ in range(count):
        noise = draw(size, generator)
        if rate == TELEPHONE_RATE:
            noise = to_telephone(noise)
        noises.append(noise.astype(np.float32))
    width = size * rate // RATE
    return Surroundings(rooms, np.array(noises, np.float32).reshape(-1, width))


def _train(
    training: LabelledSpeech,
    development: LabelledSpeech | None,
    surroundings: "Surroundings",
    run: ExtractorConfig,
    processes: "Processes",
    folder: Path | None,
    checkpoint: "Checkpoint[ExtractorEpoch] | None",
) -> None:
    """Train, and write the network and the table of epochs, if there is a folder."""
    from ssahc.frontend.extractors.networks.writing import write_extractor
    from ssahc.learning.extractor.training import train_extractor

    options = run.training
    network = _start(run)
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
            training,
            development,
            surroundings,
            options,
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


def _start(run: ExtractorConfig) -> "EmbeddingNetwork":
    """Return the network to start from."""
    if run.init is None:
        return new_network(run.network, run.training.seed)
    from ssahc.frontend.extractors.networks.loading import read_network

    return read_network(run.init)


def _log_epoch(epoch: "ExtractorEpoch") -> None:
    parts = ["before training" if epoch.loss is None else f"loss {epoch.loss:.4f}"]
    if epoch.eer is not None and epoch.short_eer is not None:
        parts.append(
            f"held out: EER {100 * epoch.eer:.2f} %, of 1.5 s "
            f"{100 * epoch.short_eer:.2f} %"
        )
    parts.append(f"{epoch.minutes:.1f} min")
    _logger.info("epoch %d: %s", epoch.number, ", ".join(parts))
