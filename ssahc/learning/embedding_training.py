"""Training of an embedding network on x-vectors of known speakers.

The network starts as the whitening, length normalisation and PLDA transform of a model
(without the mean of the PLDA, for which it has no parameter), so it does not need to
learn what these know. After each epoch, held-out speakers measure how well it separates
unseen ones; the network of the best epoch, possibly the initial one, is returned.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.embedding_net import as_embedding_net, run_network
from ssahc.backend.preprocess import center
from ssahc.backend.training import as_labelled, fit_model
from ssahc.core.errors import DataError, UsageError
from ssahc.core.model import check_model, transform_dim
from ssahc.core.types import NO_MODEL, BriefRepr, FloatArray, IntArray, Model
from ssahc.learning.checkpoint import Checkpoint, Epoch, TrainingState, best_epoch
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import MetricOptions, fewest_classes
from ssahc.runtime.device import Device, has_gpu
from ssahc.scoring.detection import verify

# The trials of an epoch are all pairs of at most this many held-out x-vectors.
_MAX_HELD_OUT = 1000
# X-vectors embedded at once.
_BLOCK = 8192

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingEpoch(Epoch):
    """Results of an epoch.

    Error rates, 0 to 1, are over all pairs of held-out x-vectors, None if none are held
    out.
    """

    eer: float | None = None
    min_dcf: float | None = None

    @property
    def error(self) -> float | None:
        """The equal error rate, by which epochs are compared."""
        return self.eer


@dataclass(frozen=True, eq=False, repr=False)
class TrainedEmbeddingNet(BriefRepr):
    """A model with the network of the best epoch as its `metric`, and all epochs."""

    model: Model
    epochs: tuple[EmbeddingEpoch, ...]
    best: EmbeddingEpoch


def train_embedding_net(
    xvectors: ArrayLike,
    speakers: Sequence[str],
    model: Model | None = None,
    options: MetricOptions = MetricOptions(),
    *,
    device: Device = "auto",
    checkpoint: Checkpoint[EmbeddingEpoch] | None = None,
    on_epoch: Callable[[Checkpoint[EmbeddingEpoch]], None] = lambda _: None,
) -> TrainedEmbeddingNet:
    """Train an embedding network on x-vectors of known speakers.

    Arguments are those of `ssahc.api.train_metric`. Training goes on from a checkpoint
    with the same x-vectors, model and options; `on_epoch` is called before training and
    after every epoch.

    Raises a DataError if values are not finite, dimensions or numbers disagree, there
    are too few speakers with at least two x-vectors, or the loss diverges; a UsageError
    if the model lacks what the initialisation needs or gives fewer dimensions than
    asked for, the checkpoint is of another run, or "cuda" is not available.
    """
    place = torch.device("cuda" if has_gpu(device) else "cpu")
    generator = np.random.default_rng(options.seed)
    vectors = as_labelled(xvectors, speakers)
    check_model(model or NO_MODEL)
    training_rows, held_out_rows = _split_speakers(speakers, options, generator)
    rows = np.sort(np.concatenate(training_rows))
    if model is None:
        model = fit_model(vectors[rows], [speakers[row] for row in rows])
    elif model.mean is None:
        # The network is of no use without the mean it was trained with.
        model = replace(model, mean=vectors[rows].mean(axis=0))
    centered = torch.from_numpy(center(vectors, model.mean)).float().to(place)
    held_out = _SpeakerSet.select(centered, _limit_trials(held_out_rows))
    training = _SpeakerSet.select(centered, training_rows)
    weights = [
        # A copy: training must not change the arrays of the model.
        torch.from_numpy(np.array(weight, np.float32, order="C"))
        .to(place)
        .requires_grad_()
        for weight in initial_weights(model, vectors.shape[1], options, generator)
    ]
    objective = Objective(
        options.loss,
        options.objective,
        gamma=options.gamma,
        triplets=options.triplets,
        triplet_form=options.triplet_form,
    )
    parameters = objective.initial_parameters(training.embed(weights), training.labels)
    state: TrainingState[EmbeddingEpoch] = TrainingState(
        weights, parameters, generator, options.lr
    )
    if checkpoint is not None:
        state.restore(checkpoint)
    else:
        state.end_epoch(held_out.rate(weights, EmbeddingEpoch(0)))
        on_epoch(state.checkpoint())
    while not _is_finished(state.epochs, options):
        loss = _train_epoch(training, objective, state, options)
        state.end_epoch(held_out.rate(weights, EmbeddingEpoch(len(state.epochs), loss)))
        on_epoch(state.checkpoint())
    net = as_embedding_net([weight.astype(np.float64) for weight in state.best_weights])
    return TrainedEmbeddingNet(
        replace(model, metric=net), tuple(state.epochs), best_epoch(state.epochs)
    )


def _is_finished(epochs: list[EmbeddingEpoch], options: MetricOptions) -> bool:
    last, best = epochs[-1].number, best_epoch(epochs).number
    return last >= options.epochs or last - best >= options.patience


def _train_epoch(
    training: "_SpeakerSet",
    objective: Objective,
    state: TrainingState[EmbeddingEpoch],
    options: MetricOptions,
) -> float:
    """Take a step for every batch; return the mean loss.

    A DataError is raised if the loss or a weight is not finite, or too large to write.
    """
    losses = []
    for batch in _draw_batches(training.labels, options, state.generator):
        inputs = training.inputs[torch.from_numpy(batch).to(training.inputs.device)]
        loss = objective.evaluate(
            run_network(inputs, state.weights),
            training.labels[batch],
            state.parameters,
            state.generator,
        )
        losses.append(state.step(loss))
    mean = float(np.mean(losses))
    state.check(mean)
    return mean


# ---- data --------------------------------------------------------------------------


def _split_speakers(
    speakers: Sequence[str], options: MetricOptions, generator: np.random.Generator
) -> tuple[list[IntArray], list[IntArray]]:
    """Return the rows of each training speaker, and of each held-out speaker."""
    _, member = np.unique(np.asarray(speakers), return_inverse=True)
    order = np.argsort(member, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(member))[:-1])
    several = [rows for rows in rows_of if len(rows) > 1]
    if len(several) < len(rows_of):
        _logger.warning(
            f"{len(rows_of) - len(several)} of {len(rows_of)} speakers have only one "
            "x-vector and are not used"
        )
    held_out = round(options.validation_share * len(several))
    if options.validation_share > 0:
        held_out = max(held_out, 2)
    fewest = fewest_classes(options.loss)
    if len(several) - held_out < fewest:
        raise DataError(
            f"found {len(several)} speakers with two x-vectors or more, of which "
            f"{held_out} would be held out; the loss {options.loss} needs {fewest} to "
            "train on: give more, or --validation-share 0"
        )
    generator.shuffle(several)
    return several[held_out:], several[:held_out]


def _limit_trials(rows_of: list[IntArray]) -> list[IntArray]:
    """Return whole speakers up to the maximum number of held-out x-vectors.

    A single speaker has at most half of them.
    """
    limited = [rows[: _MAX_HELD_OUT // 2] for rows in rows_of]
    ends = np.cumsum([len(rows) for rows in limited])
    return limited[: int(np.searchsorted(ends, _MAX_HELD_OUT, side="right"))]


def _draw_batches(
    labels: IntArray, options: MetricOptions, generator: np.random.Generator
) -> list[IntArray]:
    """Return batches of P speakers, M x-vectors of each; labels (N,) are ascending."""
    per_speaker, sizes = options.utterances_per_speaker, np.bincount(labels)
    firsts = np.cumsum(sizes) - sizes
    per_batch = min(options.speakers_per_batch, len(sizes))
    batches = []
    for _ in range(-(-len(labels) // (per_batch * per_speaker))):
        drawn = generator.choice(len(sizes), per_batch, replace=False).tolist()
        rows = [
            firsts[speaker] + generator.permutation(sizes[speaker])[:per_speaker]
            for speaker in drawn
        ]
        batches.append(np.concatenate(rows))
    return batches


@dataclass(frozen=True, eq=False)
class _SpeakerSet:
    """Centred x-vectors (N, D) of some speakers, in the order of labels 0..K-1."""

    inputs: Tensor
    labels: IntArray

    @classmethod
    def select(cls, centered: Tensor, rows_of: list[IntArray]) -> "_SpeakerSet":
        rows = np.concatenate([np.zeros(0, np.int64), *rows_of])
        labels = np.repeat(np.arange(len(rows_of)), [len(rows) for rows in rows_of])
        return cls(centered[torch.from_numpy(rows).to(centered.device)], labels)

    def embed(self, weights: list[Tensor]) -> Tensor:
        """Return the embeddings (N, d), computed block by block."""
        with torch.no_grad():
            blocks = torch.split(self.inputs, _BLOCK)
            return torch.cat([run_network(block, weights) for block in blocks])

    def rate(self, weights: list[Tensor], epoch: EmbeddingEpoch) -> EmbeddingEpoch:
        """Return the epoch with error rates over all pairs, if there are any."""
        if len(self.labels) == 0:
            return epoch
        embeddings = self.embed(weights).double().cpu().numpy()
        first, second = np.triu_indices(len(embeddings), 1)
        scores = cosine_affinity(embeddings).dense()[first, second]
        same = self.labels[first] == self.labels[second]
        rates = verify(scores[same], scores[~same])
        return replace(epoch, eer=rates.eer, min_dcf=rates.min_dcf)


# ---- network -----------------------------------------------------------------------


def initial_weights(
    model: Model, dim: int, options: MetricOptions, generator: np.random.Generator
) -> list[FloatArray]:
    """Return the weights that training starts from (`MetricOptions.start`).

    A DataError is raised if the model is not for x-vectors of `dim` dimensions; a
    UsageError if it lacks what the initialisation needs, or gives too few dimensions.
    """
    whitening = np.eye(dim) if model.transform is None else model.transform
    projection = np.eye(len(whitening))
    if options.start == "plda":
        if model.plda is None:
            raise UsageError(
                "the model has no PLDA to start from; use --start whitening, or leave "
                "out --model-dir to estimate a model from these x-vectors"
            )
        projection = model.plda.transform
    if options.start == "random":
        whitening, projection = (
            generator.standard_normal((dim, dim)) / np.sqrt(dim) for _ in range(2)
        )
    width = len(whitening)
    for name, found, expected in (
        ("whitening", transform_dim(whitening, dim), dim),
        ("PLDA", projection.shape[1], width),
    ):
        if found != expected:
            raise DataError(
                f"x-vectors have {expected} dimensions, the model's {name} has {found};"
                " use the model that belongs to the extractor"
            )
    if (options.embedding_dim or 0) > len(projection):
        raise UsageError(
            f"--embedding-dim is {options.embedding_dim}, but --start {options.start} "
            f"gives {len(projection)} dimensions; ask for no more"
        )
    projection = projection[: options.embedding_dim]
    hidden: list[FloatArray] = []
    for _ in range(options.hidden_layers):
        inner = generator.standard_normal((options.hidden_dim, width + 1))
        inner /= np.sqrt(width)
        inner[:, -1] = 0.0
        # With outer weights of 0 a layer adds nothing at first, but has a gradient.
        hidden += [inner, np.zeros((width, options.hidden_dim))]
    return [whitening, *hidden, projection]
