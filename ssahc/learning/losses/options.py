"""Which loss learns the embeddings, and how; nothing here needs torch."""

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
# SSA's loss in expectation over the random negative, or on negatives that are drawn.
Triplets = Literal["expected", "sampled"]

# The losses that an option has a meaning for.
_TAKEN_BY: dict[str, tuple[LossName, ...]] = {
    "sampling": ("ssa", "triplet", "quadruplet"),
    "margin": ("triplet", "quadruplet"),
    "margin_size": (
        *("triplet", "quadruplet", "contrastive", "am-softmax", "aam-softmax"),
    ),
    "scale": ("congenerous-cosine", "am-softmax", "aam-softmax"),
    "distance": ("triplet", "quadruplet"),
    "center_weight": ("center",),
    "triplets": ("ssa",),
    "triplet_form": ("ssa",),
    "gamma": ("ssa",),
    "gamma_step": ("ssa",),
}
# What a loss has no place for, as sources of options are combined (`ssahc.io.config`).
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
    """How a loss of metric learning is taken.

    Parameters
    ----------
    sampling : {"all", "random", "semi-hard", "hard", "distance-weighted"}
        How the negatives of a pair are chosen, for ssa (with sampled triplets), triplet
        and quadruplet: every one (all; not for quadruplet), any one (random), the
        nearest that is farther away than the positive (semi-hard), the nearest one to
        the farthest positive (hard), or one drawn so that all distances occur alike
        (distance-weighted).
    margin : {"fixed", "adaptive", "adaptive-floored"}
        The margin of triplet and quadruplet is margin-size, or by how much negatives
        are farther away on average than positives, or the larger of the two.
    margin_size : float, optional
        Margin of triplet, quadruplet, contrastive, am-softmax and aam-softmax (there an
        angle in radians); if not given, that of the loss's source (0.8 for plain
        distances as for squared ones, which are the source's).
    scale : float, optional
        What cosines are multiplied by in am-softmax, aam-softmax and
        congenerous-cosine; if not given, that of the loss's source.
    distance : {"squared", "plain", "cosine"}
        Between embeddings of unit length, for triplet and quadruplet: the square of the
        Euclidean distance, the distance itself, or 1 minus the cosine.
    center_weight : float
        Weight of the distances from the centers in the center loss.
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
    """Return how many classes a loss needs: with fewer there is nothing to learn."""
    return 3 if loss == "quadruplet" else 2


def check_loss(
    loss: LossName, options: LossOptions, triplets: Triplets = "expected"
) -> None:
    """Check that options were set only where the loss takes them.

    Parameters
    ----------
    loss : LossName
    options : LossOptions
    triplets : {"expected", "sampled"}
        Of the loss ssa.

    Raises
    ------
    UsageError
        If an option that means nothing to the loss is not at its default, or a value of
        it is none for this loss.
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
    """Check that a loss takes what was set.

    Parameters
    ----------
    loss : LossName
    options : dataclass instance
        Its fields that no loss, or every loss, has a use for are not looked at.

    Raises
    ------
    UsageError
        If an option that means nothing to the loss is not at its default.
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
    """How a metric is trained once, on labelled x-vectors.

    Parameters
    ----------
    loss : LossName
        What the network learns by.
    triplets : {"expected", "sampled"}
        The loss ssa in expectation over the random negative, or with negatives drawn
        for each pair.
    triplet_form : {"authors", "paper"}
        In the loss ssa, negatives repel both members of a pair, or the anchor alone.
    gamma : float
        Weight of the negatives in the loss ssa.
    start : {"plda", "whitening", "random"}
        The network starts as whitening, length normalisation and the PLDA's transform
        (between windows of one speaker, all directions then vary alike), as whitening
        and length normalisation alone, or drawn at random.
    embedding_dim : int, optional
        Dimensions of what the network gives; as many as x-vectors have if not given.
    hidden_layers : int
        Layers between the network's two, which add to what passes through them.
    hidden_dim : int
        Units of each of these.
    speakers_per_batch : int
        Speakers of a batch; quadruplet needs three.
    utterances_per_speaker : int
        X-vectors of each of these; fewer where a speaker has not so many.
    lr : float
        Learning rate of Adam.
    epochs : int
        Most epochs.
    patience : int
        Training stops after so many epochs without a lower EER of the speakers held
        out; the network of the best epoch is kept.
    validation_share : float
        Share of the speakers that are held out; with 0 none are, and all epochs are
        trained.
    seed : int
        Of the speakers held out, of batches, and of what is drawn for a loss.
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
