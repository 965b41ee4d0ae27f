"""Self-supervised clustering of one recording (SSA).

Singh & Ganapathy, "Deep self-supervised hierarchical clustering for speaker
diarization", Interspeech 2020: cluster the recording with the start of the network,
train the network on triplets of these clusters, and use what it has learned as the
affinity of the final clustering. `learn` is Figure 2 of the paper, step by step. No
reference is ever read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated, Literal

import numpy as np

from ssahc.backend.affinity import Affinity, cosine_affinity
from ssahc.clustering.ahc import link
from ssahc.clustering.discriminative import LARGEST_WEIGHT, DiscriminativeCost
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.silhouette import mean_silhouette
from ssahc.clustering.stopping import Stop
from ssahc.core.options import Options
from ssahc.core.types import LARGEST, IntArray, Model, Progress, Recording, no_progress
from ssahc.core.validation import Interval
from ssahc.learning.initialization import FirstLayer, SecondLayer, start_network
from ssahc.learning.losses.options import (
    LossName,
    LossOptions,
    Triplets,
    check_loss,
    check_taken,
    fewest_classes,
)
from ssahc.learning.losses.ssa import (
    ExpectedTriplets,
    Loss,
    SampledTriplets,
    TripletForm,
)
from ssahc.learning.optimizer import Device, Learner, Train
from ssahc.learning.ssa_sampling import sample_triplets
from ssahc.pipeline.clustering import ClusteringName, cluster_windows, make_windows

# Most clusters that are judged where the number of speakers is not known.
_MOST_JUDGED = 10
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
        the known number of clusters, as in --final-clustering; vb uses the default
        resegmentation options.
    init_threshold : float
        Average cosine down to which the first clustering, if it is ahc, merges. Later
        periods subtract --threshold-step.
    threshold_step : float
        Decrease of --init-threshold per period.
    loss : LossName
        Loss function: ssa is the paper's, the others are in ssahc.learning.losses.
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
        closest pair. It applies below the number of first clusters, in the final
        clustering as well.
    kc : int
        Number of neighbouring clusters in the merging cost (Eq. 2).
    eta : float
        Training stops when the loss is below this share of its first value; with a
        margin that is not fixed, all steps are taken.
    lr : float
        Learning rate of Adam.
    max_steps : int
        Maximum number of Adam steps.
    guard : bool
        Use the trained network only if its clusters are separated at least as well as
        those before training, measured by the initial affinities.
    min_xvectors : int
        Recordings with fewer x-vectors are not trained: too few windows.
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

    def cost(self, below: int) -> DiscriminativeCost:
        """Return the merging cost of Eq. 2 for merges from `below` clusters on."""
        return DiscriminativeCost(self.lambda_, self.kc, below)


@dataclass(frozen=True)
class Period:
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


@dataclass(frozen=True, eq=False)
class Learned:
    """The affinity of a recording after learning, and how it came about.

    Attributes
    ----------
    affinity : Affinity
        Of the recording's N windows.
    periods : tuple of Period
        Empty if nothing was to be learned.
    """

    affinity: Affinity
    periods: tuple[Period, ...]


async def learn(
    recording: Recording,
    model: Model,
    options: LearningOptions = LearningOptions(),
    *,
    pca_dim: int = 10,
    num_speakers: int | None = None,
    device: Device = "auto",
    progress: Progress = no_progress,
) -> Learned:
    """Learn the affinity of one recording from its own clusters (Figure 2).

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean, whitening and PLDA, as far as they are there.
    options : LearningOptions
    pca_dim : int
        Dimensions of the network's output, unless its start is "shrunk".
    num_speakers : int, optional
        N*, if known: no clustering leaves fewer clusters, and periods end there.
    device : {"auto", "cpu", "cuda"}
    progress : callable, optional
        Told of every period as the step "learning".

    Returns
    -------
    Learned
        Where nothing can be learned, or learning fails, the affinity is the last one
        before that, and the period says why.
    """
    # 1. The network starts as whitening, length normalisation and a projection
    # (Section 3).
    start = start_network(
        recording.xvectors,
        model,
        start=options.start,
        projection=options.projection,
        pca_dim=pca_dim,
    )
    affinity: Affinity = cosine_affinity(start.vectors)
    if len(recording) < options.min_xvectors:
        return Learned(affinity, (Period(0, (), "too_few_xvectors"),))
    if num_speakers == 1:
        return Learned(affinity, (Period(0, (), "one_speaker"),))
    # 2. Single windows are merged to N^0 clusters, or clustered in another way.
    history = None
    if options.guard or options.clustering == "ahc":
        history = link(affinity)
    clusters = cluster_windows(
        make_windows(recording, model, affinity, options.clustering),
        _stop(options, 0, num_speakers),
        options.clustering,
        history=history,
        seed=options.seed,
    )
    first_count = _count(clusters)
    if first_count in (1, len(recording)):
        reason: Stopped = "one_cluster" if first_count == 1 else "no_pairs"
        return Learned(affinity, (Period(first_count, (), reason),))
    counts = _counts_to_judge(num_speakers, first_count)
    judge = affinity
    separation = -inf
    if options.guard and history is not None:
        separation = _separation(judge, history, counts)
    learner = Learner.at_start(start.inputs, start.first, start.second)
    generator = np.random.default_rng([options.seed, *recording.id.encode()])
    periods: list[Period] = []
    for p in range(1, options.periods + 1):
        progress("learning", p - 1, options.periods)
        # 3. The loss is that of the clusters of period p - 1,
        if _count(clusters) < fewest_classes(options.loss):
            periods.append(Period(_count(clusters), (), "two_clusters"))
            break
        gamma = options.gamma + (p - 1) * options.gamma_step
        loss = _make_loss(clusters, len(start.second), gamma, options, generator)
        # 4. the network is trained by it,
        training = await Train(
            *(learner, loss, options.lr, options.eta, options.max_steps, device)
        )
        learner = training.learner
        period = Period(_count(clusters), training.losses, training.stopped)
        # 5. and its output gives new affinities, unless they make worse clusters.
        learned = affinity
        if period.learned:
            learned = cosine_affinity(training.embeddings)
        if period.learned and options.guard:
            history = link(learned)
            found = _separation(judge, history, counts)
            if found < separation:
                period = replace(period, stopped="worse_clusters")
            separation = found
        periods.append(period)
        if not period.learned:
            break
        affinity = learned
        if p == options.periods:
            break
        # 6. By these the clusters are merged on, to N^p; if that is N*, or nothing is
        # left to tell apart, no further period follows.
        cost = options.cost(first_count)
        history = link(affinity, start=clusters, cost=cost)
        clusters = history.cut(_stop(options, p, num_speakers))[clusters]
        if _count(clusters) in (1, num_speakers):
            break
    progress("learning", options.periods, options.periods)
    return Learned(affinity, tuple(periods))


def _counts_to_judge(num_speakers: int | None, first_count: int) -> Sequence[int]:
    """Return into how many clusters recordings are cut to see how far they stand apart.

    That is the known number of speakers, or all up to that of the first clusters.
    """
    if num_speakers is not None:
        return (num_speakers,)
    return range(2, min(first_count, _MOST_JUDGED) + 1)


def _separation(judge: Affinity, history: MergeHistory, counts: Sequence[int]) -> float:
    """Return how far clusters stand apart, at the best of these counts.

    The judge is the affinity of the start, which was not trained on clusters: in what
    is learned from them they always stand apart, be they right or wrong.

    Parameters
    ----------
    judge : Affinity
        That of the start.
    history : MergeHistory
        Merges by any affinity.
    counts : sequence of int
        Numbers of clusters, 2 or more.
    """
    return max(mean_silhouette(judge, history.cut(Stop(count))) for count in counts)


def _count(clusters: IntArray) -> int:
    return int(clusters.max()) + 1


def _stop(options: LearningOptions, p: int, num_speakers: int | None) -> Stop:
    """Return when the clustering of period p stops; 0 is the first."""
    threshold = options.init_threshold - p * options.threshold_step
    return Stop(threshold=threshold, min_speakers=num_speakers or 1)


def _make_loss(
    clusters: IntArray,
    dim: int,
    gamma: float,
    options: LearningOptions,
    generator: np.random.Generator,
) -> Loss:
    """Return the loss of the network's output (N, dim) with clusters as labels."""
    if options.loss != "ssa" or options.objective.sampling != "random":
        # What SSA does not need, torch has to differentiate.
        from ssahc.learning.losses.objective import Objective
        from ssahc.learning.losses.recording import ClusterLoss

        objective = Objective(
            options.loss,
            options.objective,
            gamma=gamma,
            triplets=options.triplets,
            triplet_form=options.triplet_form,
        )
        return ClusterLoss(objective, clusters, dim, int(generator.integers(1 << 32)))
    if options.triplets == "expected":
        return ExpectedTriplets(clusters, gamma, options.triplet_form)
    triplets = sample_triplets(clusters, generator)
    return SampledTriplets(triplets, gamma, options.triplet_form)
