"""Options of the training of segmentation networks."""

from dataclasses import dataclass, field
from math import inf
from typing import Annotated

from ssahc.core.options import Options
from ssahc.core.validation import Interval


@dataclass(frozen=True)
class AugmentationOptions(Options, group="Learning"):
    """What is done to chunks of audio.

    Parameters
    ----------
    mix_share : float
        Share of the chunks that get another chunk of the training audio on top, so that
        more speakers are active at once; not if there are more then than the network
        can tell apart.
    noise_share : float
        Share of the chunks that get noise, white to brown, 3 to 30 dB below them.
    """

    mix_share: Annotated[float, Interval(ge=0, le=1)] = 0.3
    noise_share: Annotated[float, Interval(ge=0, le=1)] = 0.5


@dataclass(frozen=True)
class SegmentationTrainingOptions(Options, group="Learning"):
    """Options of the training.

    Parameters
    ----------
    epochs : int
        Maximum number of epochs.
    epoch_hours : float
        Hours of audio that an epoch draws from the training recordings.
    minutes : float, optional
        Time limit of the training: the epoch in which it is reached is the last one.
    batch_size : int
        Chunks of a step.
    lr : float
        Learning rate of AdamW at the start, which falls to zero by a cosine.
    weight_decay : float
        Of AdamW.
    clustering_weight : float
        Weight of a second loss, by which frames of the same speakers get similar
        embeddings (deep clustering): with it, a network that starts anew tells
        speakers apart sooner.
    seed : int
        Of initial weights, chunks and noise.
    augmentation : AugmentationOptions
    """

    epochs: Annotated[int, Interval(ge=1, le=100_000)] = 40
    epoch_hours: Annotated[float, Interval(gt=0, le=10_000)] = 1.0
    minutes: Annotated[float | None, Interval(gt=0, lt=inf)] = None
    batch_size: Annotated[int, Interval(ge=1, le=4096)] = 8
    lr: Annotated[float, Interval(gt=0, lt=inf)] = 2e-3
    weight_decay: Annotated[float, Interval(ge=0, lt=inf)] = 0.01
    clustering_weight: Annotated[float, Interval(ge=0, lt=inf)] = 2.0
    seed: Annotated[int, Interval(ge=0)] = 0
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
