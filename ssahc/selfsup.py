"""Self-supervised clustering of one recording (SSA).

Singh & Ganapathy, "Deep self-supervised hierarchical clustering for speaker
diarization", Interspeech 2020: cluster the recording with the start of the network,
train the network on triplets of these clusters, and use what it has learned as the
affinity of the final clustering. No reference is ever read.
"""

from dataclasses import dataclass
from functools import partial
from math import inf, isnan
from typing import Literal

import numpy as np

from ssahc.affinity import Affinity, cosine_affinity
from ssahc.ahc import Stop, average_linkage
from ssahc.errors import UsageError
from ssahc.preprocess import center, recording_pca, whiten
from ssahc.types import FloatArray, IntArray, Model, Recording

Device = Literal["auto", "cpu", "cuda"]
# Why the network was not trained, or why its training stopped.
Stopped = Literal[
    "eta",
    "max_steps",
    "diverged",
    "too_few_xvectors",
    "one_speaker",
    "one_cluster",
    "no_pairs",
]


@dataclass(frozen=True)
class LearningOptions:
    """How the network of a recording is learned.

    Parameters
    ----------
    init_threshold : float
        The first clustering merges while the best average cosine is at or above it.
    triplets : {"expected", "sampled"}
        The loss in expectation over the random negative, or one drawn for each pair.
    triplet_form : {"authors", "paper"}
        Negatives repel both members of a pair, or the anchor alone (Eq. 3).
    gamma : float
        Weight of the negatives.
    eta : float
        Training stops when the loss is below this share of its first value.
    lr : float
        Learning rate of Adam.
    max_steps : int
        Most steps of Adam.
    min_xvectors : int
        Recordings with fewer x-vectors keep the start: they hold too little to learn.
    seed : int
        Of the sampled negatives; each recording draws its own from seed and id.
    """

    init_threshold: float = 0.1
    triplets: Literal["expected", "sampled"] = "expected"
    triplet_form: Literal["authors", "paper"] = "authors"
    gamma: float = 0.4
    eta: float = 0.5
    lr: float = 1e-3
    max_steps: int = 10
    min_xvectors: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("gamma", "lr", "max_steps", "min_xvectors", "seed"):
            if not 0 <= getattr(self, name) < inf:
                raise UsageError(
                    f"{name.replace('_', '-')} must be finite and not negative, "
                    f"found {getattr(self, name)}"
                )
        if not 0 <= self.eta <= 1:
            raise UsageError(f"eta must be between 0 and 1, found {self.eta:g}")
        if isnan(self.init_threshold):
            raise UsageError("init-threshold is NaN")


@dataclass(frozen=True)
class Period:
    """What happened in one period of learning.

    Attributes
    ----------
    num_clusters : int
        N0, the clusters that gave the triplets; 0 if it did not come to that.
    losses : tuple of float
        Loss before each step and at the end.
    stopped : str
        What ended it. If it is neither "eta" nor "max_steps", the start was kept.
    """

    num_clusters: int
    losses: tuple[float, ...]
    stopped: Stopped

    @property
    def learned(self) -> bool:
        """Whether the learned network was used, not its start."""
        return self.stopped in ("eta", "max_steps")


@dataclass(frozen=True, eq=False)
class Learned:
    """The affinity of a recording after learning, and how it came about."""

    affinity: Affinity
    periods: tuple[Period, ...]


def start_network(
    xvectors: FloatArray, model: Model, pca_dim: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what the network starts from.

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted.
    model : Model
    pca_dim : int
        Dimensions of the recording's PCA, at most min(N, D) are kept.

    Returns
    -------
    centered : (N, D) array
        Input of the network.
    projection : (d, D) array
        Start of its second layer.
    projected : (N, d) array
        Its output at the start, before the rows are scaled to unit length.
    """
    centered = center(xvectors, model.mean)
    whitened = whiten(centered, model)
    projection = recording_pca(whitened)[1][: min(pca_dim, len(xvectors))]
    return centered, projection, whitened @ projection.T


def learn(
    recording: Recording,
    model: Model,
    options: LearningOptions = LearningOptions(),
    *,
    pca_dim: int = 10,
    num_speakers: int | None = None,
    device: Device = "auto",
) -> Learned:
    """Learn the affinity of one recording from its own clusters.

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean and whitening; the PLDA is not used.
    options : LearningOptions
    pca_dim : int
        Dimensions of the network's output.
    num_speakers : int, optional
        If known, the first clustering leaves no fewer clusters.
    device : {"auto", "cpu", "cuda"}

    Returns
    -------
    Learned
        Where nothing can be learned, or learning fails, the affinity is the start's,
        and the period says why.
    """
    centered, projection, projected = start_network(recording.xvectors, model, pca_dim)
    start = cosine_affinity(projected)
    if len(recording) < options.min_xvectors:
        return Learned(start, (Period(0, (), "too_few_xvectors"),))
    if num_speakers == 1:
        return Learned(start, (Period(0, (), "one_speaker"),))
    stop = Stop(threshold=options.init_threshold, min_speakers=num_speakers or 1)
    labels = average_linkage(start.dense()).cut(stop)
    num_clusters = int(labels.max()) + 1
    if num_clusters in (1, len(recording)):
        reason: Stopped = "one_cluster" if num_clusters == 1 else "no_pairs"
        return Learned(start, (Period(num_clusters, (), reason),))
    whitening = model.transform
    if whitening is None:
        whitening = np.eye(centered.shape[1])
    embeddings, losses, stopped = _train(
        recording.id, centered, whitening, projection, labels, options, device
    )
    period = Period(num_clusters, losses, stopped)
    return Learned(cosine_affinity(embeddings) if period.learned else start, (period,))


def _train(
    recording_id: str,
    centered: FloatArray,
    whitening: FloatArray,
    projection: FloatArray,
    labels: IntArray,
    options: LearningOptions,
    device: Device,
) -> tuple[FloatArray, tuple[float, ...], Stopped]:
    """Train a network from its start on pseudo-labels; return its (N, d) output."""
    # Torch takes seconds to load, so it is loaded only when a network is trained.
    import torch

    from ssahc.nn.losses import expected_triplet_loss, one_hot, sampled_triplet_loss
    from ssahc.nn.model import TwoLayerNet
    from ssahc.nn.sampling import sample_triplets
    from ssahc.nn.train import pick_device, train

    place = pick_device(device)
    gamma, form = options.gamma, options.triplet_form
    if options.triplets == "expected":
        membership = one_hot(torch.from_numpy(labels)).to(place)
        loss_of = partial(
            expected_triplet_loss, membership=membership, gamma=gamma, form=form
        )
    else:
        generator = np.random.default_rng([options.seed, *recording_id.encode()])
        triplets = torch.from_numpy(sample_triplets(labels, generator)).to(place)
        loss_of = partial(
            sampled_triplet_loss, triplets=triplets, gamma=gamma, form=form
        )
    net = TwoLayerNet(whitening, projection).to(place)
    inputs = torch.from_numpy(centered.astype(np.float32)).to(place)
    training = train(
        net,
        inputs,
        loss_of,
        lr=options.lr,
        eta=options.eta,
        max_steps=options.max_steps,
    )
    with torch.no_grad():
        embeddings = net(inputs).cpu().numpy().astype(np.float64)
    return embeddings, training.losses, training.stopped
