"""Self-supervised learning of a recording's affinity from its own clusters (SSA).

Singh & Ganapathy, "Deep self-supervised hierarchical clustering for speaker
diarization", Interspeech 2020: cluster the recording with the untrained network, train
the network on triplets of these clusters, and cluster what it has learned. Figure 2 of
the paper is `learn_batch`, step by step. No reference is ever read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from ssahc.backend.affinity import Affinity, cosine_affinity
from ssahc.backend.prepared import PreparedXvectors
from ssahc.clustering.ahc import link
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.silhouette import mean_silhouette
from ssahc.clustering.stopping import Stop
from ssahc.core.constraints import CannotLink
from ssahc.core.types import IntArray, Progress, no_progress
from ssahc.learning.initialization import start_network
from ssahc.learning.losses.options import fewest_classes
from ssahc.learning.losses.ssa import ExpectedTriplets, Loss, SampledTriplets
from ssahc.learning.losses.sure_negatives import SureNegatives
from ssahc.learning.mining import draw_ssa_triplets
from ssahc.learning.optimizer import Learner, Training, TrainingJob, train_networks
from ssahc.learning.options import LearningOptions, Period, Stopped
from ssahc.runtime.device import Device

# Most clusters that are judged where the number of speakers is not known.
_MOST_JUDGED = 10
# Clusters a recording, given its affinity, a stop, and all merges if they are known.
ClusterFunction = Callable[[Affinity, Stop, MergeHistory | None], IntArray]


@dataclass(frozen=True, eq=False)
class LearningTask:
    """A recording to learn the affinity of.

    Its id, with the seed, decides on what is sampled. The network learns from the
    labels that `cluster` gives. If the number of speakers N* is known, no clustering
    leaves fewer clusters, and periods end there. Windows that are known to be different
    speakers are negatives of each other in the loss ssa with expected triplets.
    """

    recording_id: str
    xvectors: PreparedXvectors
    cluster: ClusterFunction
    num_speakers: int | None = None
    cannot_link: CannotLink | None = None


@dataclass(frozen=True, eq=False)
class Learned:
    """The affinity of a recording after learning, and the periods of that, if any."""

    affinity: Affinity
    periods: tuple[Period, ...]


def learn_batch(
    tasks: Sequence[LearningTask],
    options: LearningOptions = LearningOptions(),
    *,
    pca_dim: int = 10,
    device: Device = "auto",
    progress: Progress = no_progress,
) -> list[Learned]:
    """Learn the affinities of several recordings (Figure 2 of the paper).

    Recordings are independent; a GPU trains their networks in batches. Where nothing
    can be learned, or learning fails, the affinity is the last one before that, and the
    period says why. `pca_dim` is the dimension of the network's output, unless its
    projection is "shrunk". A DataError is raised if the dimensions of x-vectors and
    model disagree, a MemoryError if one of the recordings is too large.
    """
    # 1, 2. The untrained networks, and the clusters that they are trained on.
    recordings = [_Recording(task, options, pca_dim) for task in tasks]
    for period in range(1, options.periods + 1):
        progress("learning", period - 1, options.periods)
        # 3. The loss of period p is that of the clusters of period p - 1,
        active = [one for one in recordings if one.can_be_trained()]
        if not active:
            break
        jobs = [one.make_job(period) for one in active]
        # 4. the networks are trained by it,
        trained = train_networks(jobs, device)
        # 5, 6. and what they have learned is clustered for the next period.
        for recording, training in zip(active, trained, strict=True):
            recording.end_period(period, training)
    progress("learning", options.periods, options.periods)
    return [Learned(one.affinity, tuple(one.periods)) for one in recordings]


class _Recording:
    """One recording on its way through the periods of learning."""

    def __init__(
        self, task: LearningTask, options: LearningOptions, pca_dim: int
    ) -> None:
        self.task, self.options = task, options
        self.clusters = np.zeros(0, np.int64)
        self.periods: list[Period] = []
        self.is_done = False
        # 1. The network starts as whitening, length normalisation and a projection
        # (Section 3).
        start = start_network(
            task.xvectors,
            start=options.start,
            projection=options.projection,
            pca_dim=pca_dim,
        )
        self.learner = Learner.at_start(start.inputs, start.first, start.second)
        self.dim = len(start.second)
        self.affinity: Affinity = cosine_affinity(start.vectors)
        count = len(task.xvectors)
        if count < options.min_xvectors:
            self._give_up("too_few_xvectors")
            return
        if task.num_speakers == 1:
            self._give_up("one_speaker")
            return
        # 2. Single windows are merged to N^0 clusters, or clustered in another way.
        history = None
        if options.guard or options.clustering == "ahc":
            history = link(self.affinity, cost=options.cost())
        self.clusters = task.cluster(self.affinity, self._stop(0), history)
        self.first_count = self.num_clusters
        if self.first_count in (1, count):
            self._give_up("one_cluster" if self.first_count == 1 else "no_pairs")
            return
        # The judge of the guard is the untrained network: by what was learned from
        # clusters they always stand apart, be they right or wrong.
        self.judge, self.separation = self.affinity, -inf
        if options.guard and history is not None:
            self.separation = self._separation(history)
        self.generator = np.random.default_rng(
            [options.seed, *task.recording_id.encode()]
        )

    @property
    def num_clusters(self) -> int:
        """Number of clusters that the network is trained on."""
        return int(self.clusters.max(initial=-1)) + 1

    def can_be_trained(self) -> bool:
        """Whether there is a further period, with enough clusters for the loss."""
        if self.is_done:
            return False
        if self.num_clusters < fewest_classes(self.options.loss):
            self._give_up("two_clusters")
        return not self.is_done

    def make_job(self, period: int) -> TrainingJob:
        """Return the training of a period."""
        options = self.options
        gamma = options.gamma + (period - 1) * options.gamma_step
        loss = self._make_sure_loss(gamma)
        if loss is None:
            loss = _make_loss(self.clusters, self.dim, gamma, options, self.generator)
        return TrainingJob(
            self.learner, loss, options.lr, options.eta, options.max_steps
        )

    def _make_sure_loss(self, gamma: float) -> Loss | None:
        """Return the loss of windows that are known to be different, if it applies."""
        options, known = self.options, self.task.cannot_link
        is_expected = options.loss == "ssa" and options.triplets == "expected"
        if known is None or not is_expected:
            return None
        loss = SureNegatives(self.clusters, known, gamma, options.triplet_form)
        if not loss.has_pairs():
            return replace(loss, cannot_link=CannotLink(known.pairs[:0]))
        return loss

    def end_period(self, period: int, training: Training) -> None:
        """Take over what was learned, and cluster it for the next period."""
        options = self.options
        self.learner = training.learner
        stopped: Stopped = training.stopped
        outcome = Period(self.num_clusters, training.losses, stopped)
        # 5. The network's output gives new affinities, unless they make worse clusters.
        learned = self.affinity
        if outcome.learned:
            learned = cosine_affinity(training.embeddings)
            if options.guard:
                history = link(learned, cost=options.cost())
                separation = self._separation(history)
                if separation < self.separation:
                    outcome = replace(outcome, stopped="worse_clusters")
                self.separation = separation
        self.periods.append(outcome)
        if not outcome.learned:
            self.is_done = True
            return
        self.affinity = learned
        if period == options.periods:
            return
        # 6. By these the clusters are merged on, to N^p; if that is N*, or nothing is
        # left to tell apart, no further period follows.
        history = link(learned, start=self.clusters, cost=options.cost())
        self.clusters = history.cut(self._stop(period))[self.clusters]
        self.is_done = self.num_clusters in (1, self.task.num_speakers)

    def _give_up(self, reason: Stopped) -> None:
        """End learning before a period's training."""
        self.periods.append(Period(self.num_clusters, (), reason))
        self.is_done = True

    def _stop(self, period: int) -> Stop:
        """Return when the clustering of a period stops; 0 is the first."""
        options = self.options
        threshold = options.init_threshold - period * options.threshold_step
        return Stop(threshold=threshold, min_speakers=self.task.num_speakers or 1)

    def _separation(self, history: MergeHistory) -> float:
        """Return how far clusters stand apart by the judge.

        That is at the known number of speakers, or at the best of all numbers up to
        that of the first clusters.
        """
        counts: Sequence[int] = range(2, min(self.first_count, _MOST_JUDGED) + 1)
        if self.task.num_speakers is not None:
            counts = (self.task.num_speakers,)
        return max(
            mean_silhouette(self.judge, history.cut(Stop(count))) for count in counts
        )


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
        from ssahc.learning.losses.cluster_loss import ClusterLoss
        from ssahc.learning.losses.objective import Objective

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
    triplets = draw_ssa_triplets(clusters, generator)
    return SampledTriplets(triplets, gamma, options.triplet_form)
