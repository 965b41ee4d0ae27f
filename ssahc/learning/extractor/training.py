"""Training of an extractor's network on the speech of known speakers.

Every step takes chunks of one length of some speakers. After every epoch, held-out
speakers measure how well the network tells unseen ones apart; the network of the best
epoch is returned.

With torch's launcher (torchrun), processes share the work: each takes steps on chunks
of its own, and gradients are averaged.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from torch import Tensor, nn

from ssahc.core.errors import DataError
from ssahc.core.types import Float32Array, IntArray
from ssahc.frontend.batch_features import batch_mfcc, subtract_sliding_mean
from ssahc.frontend.extractors.networks.network import EmbeddingNetwork
from ssahc.frontend.extractors.per_window import SLIDING
from ssahc.learning.checkpoint import (
    Checkpoint,
    Epoch,
    TrainingState,
    best_epoch,
    share_done,
)
from ssahc.learning.extractor.augmentation import Augmenter, Surroundings
from ssahc.learning.extractor.drawing import ChunkDrawer, Chunks, draw_lengths
from ssahc.learning.extractor.held_out import HeldOut, prepare_held_out, rate_held_out
from ssahc.learning.extractor.normalized import NormalizedNetwork
from ssahc.learning.extractor.options import (
    NO_AUGMENTATION,
    ExtractorTrainingOptions,
)
from ssahc.learning.extractor.processes import Processes
from ssahc.learning.extractor.speech import LabelledSpeech
from ssahc.learning.extractor.teacher import TeacherEmbeddings
from ssahc.learning.extractor.trials import limit_trials
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import fewest_classes

_HOUR_FRAMES = 360_000
# Larger gradients are scaled to this norm.
_MAX_NORM = 5.0
_FULL_SCALE = 32768
# Share of the training in which the learning rate rises.
_RISE = 0.05
# Classes embedded together, before training.
_CLASSES = 64


@dataclass(frozen=True)
class ExtractorEpoch(Epoch):
    """Results of an epoch.

    Equal error rates of held-out speakers, 0 to 1: of full utterances, and of windows
    of 1.5 s. `minutes` are those of the training so far.
    """

    eer: float | None = None
    short_eer: float | None = None
    minutes: float = 0.0

    @property
    def error(self) -> float | None:
        """The equal error rate of windows, by which epochs are compared."""
        return self.short_eer


@dataclass(frozen=True, eq=False)
class TrainedExtractor:
    """The network of the best epoch, and all epochs."""

    network: EmbeddingNetwork
    epochs: tuple[ExtractorEpoch, ...]
    best: ExtractorEpoch


def train_extractor(
    network: EmbeddingNetwork,
    training: LabelledSpeech,
    development: LabelledSpeech | None,
    surroundings: Surroundings,
    options: ExtractorTrainingOptions = ExtractorTrainingOptions(),
    *,
    teaching: Float32Array | None = None,
    is_trained: bool = False,
    processes: Processes = Processes(),
    checkpoint: Checkpoint[ExtractorEpoch] | None = None,
    on_epoch: Callable[[Checkpoint[ExtractorEpoch]], None] = lambda _: None,
    on_step: Callable[[float], None] = lambda _: None,
) -> TrainedExtractor:
    """Train a network, which is changed.

    Parameters
    ----------
    network : EmbeddingNetwork
        To start from.
    training, development : LabelledSpeech
        Of different speakers; without the second, the last epoch is the best.
    surroundings : Surroundings
        Rooms and noise of the augmentation.
    options : ExtractorTrainingOptions
    teaching : (N, D) array, optional
        Embeddings of the training speech by another extractor, of D = `network.dim`
        dimensions, as `teacher.embed_pieces` yields them.
    is_trained : bool
        The network is not a random one, and speakers start where it has them.
    processes : Processes
        Where it is trained.
    checkpoint : Checkpoint, optional
        Of a run with the same arguments, from which to go on.
    on_epoch : callable
        Called with the state before training and after every epoch.
    on_step : callable
        Called with the hours of speech of every step.

    Raises
    ------
    DataError
        If there are too few speakers, or the loss diverges.
    UsageError
        If the checkpoint is of another run.
    """
    place = processes.device
    network.to(place)
    held_out = None
    if development is not None:
        held_out = prepare_held_out(
            limit_trials(development), network.options, network.fewest_frames
        )
    run = _Run(
        network, training, surroundings, options, processes, teaching, is_trained
    )
    state: TrainingState[ExtractorEpoch] = TrainingState(
        list(run.learner.embed.parameters()),
        list(run.learner.parameters_of_loss),
        np.random.default_rng(options.seed),
        options.lr,
        options.weight_decay,
        list(run.learner.embed.buffers()),
    )
    if checkpoint is not None:
        state.restore(checkpoint)
    else:
        state.end_epoch(_rate(run.learner.embed, held_out, place, ExtractorEpoch(0)))
        on_epoch(state.checkpoint())
    step = processes.share(run.learner)

    started = time.monotonic() - 60 * state.epochs[-1].minutes

    def count_minutes() -> float:
        return processes.agree((time.monotonic() - started) / 60)

    def done(part: float = 0.0) -> float:
        """Return the share of the training, with a part of the epoch to come."""
        last, minutes = state.epochs[-1], state.epochs[-1].minutes
        if part > 0 and options.minutes is not None:
            minutes = count_minutes()
        share = share_done(last.number + part, options.epochs, minutes, options.minutes)
        return min(share, 1.0)

    while done() < 1:
        loss = run.train_epoch(step, state, done, on_step)
        minutes = count_minutes()
        epoch = ExtractorEpoch(len(state.epochs), loss, minutes=minutes)
        state.end_epoch(_rate(run.learner.embed, held_out, place, epoch))
        on_epoch(state.checkpoint())
    state.load_best()
    return TrainedExtractor(
        run.learner.embed.folded(), tuple(state.epochs), best_epoch(state.epochs)
    )


def _rate(
    network: NormalizedNetwork,
    held_out: HeldOut | None,
    device: str,
    epoch: ExtractorEpoch,
) -> ExtractorEpoch:
    """Return an epoch with its error rates, if speakers are held out."""
    if held_out is None:
        return epoch
    eer, short = rate_held_out(network, held_out, device)
    return ExtractorEpoch(epoch.number, epoch.loss, eer, short, epoch.minutes)


class _Learner(nn.Module):
    """A network and the loss of its embeddings, to be differentiated together.

    Embeddings are normalised: those of random networks differ by little from their
    mean, and a loss of cosines would take many steps to learn only that.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        objective: Objective,
        initial: list[Tensor],
        teacher_weight: float,
    ) -> None:
        super().__init__()
        self.embed = NormalizedNetwork(network)
        self.objective, self.teacher_weight = objective, teacher_weight
        self.parameters_of_loss = nn.ParameterList(initial)

    def forward(
        self,
        frames: Tensor,
        classes: IntArray,
        generator: np.random.Generator,
        taught: Tensor | None,
    ) -> Tensor:
        embeddings = self.embed(frames)
        loss = self.objective.evaluate(
            embeddings, classes, list(self.parameters_of_loss), generator
        )
        if taught is not None:
            cosines = nn.functional.cosine_similarity(embeddings, taught)
            loss = loss + self.teacher_weight * (1 - cosines.mean())
        return loss


class _Run:
    """What stays the same during training."""

    def __init__(
        self,
        network: EmbeddingNetwork,
        training: LabelledSpeech,
        surroundings: Surroundings,
        options: ExtractorTrainingOptions,
        processes: Processes,
        teaching: Float32Array | None,
        is_trained: bool,
    ) -> None:
        self.options, self.processes = options, processes
        self.shape = network.options
        place = processes.device
        self.is_audio = training.is_audio
        augmentation = options.augmentation if self.is_audio else NO_AUGMENTATION
        self.drawer = ChunkDrawer(training, options, augmentation)
        fewest = fewest_classes(options.loss)
        if len(self.drawer.speakers) < fewest:
            raise DataError(
                f"--loss {options.loss} needs {fewest} speakers to train on, found "
                f"{len(self.drawer.speakers)}; give more"
            )
        self.teacher = None
        if teaching is not None:
            self.teacher = TeacherEmbeddings(
                teaching, self.drawer, self.shape.sample_rate, place
            )
        self.augmenter = Augmenter(
            augmentation, surroundings, self.shape.sample_rate, place
        )
        self.mfcc = None
        if not self.shape.takes_samples:
            self.mfcc = batch_mfcc(self.shape.mfcc, place)
        objective = Objective(
            options.loss,
            options.objective,
            gamma=options.gamma,
            triplets=options.triplets,
            triplet_form=options.triplet_form,
        )
        labels = np.arange(self.drawer.num_classes)
        generator = np.random.default_rng(options.seed)
        if self.teacher is not None:
            embeddings = self.teacher.of_classes()[: len(labels)]
        elif is_trained:
            embeddings = self._embed_classes(network, generator)
        else:
            drawn = generator.standard_normal((len(labels), network.dim))
            embeddings = torch.from_numpy(drawn.astype(np.float32)).to(place)
        initial = objective.initial_parameters(embeddings, labels)
        self.learner = _Learner(network, objective, initial, options.teacher_weight).to(
            place
        )

    def train_epoch(
        self,
        step: nn.Module,
        state: TrainingState[ExtractorEpoch],
        done: Callable[[float], float],
        on_step: Callable[[float], None],
    ) -> float:
        """Take the steps of an epoch; return the mean loss.

        `step` returns the loss, `done` the share of the training that is done with a
        part of the epoch.
        """
        options, number = self.options, len(state.epochs)
        speakers = min(options.speakers_per_batch, len(self.drawer.speakers))
        count = speakers * options.utterances_per_speaker * self.processes.count
        # A step is as long in all processes, but not of the same chunks. All is drawn
        # anew for every epoch, so that it can be resumed.
        lengths = draw_lengths(
            options, count, np.random.default_rng([options.seed, number])
        )
        own = [options.seed, number, self.processes.rank]
        generator = np.random.default_rng(own)
        losses = []
        self.learner.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**31)))
            for place, length in enumerate(lengths):
                share = done((place + 0.5) / len(lengths))
                rise = min(share / _RISE, 1)
                state.set_lr(options.lr * rise * (1 + cos(pi * share)) / 2)
                chunks = self.drawer.draw(self._size(length), generator)
                frames = self._frames(chunks, length, generator)
                taught = None if self.teacher is None else self.teacher.of(chunks)
                loss = step(frames, chunks.classes, generator, taught)
                losses.append(state.step(loss, _MAX_NORM))
                on_step(length * count / _HOUR_FRAMES)
        mean = self.processes.average(float(np.mean(losses)))
        state.check(mean)
        return mean

    def _size(self, length: int) -> int:
        """Return the size of chunks of so many frames: samples, if they are audio."""
        return length * (self.shape.samples_per_frame if self.is_audio else 1)

    def _frames(
        self, chunks: Chunks, length: int, generator: np.random.Generator
    ) -> Tensor:
        """Return frames (B, `length`, F) of chunks, as the network takes them."""
        if not self.is_audio:
            features = torch.from_numpy(chunks.parts[0]).to(self.processes.device)
            return self._subtract_mean(features)
        samples = self.augmenter.apply(chunks, self._size(length), generator)
        if self.mfcc is None:
            return samples.reshape(len(samples), length, -1) / _FULL_SCALE
        return self._subtract_mean(self.mfcc(samples))

    def _subtract_mean(self, features: Tensor) -> Tensor:
        if self.shape.mean == "none":
            return features
        if self.shape.mean == "sliding":
            return subtract_sliding_mean(features, SLIDING)
        return features - features.mean(dim=1, keepdim=True)

    def _embed_classes(
        self, network: EmbeddingNetwork, generator: np.random.Generator
    ) -> Tensor:
        """Return an embedding (K, D) of a chunk of every class, minus their mean."""
        length = round(100 * self.options.max_chunk)
        network.eval()
        embeddings = []
        with torch.no_grad():
            for first in range(0, self.drawer.num_classes, _CLASSES):
                last = min(first + _CLASSES, self.drawer.num_classes)
                frames = self._frames(
                    self.drawer.draw_classes(
                        np.arange(first, last), self._size(length), generator
                    ),
                    length,
                    generator,
                )
                embeddings.append(network(frames))
        found = torch.cat(embeddings)
        return found - found.mean(dim=0)
