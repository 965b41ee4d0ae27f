"""Training of a segmentation network on annotated recordings.

Every epoch sees random chunks; after it, recordings for development measure the local
diarization error. The network of the best epoch is returned.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, cos, pi

import numpy as np
import torch
from torch import Tensor, nn

from ssahc.core.errors import DataError
from ssahc.frontend.segmentation.encoder import Encoder
from ssahc.frontend.segmentation.model import SegmentationNet, as_segmenter, sets_of
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.frontend.segmentation.powerset import BoolArray, to_powerset
from ssahc.learning.checkpoint import (
    Checkpoint,
    Epoch,
    TrainingState,
    best_epoch,
    share_done,
)
from ssahc.learning.segmentation.annotated import AnnotatedAudio, Frames
from ssahc.learning.segmentation.drawing import ChunkDrawer, make_noises
from ssahc.learning.segmentation.local_errors import (
    best_threshold,
    local_errors,
    run_chunks,
)
from ssahc.learning.segmentation.losses import (
    clustering_loss,
    multilabel_loss,
    powerset_loss,
)
from ssahc.learning.segmentation.options import SegmentationTrainingOptions
from ssahc.runtime.device import Device, has_gpu

_HOUR = 3600
# Larger gradients are scaled to this norm.
_MAX_NORM = 5.0
# Of the embeddings of frames that the second loss clusters.
_EMBEDDING_DIM = 24


@dataclass(frozen=True)
class SegmentationEpoch(Epoch):
    """Results of an epoch.

    Error rates are relative to the speaker time of the recordings for development;
    `threshold` is the best one of a multi-label network. `minutes` are those of the
    training so far.
    """

    der: float | None = None
    missed: float | None = None
    false: float | None = None
    confused: float | None = None
    threshold: float | None = None
    minutes: float = 0.0

    @property
    def error(self) -> float | None:
        """The local diarization error, by which epochs are compared."""
        return self.der


@dataclass(frozen=True, eq=False)
class TrainedSegmentation:
    """The network of the best epoch, its threshold, and all epochs."""

    network: SegmentationNet
    threshold: float
    epochs: tuple[SegmentationEpoch, ...]
    best: SegmentationEpoch


def new_network(
    options: NetworkOptions, seed: int, encoder: Encoder | None = None
) -> SegmentationNet:
    """Return a network with random weights, those of a given encoder aside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SegmentationNet(options, encoder)


def train_segmentation(
    network: SegmentationNet,
    training: Sequence[AnnotatedAudio],
    development: Sequence[AnnotatedAudio],
    options: SegmentationTrainingOptions = SegmentationTrainingOptions(),
    *,
    device: Device = "auto",
    checkpoint: Checkpoint[SegmentationEpoch] | None = None,
    on_epoch: Callable[[Checkpoint[SegmentationEpoch]], None] = lambda _: None,
    on_step: Callable[[float], None] = lambda _: None,
) -> TrainedSegmentation:
    """Train a network, which is changed.

    Parameters
    ----------
    network : SegmentationNet
        To start from.
    training, development : sequences of AnnotatedAudio
        At the rate of the network.
    options : SegmentationTrainingOptions
    device : {"auto", "cpu", "cuda"}
        Where it is trained.
    checkpoint : Checkpoint, optional
        Of a run with the same arguments, from which to go on.
    on_epoch : callable
        Called with the state before training and after every epoch.
    on_step : callable
        Called with the hours of audio of every step.

    Raises
    ------
    DataError
        If there is no speech to train on or for development, or the loss diverges.
    UsageError
        If the checkpoint is of another run, or "cuda" is not available.
    """
    if not any(recording.turns for recording in training):
        raise DataError("nobody speaks in the recordings to train on (--train)")
    place = "cuda" if has_gpu(device) else "cpu"
    run = _Run(network.to(place), training, development, options, place)
    state: TrainingState[SegmentationEpoch] = TrainingState(
        [weight for weight in network.parameters() if weight.requires_grad],
        run.parameters(),
        np.random.default_rng(options.seed),
        options.lr,
        options.weight_decay,
    )
    if checkpoint is not None:
        state.restore(checkpoint)
    else:
        state.end_epoch(run.validate(0))
        on_epoch(state.checkpoint())

    def done() -> float:
        last = state.epochs[-1]
        return share_done(last.number, options.epochs, last.minutes, options.minutes)

    started = time.monotonic() - 60 * state.epochs[-1].minutes
    while (share := done()) < 1:
        state.set_lr(options.lr * (1 + cos(pi * share)) / 2)
        loss = run.train_epoch(state, on_step)
        minutes = (time.monotonic() - started) / 60
        state.end_epoch(run.validate(len(state.epochs), loss, minutes))
        on_epoch(state.checkpoint())
    best = best_epoch(state.epochs)
    state.load_best()
    threshold = 0.5 if best.threshold is None else best.threshold
    return TrainedSegmentation(network.eval(), threshold, tuple(state.epochs), best)


class _Run:
    """What stays the same during training."""

    def __init__(
        self,
        network: SegmentationNet,
        training: Sequence[AnnotatedAudio],
        development: Sequence[AnnotatedAudio],
        options: SegmentationTrainingOptions,
        place: str,
    ) -> None:
        self.network, self.options, self.place = network, options, place
        self.development = development
        self.sets = sets_of(network.options)
        model = as_segmenter(network, place)
        self.frames = Frames(
            model.sample_rate, model.chunk, model.frame_shift, model.receptive_field
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            width = 2 * network.options.lstm_dim
            self.projection = nn.Linear(width, _EMBEDDING_DIM).to(place)
        self.drawer = ChunkDrawer(
            training,
            self.frames,
            network.options.chunk_speakers,
            options.augmentation,
            make_noises(self.frames.chunk, np.random.default_rng(options.seed)),
        )

    def train_epoch(
        self,
        state: TrainingState[SegmentationEpoch],
        on_step: Callable[[float], None],
    ) -> float:
        """Take the steps of an epoch; return the mean loss."""
        batch = self.options.batch_size
        hours = batch * self.network.options.chunk / _HOUR
        losses = []
        self.network.train()
        for _ in range(ceil(self.options.epoch_hours / hours)):
            chunks, active = self.drawer.draw(batch, state.generator)
            hidden = self.network.encode(torch.from_numpy(chunks).to(self.place))
            losses.append(state.step(self._loss(hidden, active), _MAX_NORM))
            on_step(hours)
        mean = float(np.mean(losses))
        state.check(mean)
        return mean

    def parameters(self) -> list[Tensor]:
        """Return the parameters of the loss."""
        is_used = self.options.clustering_weight > 0
        return list(self.projection.parameters()) if is_used else []

    def _loss(self, hidden: Tensor, active: BoolArray) -> Tensor:
        """Return the loss, of outputs of the LSTM."""
        outputs = self.network.classify(hidden)
        classes = torch.from_numpy(to_powerset(active, self.sets)).to(self.place)
        if self.network.options.head == "multilabel":
            speakers = torch.from_numpy(active).to(self.place)
            loss = multilabel_loss(outputs, speakers)
        else:
            loss = powerset_loss(outputs, classes, self.sets)
        weight = self.options.clustering_weight
        if weight > 0:
            embeddings = self.projection(hidden).tanh()
            loss = loss + weight * clustering_loss(embeddings, classes, len(self.sets))
        return loss

    def validate(
        self, number: int, loss: float | None = None, minutes: float = 0.0
    ) -> SegmentationEpoch:
        """Return the results of an epoch."""
        model = as_segmenter(self.network, self.place)
        outputs = list(run_chunks(self.development, model))
        threshold = None
        if self.network.options.head == "multilabel":
            threshold, errors = best_threshold(outputs, self.sets)
        else:
            errors = local_errors(outputs, self.sets)
        if errors.total == 0:
            raise DataError(
                "nobody speaks in the recordings for development (--dev), or in those "
                "parts that all.uem lists; give others"
            )
        rates = errors.rates()
        return SegmentationEpoch(number, loss, *rates, threshold, minutes)
