"""Options of the training of extractors; nothing here needs torch."""

from dataclasses import dataclass, field
from math import inf
from typing import Annotated

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import LARGEST
from ssahc.core.validation import Interval
from ssahc.learning.losses.options import (
    LossName,
    LossOptions,
    Triplets,
    check_loss,
    check_taken,
    fewest_classes,
)
from ssahc.learning.losses.ssa import TripletForm


@dataclass(frozen=True)
class SpeechAugmentationOptions(Options, group="Learning"):
    """What is done to the audio that an extractor is trained on.

    Shares are probabilities that it happens to a chunk; levels and ratios are drawn
    uniformly, in dB. In this order: speed, room, noise and babble, telephone, level.

    Parameters
    ----------
    speed_share : float
        Of speech that is faster or slower, with other pitch.
    speed_change : float
        By how much it is faster or slower.
    speed_speakers : bool
        Speech of another speed is that of further speakers; else of the same.
    room_share : float
        Of chunks in a simulated room.
    min_reverberation : float
        Minimum reverberation time of rooms (RT60), in seconds.
    max_reverberation : float
        Maximum reverberation time of rooms, in seconds.
    noise_share : float
        Of chunks with noise.
    min_snr : float
        Minimum signal-to-noise ratio of noise, in dB.
    max_snr : float
        Maximum signal-to-noise ratio of noise, in dB.
    babble_share : float
        Of chunks with speech of others of the same batch.
    babble_voices : int
        Maximum number of these others.
    min_babble_snr : float
        Minimum signal-to-noise ratio of babble, in dB.
    max_babble_snr : float
        Maximum signal-to-noise ratio of babble, in dB.
    telephone_share : float
        Of chunks over a telephone line: its band, 8-bit mu-law, and the line's tilt.
    min_level : float
        Minimum level of a chunk, in dB of full scale.
    max_level : float
        Maximum level of a chunk, in dB of full scale; peaks are clipped.
    """

    speed_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    speed_change: Annotated[float, Interval(ge=0, le=0.5)] = 0.1
    speed_speakers: bool = True
    room_share: Annotated[float, Interval(ge=0, le=1)] = 0.4
    min_reverberation: Annotated[float, Interval(ge=0.05, le=2)] = 0.1
    max_reverberation: Annotated[float, Interval(ge=0.05, le=2)] = 0.7
    noise_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    min_snr: Annotated[float, Interval(ge=-20, le=100)] = 5.0
    max_snr: Annotated[float, Interval(ge=-20, le=100)] = 30.0
    babble_share: Annotated[float, Interval(ge=0, le=1)] = 0.2
    babble_voices: Annotated[int, Interval(ge=1, le=20)] = 5
    min_babble_snr: Annotated[float, Interval(ge=-20, le=100)] = 10.0
    max_babble_snr: Annotated[float, Interval(ge=-20, le=100)] = 25.0
    telephone_share: Annotated[float, Interval(ge=0, le=1)] = 0.2
    min_level: Annotated[float, Interval(ge=-90, le=0)] = -45.0
    max_level: Annotated[float, Interval(ge=-90, le=0)] = -15.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("reverberation", "snr", "babble_snr", "level"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise UsageError(
                    f"min_{name} must be at most max_{name}, {high:g}, found {low:g}"
                )


# What is not done to features that were computed elsewhere.
NO_AUGMENTATION = SpeechAugmentationOptions(
    speed_share=0.0,
    room_share=0.0,
    noise_share=0.0,
    babble_share=0.0,
    telephone_share=0.0,
)


@dataclass(frozen=True)
class ExtractorTrainingOptions(Options, group="Learning"):
    """How an extractor is trained on labelled speech.

    Parameters
    ----------
    loss : LossName
        Loss function of the training.
    triplets : {"expected", "sampled"}
        Triplets of the loss ssa: the expectation over a random negative (expected), or
        negatives drawn for each pair (sampled).
    triplet_form : {"authors", "paper"}
        In the loss ssa, negatives repel both members of a pair (authors) or only the
        anchor (paper).
    gamma : float
        Weight of the negatives in the loss ssa.
    teacher_weight : float
        Weight of the distances to the embeddings of --teacher, 1 minus their cosine,
        which are added to the loss.
    speakers_per_batch : int
        Speakers per batch; quadruplet needs three.
    utterances_per_speaker : int
        Chunks of each speaker in a batch.
    min_chunk : float
        Minimum length of chunks, in seconds; those of a batch are of one length, which
        is drawn uniformly.
    max_chunk : float
        Maximum length of chunks, in seconds.
    lr : float
        Learning rate of AdamW, which rises at first, and falls to zero by a cosine.
    weight_decay : float
        Of AdamW.
    epochs : int
        Maximum number of epochs.
    epoch_hours : float
        Hours of speech that an epoch draws from the training data.
    minutes : float, optional
        Time limit of the training: the epoch in which it is reached is the last one.
    validation_share : float
        Without --dev, share of the speakers that are held out; 0 holds out none, and
        the last epoch is kept.
    seed : int
        Of initial weights, held-out speakers, chunks and augmentation.
    objective : LossOptions
    augmentation : SpeechAugmentationOptions
    """

    loss: LossName = "aam-softmax"
    triplets: Triplets = "expected"
    triplet_form: TripletForm = "authors"
    gamma: Annotated[float, Interval(ge=0, lt=LARGEST)] = 0.4
    teacher_weight: Annotated[float, Interval(gt=0, lt=inf)] = 10.0
    speakers_per_batch: Annotated[int, Interval(ge=2, le=10_000)] = 32
    utterances_per_speaker: Annotated[int, Interval(ge=2, le=10_000)] = 2
    min_chunk: Annotated[float, Interval(ge=0.2, le=60)] = 1.5
    max_chunk: Annotated[float, Interval(ge=0.2, le=60)] = 4.0
    lr: Annotated[float, Interval(gt=0, lt=inf)] = 2e-3
    weight_decay: Annotated[float, Interval(ge=0, lt=inf)] = 0.02
    epochs: Annotated[int, Interval(ge=1, le=100_000)] = 40
    epoch_hours: Annotated[float, Interval(gt=0, le=10_000)] = 5.0
    minutes: Annotated[float | None, Interval(gt=0, lt=inf)] = None
    validation_share: Annotated[float, Interval(ge=0, le=0.5)] = 0.1
    seed: Annotated[int, Interval(ge=0)] = 0
    objective: LossOptions = field(default_factory=LossOptions)
    augmentation: SpeechAugmentationOptions = field(
        default_factory=SpeechAugmentationOptions
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_taken(self.loss, self)
        check_loss(self.loss, self.objective, self.triplets)
        if self.min_chunk > self.max_chunk:
            raise UsageError(
                f"--min-chunk must be at most --max-chunk, {self.max_chunk:g}, found "
                f"{self.min_chunk:g}"
            )
        fewest = fewest_classes(self.loss)
        if self.speakers_per_batch < fewest:
            raise UsageError(
                f"--speakers-per-batch must be {fewest} or more, found "
                f"{self.speakers_per_batch}, for --loss {self.loss}"
            )
