"""Options of self-supervised learning, and its record of what happened."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from ssahc.clustering.discriminative import LARGEST_WEIGHT, DiscriminativeCost
from ssahc.core.options import Options
from ssahc.core.types import LARGEST, BriefRepr, ClusteringName
from ssahc.core.validation import Interval
from ssahc.learning.initialization import FirstLayer, SecondLayer
from ssahc.learning.losses.options import (
    LossName,
    LossOptions,
    Triplets,
    check_loss,
    check_taken,
)
from ssahc.learning.losses.ssa import TripletForm

# Why the network was not trained, or why its training stopped.
Stopped = Literal[
    "eta",
    "max_steps",
    "no_gain",
    "diverged",
    "worse_clusters",
    "too_few_xvectors",
    "one_speaker",
    "one_cluster",
    "two_clusters",
    "no_pairs",
]


@dataclass(frozen=True)
class LearningOptions(Options, group="Learning"):
    """How the network of a recording is trained.

    Parameters
    ----------
    start : {"model", "whitened"}
        Initial first layer: the model's whitening (model, as in the paper), or the
        identity on x-vectors already whitened by the model and its PLDA (whitened).
    projection : {"pca", "shrunk"}
        Initial second layer: the recording's first --pca-dim principal directions (pca,
        as in the paper), or all that stand out from noise, scaled by their share of
        signal (shrunk).
    periods : int
        Maximum number of periods of training and clustering (Figure 2 of the paper).
    clustering : {"ahc", "kmeans", "xmeans", "spectral", "vb"}
        First clustering, which provides the training labels. All but ahc find at least
        the number of speakers, if it is known; vb uses the default resegmentation
        options.
    init_threshold : float
        Average cosine down to which the first clustering, if it is ahc, merges. Later
        periods subtract --threshold-step.
    threshold_step : float
        Decrease of --init-threshold per period.
    loss : LossName
        Loss function: ssa is the paper's; the documentation has the others' sources.
    triplets : {"expected", "sampled"}
        Triplets of the loss ssa: the expectation over a random negative, or negatives
        sampled for each pair (random ones once per period, others in every step; see
        --sampling).
    triplet_form : {"authors", "paper"}
        In the loss ssa, negatives repel both members of a pair (authors) or only the
        anchor (paper, Eq. 3).
    gamma : float
        Weight of the negatives in the loss ssa, in the first period.
    gamma_step : float
        Increase of gamma per period.
    lambda_ : float
        Weight of the neighbouring clusters in the merging cost (Eq. 2); 0 merges the
        closest pair. It applies in all clusterings that merge, the first and the final
        one included.
    kc : int
        Number of neighbouring clusters in the merging cost (Eq. 2).
    eta : float
        Training stops when the loss is below this share of its first value. Not used
        unless --margin is fixed.
    lr : float
        Learning rate of Adam.
    max_steps : int
        Maximum number of Adam steps.
    guard : bool
        Use the trained network only if its clusters are separated at least as well as
        those before training, measured by the initial affinities.
    min_xvectors : int
        No network is trained on recordings with fewer x-vectors.
    seed : int
        Random seed for the negatives of each recording (together with its id) and for
        the initial centers of k-means.
    objective : LossOptions
        Options of the loss.
    """

    start: FirstLayer = "whitened"
    projection: SecondLayer = "shrunk"
    periods: Annotated[int, Interval(ge=1, le=1_000)] = 1
    clustering: ClusteringName = "ahc"
    init_threshold: float = 0.2
    threshold_step: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.1
    loss: LossName = "ssa"
    triplets: Triplets = "expected"
    triplet_form: TripletForm = "authors"
    gamma: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.4
    gamma_step: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.1
    lambda_: Annotated[float, Interval(ge=0, le=LARGEST_WEIGHT)] = 0.0
    kc: Annotated[int, Interval(ge=1)] = 1
    eta: Annotated[float, Interval(ge=0, le=1)] = 0.5
    lr: Annotated[float, Interval(ge=0, le=LARGEST)] = 3e-4
    max_steps: Annotated[int, Interval(ge=0, le=1_000_000)] = 10
    guard: bool = True
    min_xvectors: Annotated[int, Interval(ge=0)] = 20
    seed: Annotated[int, Interval(ge=0)] = 0
    objective: LossOptions = field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_taken(self.loss, self)
        check_loss(self.loss, self.objective, self.triplets)

    def cost(self) -> DiscriminativeCost:
        """Return the merging cost of Eq. 2."""
        return DiscriminativeCost(self.lambda_, self.kc)


@dataclass(frozen=True, repr=False)
class Period(BriefRepr):
    """What happened in one period of learning.

    Attributes
    ----------
    num_clusters : int
        Clusters that gave the triplets (N^0 in the first period); 0 if it did not come
        to that.
    losses : tuple of float
        Loss before each step and at the end.
    stopped : str
        What ended it. If it is neither "eta" nor "max_steps", the affinities stayed
        what they were before.
    """

    num_clusters: int
    losses: tuple[float, ...]
    stopped: Stopped

    @property
    def learned(self) -> bool:
        """Whether what was learned is used."""
        return self.stopped in ("eta", "max_steps")
