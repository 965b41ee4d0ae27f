"""Names and options of the losses; nothing here needs torch."""

import dataclasses
from dataclasses import dataclass
from math import inf, pi
from typing import Annotated, Any, Literal, get_args

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import LARGEST
from ssahc.core.validation import Interval, flag
from ssahc.learning.losses.ssa import TripletForm
from ssahc.learning.mining import Sampling

LossName = Literal[
    "ssa",
    "triplet",
    "quadruplet",
    "contrastive",
    "center",
    "congenerous-cosine",
    "softmax",
    "am-softmax",
    "aam-softmax",
    "prototypical",
    "angular-prototypical",
    "ge2e",
]
MarginKind = Literal["fixed", "adaptive", "adaptive-floored"]
Distance = Literal["squared", "plain", "cosine"]
# SSA's loss as an expectation over random negatives, or over drawn triplets.
Triplets = Literal["expected", "sampled"]

# The losses that use an option.
_TAKEN_BY: dict[str, tuple[LossName, ...]] = {
    "sampling": ("ssa", "triplet", "quadruplet"),
    "margin": ("triplet", "quadruplet"),
    "margin_size": (
        "triplet",
        "quadruplet",
        "contrastive",
        "am-softmax",
        "aam-softmax",
    ),
    "scale": ("congenerous-cosine", "am-softmax", "aam-softmax"),
    "distance": ("triplet", "quadruplet"),
    "center_weight": ("center",),
    "triplets": ("ssa",),
    "triplet_form": ("ssa",),
    "gamma": ("ssa",),
    "gamma_step": ("ssa",),
}
# What a loss displaces from lower sources (`ssahc.core.options.combine`).
DISPLACED_BY_LOSS = {
    f"loss={loss}": {name for name, losses in _TAKEN_BY.items() if loss not in losses}
    for loss in get_args(LossName)
}


@dataclass(frozen=True)
class LossOptions(Options, group="Loss functions"):
    """Options of the losses of metric learning.

    Parameters
    ----------
    sampling : {"all", "random", "semi-hard", "hard", "distance-weighted"}
        Negatives of each pair for triplet, quadruplet and ssa with sampled triplets:
        all (not for quadruplet), a random one, the nearest beyond the positive
        (semi-hard), the nearest with the farthest positive (hard), or one drawn
        uniformly over distances.
    margin : {"fixed", "adaptive", "adaptive-floored"}
        Margin of triplet and quadruplet: --margin-size, the mean distance of negatives
        minus that of positives, or the larger of the two.
    margin_size : float, optional
        Margin of triplet, quadruplet, contrastive, am-softmax and aam-softmax (an angle
        in radians). Default: that of the loss's paper (0.8 for squared and plain
        distances).
    scale : float, optional
        Scale of the cosines in am-softmax, aam-softmax and congenerous-cosine. Default:
        that of the loss's paper.
    distance : {"squared", "plain", "cosine"}
        Distance of unit-length embeddings in triplet and quadruplet: squared Euclidean,
        Euclidean (plain), or 1 minus the cosine.
    center_weight : float
        Weight of the distances to the class centers in the center loss.
    """

    sampling: Sampling = "random"
    margin: MarginKind = "fixed"
    margin_size: Annotated[float | None, Interval(ge=0, lt=inf)] = None
    scale: Annotated[float | None, Interval(gt=0, lt=inf)] = None
    distance: Distance = "squared"
    center_weight: Annotated[float, Interval(ge=0, lt=inf)] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin == "adaptive" and self.margin_size is not None:
            raise UsageError(
                "--margin adaptive does not use --margin-size; leave it out, or use "
                "--margin adaptive-floored, whose smallest margin it is"
            )


def fewest_classes(loss: LossName) -> int:
    """Return how many classes a loss needs to learn anything."""
    return 3 if loss == "quadruplet" else 2


def check_loss(
    loss: LossName, options: LossOptions, triplets: Triplets = "expected"
) -> None:
    """Raise a UsageError if an option is unused by the loss, or invalid for it."""
    check_taken(loss, options)
    if loss == "ssa" and triplets == "expected" and options.sampling != "random":
        raise UsageError(
            f"--sampling {options.sampling} needs --triplets sampled; --triplets "
            "expected averages over all random negatives"
        )
    if loss == "quadruplet" and options.sampling == "all":
        raise UsageError(
            "--sampling all does not work with --loss quadruplet, which has too many "
            "negatives; use random, semi-hard, hard or distance-weighted"
        )
    if loss == "aam-softmax" and (options.margin_size or 0) >= pi:
        raise UsageError(
            "--margin-size of aam-softmax is an angle in radians and must be below pi, "
            f"found {options.margin_size:g}"
        )


def check_taken(loss: LossName, options: Any) -> None:
    """Raise a UsageError if an option of a dataclass is set that the loss does not use.

    Fields that every loss uses are not checked.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        takers = _TAKEN_BY.get(field.name, (loss,))
        if value != field.default and loss not in takers:
            raise UsageError(
                f"{flag(field.name)} {value} applies to {_listed(takers)}, not to "
                f"{loss}; leave it out"
            )


def _listed(losses: tuple[LossName, ...]) -> str:
    *first, last = losses
    return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True)
class MetricOptions(Options, group="Learning"):
    """How an embedding network is trained on labelled x-vectors.

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
    start : {"plda", "whitening", "random"}
        Initial network: whitening, length normalization and the PLDA's transform
        (plda), whitening and length normalization alone (whitening), or random weights.
    embedding_dim : int, optional
        Dimension of the embeddings. Default: that of the x-vectors.
    hidden_layers : int
        Number of residual layers between the network's two layers.
    hidden_dim : int
        Number of units in each residual layer.
    speakers_per_batch : int
        Speakers per batch; quadruplet needs three.
    utterances_per_speaker : int
        X-vectors per speaker in a batch; fewer for speakers that have fewer.
    lr : float
        Learning rate of Adam.
    epochs : int
        Maximum number of epochs.
    patience : int
        Training stops after this many epochs without a lower EER on the held-out
        speakers; the network of the best epoch is kept.
    validation_share : float
        Share of the speakers that are held out; 0 holds out none and trains all epochs.
    seed : int
        Random seed for the held-out speakers, the batches and the sampled negatives.
    objective : LossOptions
    """

    # Upper bounds are beyond any network of speakers that was published.
    loss: LossName = "aam-softmax"
    triplets: Triplets = "expected"
    triplet_form: TripletForm = "authors"
    gamma: Annotated[float, Interval(ge=0, lt=LARGEST)] = 0.4
    start: Literal["plda", "whitening", "random"] = "plda"
    embedding_dim: Annotated[int | None, Interval(ge=1, le=10_000)] = None
    hidden_layers: Annotated[int, Interval(ge=0, le=100)] = 0
    hidden_dim: Annotated[int, Interval(ge=1, le=10_000)] = 256
    speakers_per_batch: Annotated[int, Interval(ge=2, le=10_000)] = 64
    utterances_per_speaker: Annotated[int, Interval(ge=2, le=10_000)] = 4
    lr: Annotated[float, Interval(gt=0, lt=LARGEST)] = 1e-4
    epochs: Annotated[int, Interval(ge=1, le=100_000)] = 50
    patience: Annotated[int, Interval(ge=1)] = 5
    validation_share: Annotated[float, Interval(ge=0, le=0.5)] = 0.1
    seed: Annotated[int, Interval(ge=0)] = 0
    objective: LossOptions = dataclasses.field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_taken(self.loss, self)
        check_loss(self.loss, self.objective, self.triplets)
        fewest = fewest_classes(self.loss)
        if self.speakers_per_batch < fewest:
            raise UsageError(
                f"--speakers-per-batch must be {fewest} or more, found "
                f"{self.speakers_per_batch}, for --loss {self.loss}"
            )
