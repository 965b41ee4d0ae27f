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
from ssahc.cluster.ahc import average_linkage
from ssahc.cluster.stop import Stop
from ssahc.errors import UsageError
from ssahc.preprocess import project_recording
from ssahc.types import FloatArray, IntArray, Model, Recording

Device = Literal["auto", "cpu", "cuda"]
# Why the network was not trained, or why its training stopped.
Stopped = Literal[
    "eta",
    "max_steps",
    "no_gain",
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
    projected = project_recording(recording.xvectors, model, pca_dim)
    start = cosine_affinity(projected.vectors)
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
    centered, whitening = _absorb_offset(projected.centered, model.transform)
    embeddings, losses, stopped = _train(
        recording.id,
        centered,
        whitening,
        projected.directions,
        labels,
        options,
        device,
    )
    period = Period(num_clusters, losses, stopped)
    return Learned(cosine_affinity(embeddings) if period.learned else start, (period,))


def _absorb_offset(
    centered: FloatArray, transform: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Move the offset of an affine whitening into the network's input.

    The same whitening can be written with any split between mean and offset, but the
    gradient of W1 is an outer product with the input: only inputs around zero make
    what is learned independent of the split. What a singular transform cannot absorb
    stays as an offset.

    Returns
    -------
    inputs : (N, D) array
    whitening : (D, D) or (D, D + 1) array
    """
    dim = centered.shape[1]
    if transform is None:
        transform = np.eye(dim)
    linear, offset = transform[:, :dim], transform[:, dim:].sum(axis=1)
    if not offset.any():
        return centered, linear
    shift = np.linalg.lstsq(linear, offset)[0]
    rest = offset - linear @ shift
    return centered + shift, np.column_stack([linear, rest])


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
