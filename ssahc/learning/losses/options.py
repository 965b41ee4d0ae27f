"""Names and options of the losses; nothing here needs torch."""

import dataclasses
from dataclasses import dataclass
from math import inf, pi
from typing import Any, Literal, get_args

from ssahc.core.errors import UsageError
from ssahc.core.types import LARGEST
from ssahc.core.validation import check_fields, check_most
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
# The options that a loss does not use: it displaces those of a preset or config file
# (`ssahc.io.config`).
DISPLACED_BY_LOSS = {
    f"loss={loss}": {name for name, losses in _TAKEN_BY.items() if loss not in losses}
    for loss in get_args(LossName)
}
# More than any network of speakers has had.
_MOST = {
    **{"embedding_dim": 10_000, "hidden_layers": 100, "hidden_dim": 10_000},
    **{"speakers_per_batch": 10_000, "utterances_per_speaker": 10_000},
    "epochs": 100_000,
}


@dataclass(frozen=True)
class LossOptions:
    """Options of the losses.

    Parameters
    ----------
    sampling : {"all", "random", "semi-hard", "hard", "distance-weighted"}
        Choice of the negatives of a pair for ssa (with sampled triplets), triplet and
        quadruplet: all (not for quadruplet), a random one, the nearest one farther away
        than the positive (semi-hard), the nearest one with the farthest positive
        (hard), or one drawn such that all distances are equally likely
        (distance-weighted).
    margin : {"fixed", "adaptive", "adaptive-floored"}
        Margin of triplet and quadruplet: margin-size (fixed), the mean distance of
        negatives minus that of positives (adaptive), or the larger of the two.
    margin_size : float, optional
        Margin of triplet, quadruplet, contrastive, am-softmax and aam-softmax (for the
        last an angle in radians), by default that of the loss's paper (0.8, meant for
        squared distances, also for plain ones).
    scale : float, optional
        Scale of the cosines in am-softmax, aam-softmax and congenerous-cosine, by
        default that of the loss's paper.
    distance : {"squared", "plain", "cosine"}
        Distance between embeddings of unit length in triplet and quadruplet: squared
        Euclidean, Euclidean (plain), or 1 minus the cosine.
    center_weight : float
        Weight of the distances to the class centers in the center loss.
    """

    sampling: Sampling = "random"
    margin: MarginKind = "fixed"
    margin_size: float | None = None
    scale: float | None = None
    distance: Distance = "squared"
    center_weight: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("margin_size", "center_weight"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                raise UsageError(
                    f"{_flag(name)} must be finite and not negative, found {value:g}"
                )
        if self.scale is not None and not 0 < self.scale < inf:
            raise UsageError(f"scale must be finite and positive, found {self.scale:g}")
        if self.margin == "adaptive" and self.margin_size is not None:
            raise UsageError(
                "margin adaptive has no margin-size; leave it out, or give it as the "
                "least margin with margin adaptive-floored"
            )


def fewest_classes(loss: LossName) -> int:
    """Return how many classes a loss needs to learn anything."""
    return 3 if loss == "quadruplet" else 2


def check_loss(
    loss: LossName, options: LossOptions, triplets: Triplets = "expected"
) -> None:
    """Check that only options the loss uses are set, to values it can take.

    Parameters
    ----------
    loss : LossName
    options : LossOptions
    triplets : {"expected", "sampled"}
        Of the loss ssa.

    Raises
    ------
    UsageError
        If an option that the loss does not use is not at its default, or a value is
        invalid for this loss.
    """
    check_taken(loss, options)
    if loss == "ssa" and triplets == "expected" and options.sampling != "random":
        raise UsageError(
            f"sampling {options.sampling} needs triplets that are sampled; triplets "
            "expected stands for all random ones"
        )
    if loss == "quadruplet" and options.sampling == "all":
        raise UsageError(
            "sampling all is not for quadruplet: there are too many; choose random, "
            "semi-hard, hard or distance-weighted"
        )
    if loss == "aam-softmax" and (options.margin_size or 0) >= pi:
        raise UsageError(
            "margin-size of aam-softmax is an angle in radians, below pi; found "
            f"{options.margin_size:g}"
        )


def check_taken(loss: LossName, options: Any) -> None:
    """Check that only options the loss uses are set.

    Parameters
    ----------
    loss : LossName
    options : dataclass instance
        Fields that every loss uses are not checked.

    Raises
    ------
    UsageError
        If an option that the loss does not use is not at its default.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        takers = _TAKEN_BY.get(field.name, (loss,))
        if value != field.default and loss not in takers:
            raise UsageError(
                f"{_flag(field.name)} {value} applies to {_listed(takers)}, not to "
                f"{loss}; leave it out"
            )


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _listed(losses: tuple[LossName, ...]) -> str:
    *first, last = losses
    return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True)
class MetricOptions:
    """Training of an embedding network on labelled x-vectors.

    Parameters
    ----------
    loss : LossName
        Training loss.
    triplets : {"expected", "sampled"}
        The loss ssa as its expectation over random negatives, or with a negative drawn
        for each pair.
    triplet_form : {"authors", "paper"}
        In the loss ssa, negatives repel both members of a pair (authors) or only the
        anchor (paper).
    gamma : float
        Weight of the negatives in the loss ssa.
    start : {"plda", "whitening", "random"}
        Initial network: whitening, length normalisation and the PLDA's transform (which
        makes within-speaker variance equal in all directions), whitening and length
        normalisation only, or random weights.
    embedding_dim : int, optional
        Dimensions of the embeddings, by default those of the x-vectors.
    hidden_layers : int
        Residual layers between the network's two.
    hidden_dim : int
        Units of each residual layer.
    speakers_per_batch : int
        Speakers per batch; quadruplet needs at least three.
    utterances_per_speaker : int
        X-vectors of each speaker in a batch; fewer if a speaker has fewer.
    lr : float
        Learning rate of Adam.
    epochs : int
        Maximum number of epochs.
    patience : int
        Number of epochs without a lower EER of the held-out speakers after which
        training stops; the network of the best epoch is kept.
    validation_share : float
        Share of the speakers that are held out; with 0, all epochs are trained.
    seed : int
        Seed of held-out speakers, batches, and random draws of the loss.
    objective : LossOptions
    """

    loss: LossName = "aam-softmax"
    triplets: Triplets = "expected"
    triplet_form: TripletForm = "authors"
    gamma: float = 0.4
    start: Literal["plda", "whitening", "random"] = "plda"
    embedding_dim: int | None = None
    hidden_layers: int = 0
    hidden_dim: int = 256
    speakers_per_batch: int = 64
    utterances_per_speaker: int = 4
    lr: float = 1e-4
    epochs: int = 50
    patience: int = 5
    validation_share: float = 0.1
    seed: int = 0
    objective: LossOptions = dataclasses.field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        check_fields(self)
        check_most(self, **_MOST)
        check_taken(self.loss, self)
        check_loss(self.loss, self.objective, self.triplets)
        fewest = {
            **{"embedding_dim": 1, "hidden_layers": 0, "hidden_dim": 1, "epochs": 1},
            **{"utterances_per_speaker": 2, "patience": 1, "seed": 0},
            **{"speakers_per_batch": fewest_classes(self.loss)},
        }
        for name, least in fewest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(
                    f"{_flag(name)} must be {least} or more, found {value}"
                )
        if not (0 < self.lr < LARGEST and 0 <= self.gamma < LARGEST):
            raise UsageError(
                f"expected lr above 0 and gamma of 0 or more, both below {LARGEST:g}, "
                f"found {self.lr:g} and {self.gamma:g}"
            )
        if not 0 <= self.validation_share <= 0.5:
            raise UsageError(
                "validation-share must be from 0 to 0.5, found "
                f"{self.validation_share:g}"
            )
