"""What ``ssahc train-extractor`` trains on: speech, rooms, noise and a teacher."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssahc.cli.labelled_speech import list_speakers, read_speech
from ssahc.cli.runner import meter
from ssahc.cli.simulate_audio import open_noise
from ssahc.cli.train_extractor_config import ExtractorConfig
from ssahc.core.errors import FormatError, UsageError, counted
from ssahc.core.types import Fault, Float32Array
from ssahc.frontend.extractors import Extractor
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.learning.extractor.speech import LabelledSpeech, hold_out
from ssahc.simulation.audio.acoustics import (
    TELEPHONE_RATE,
    draw_responses,
    to_telephone,
)
from ssahc.simulation.audio.mixing import NoiseSource
from ssahc.simulation.audio.noise import draw_background
from ssahc.simulation.audio.voices import RATE, condense

if TYPE_CHECKING:
    from ssahc.learning.extractor.augmentation import Surroundings

# Rooms, and pieces of noise: drawn ones, or parts of files.
_ROOMS, _NOISES, _NOISE_FILES = 200, 64, 500
_FULL_SCALE = 32768
# The embeddings of the teacher, in the folder of an interrupted run.
_TEACHING = "teacher.npz"

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class TrainingInputs:
    """What a network learns from, and is judged by.

    Parameters
    ----------
    training : LabelledSpeech
    development : LabelledSpeech, optional
        Of held-out speakers.
    surroundings : Surroundings
    teacher : Extractor, optional
    """

    training: LabelledSpeech
    development: LabelledSpeech | None
    surroundings: "Surroundings"
    teacher: Extractor | None


def read_inputs(
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


def log_size(
    training: LabelledSpeech, development: LabelledSpeech | None, rate: int
) -> None:
    """Log how much speech there is, of how many speakers."""
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


def make_surroundings(run: ExtractorConfig) -> "Surroundings":
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


def embed_by_teacher(
    inputs: TrainingInputs, run: ExtractorConfig, folder: Path | None
) -> Float32Array | None:
    """Return the teacher's embeddings, which are kept in a folder for --resume."""
    teacher = inputs.teacher
    if teacher is None:
        return None
    from ssahc.learning.extractor.drawing import ChunkDrawer
    from ssahc.learning.extractor.teacher import PIECE, count_pieces, embed_pieces

    options, rate = run.training, teacher.sample_rate
    drawer = ChunkDrawer(inputs.training, options, options.augmentation)
    count = int(count_pieces(drawer, rate).sum())
    if folder is not None and (folder / _TEACHING).exists():
        kept = _read_kept(folder / _TEACHING, (count, teacher.dim))
        if kept is not None:
            return kept
    parts = []
    with meter(count * PIECE / 3600, "embedding", in_hours=True) as advance:
        for embeddings in embed_pieces(teacher.embed, drawer, rate):
            parts.append(embeddings)
            advance(len(embeddings) * PIECE / 3600)
    found = np.concatenate(parts)
    if folder is not None:
        write_checkpoint(folder / _TEACHING, {"embeddings": found}, "")
    return found


def _read_kept(path: Path, shape: tuple[int, int]) -> Float32Array | None:
    """Return embeddings of this shape; None, with a warning, if they are broken."""
    try:
        kept, _ = read_checkpoint(path)
    except FormatError:
        kept = {}
    found = kept.get("embeddings")
    if found is not None and found.shape == shape and np.isfinite(found).all():
        return found
    _logger.warning(f"{path}: is broken; the teacher embeds the speech again")
    return None
