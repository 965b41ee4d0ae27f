"""A metric that is learned once, from x-vectors whose speakers are known.

The network starts as what a model with mean, whitening and PLDA makes of x-vectors, so
that it has nothing to find that these know already. Speakers that it does not learn
from tell after each epoch how well it separates new ones; what is returned is the
network of the best epoch, be it the start.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ssahc.errors import DataError, UsageError
from ssahc.metric.network import as_metric, run_layers
from ssahc.metric.objective import Objective
from ssahc.metric.options import MetricOptions
from ssahc.metric.state import Checkpoint, Epoch, State, best_epoch
from ssahc.nn.train import Device, has_gpu
from ssahc.preprocess import center
from ssahc.training import as_labelled, fit_model
from ssahc.types import FloatArray, IntArray, Model
from ssahc.verification import verify

# Pairs of so many held-out x-vectors at most are the trials that an epoch is judged by.
_MOST_VALIDATED = 1000
# Vectors that are embedded at once.
_BLOCK = 8192

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainedMetric:
    """A model with a metric, and how it came about.

    Attributes
    ----------
    model : Model
        That training started from, and the metric.
    epochs : tuple of Epoch
    best : Epoch
        The one that the metric is of.
    """

    model: Model
    epochs: tuple[Epoch, ...]
    best: Epoch


def train_metric(
    xvectors: ArrayLike,
    speakers: Sequence[str],
    model: Model | None = None,
    options: MetricOptions = MetricOptions(),  # noqa: B008
    *,
    device: Device = "auto",
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Checkpoint], None] = lambda _: None,
) -> TrainedMetric:
    """Train a metric on x-vectors of known speakers.

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted.
    speakers : sequence of N str
        Speaker of every x-vector.
    model : Model, optional
        Its mean is subtracted; its whitening and PLDA are where the network starts. If
        not given, it is estimated from the speakers that are not held out
        (`ssahc.training.fit_model`).
    options : MetricOptions
    device : {"auto", "cpu", "cuda"}
    checkpoint : Checkpoint, optional
        Go on from there; x-vectors, model and options must be those of then.
    on_epoch : callable
        Told how things stand at the start and after every epoch.

    Returns
    -------
    TrainedMetric

    Raises
    ------
    DataError
        If values are not finite, dimensions or numbers disagree, there are too few
        speakers with two x-vectors or more, or the loss is no longer finite.
    UsageError
        If the model lacks what the start needs, or "cuda" is asked for and there is
        none.
    """
    place = torch.device("cuda" if has_gpu(device) else "cpu")
    generator = np.random.default_rng(options.seed)
    vectors = as_labelled(xvectors, speakers)
    rows_of, validation = _split(speakers, options, generator)
    if model is None:
        rows = np.sort(np.concatenate(rows_of))
        model = fit_model(vectors[rows], [speakers[row] for row in rows])
    centered = center(vectors, model.mean).astype(np.float32)
    inputs = torch.from_numpy(centered).to(place)
    held_out = _HeldOut.draw(inputs, validation, generator)
    labels = np.full(len(centered), -1)
    for label, rows in enumerate(rows_of):
        labels[rows] = label
    layers = [
        torch.from_numpy(layer.astype(np.float32)).to(place).requires_grad_()
        for layer in start_layers(model, centered.shape[1], options, generator)
    ]
    training = np.flatnonzero(labels >= 0)
    with torch.no_grad():
        at_start = _embed(inputs[torch.from_numpy(training).to(place)], layers)
    objective = Objective(
        options.loss,
        options.objective,
        gamma=options.gamma,
        triplets=options.triplets,
        triplet_form=options.triplet_form,
    )
    parameters = objective.start(at_start, labels[training])
    state = State(layers, parameters, generator, options.lr)
    if checkpoint is None:
        state.end_epoch(held_out.judge(layers, Epoch(0)))
        on_epoch(state.keep())
    else:
        state.restore(checkpoint)
    while _goes_on(state.epochs, options):
        losses = []
        for batch in _batches(rows_of, len(training), options, generator):
            embeddings = run_layers(inputs[torch.from_numpy(batch).to(place)], layers)
            loss = objective.evaluate(embeddings, labels[batch], parameters, generator)
            losses.append(state.step(loss))
        epoch = Epoch(len(state.epochs), float(np.mean(losses)))
        _refuse_divergence(epoch, layers)
        state.end_epoch(held_out.judge(layers, epoch))
        on_epoch(state.keep())
    metric = as_metric([layer.astype(np.float64) for layer in state.best])
    return TrainedMetric(
        replace(model, metric=metric), tuple(state.epochs), best_epoch(state.epochs)
    )


def _goes_on(epochs: list[Epoch], options: MetricOptions) -> bool:
    stale = epochs[-1].number - best_epoch(epochs).number
    return epochs[-1].number < options.epochs and stale < options.patience


def _refuse_divergence(epoch: Epoch, layers: list[Tensor]) -> None:
    is_finite = all(bool(torch.isfinite(layer).all()) for layer in layers)
    if not (is_finite and epoch.loss is not None and isfinite(epoch.loss)):
        raise DataError(
            f"the loss of epoch {epoch.number} or the network it left is not finite; "
            "train with a smaller --lr"
        )


# ---- data --------------------------------------------------------------------------


def _split(
    speakers: Sequence[str], options: MetricOptions, generator: np.random.Generator
) -> tuple[list[IntArray], list[IntArray]]:
    """Return the rows of each speaker to learn from, and of each held out."""
    _, member = np.unique(np.asarray(speakers), return_inverse=True)
    order = np.argsort(member, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(member))[:-1])
    several = [rows for rows in groups if len(rows) > 1]
    if len(several) < len(groups):
        _logger.warning(
            "%d of %d speakers have one x-vector only and are left out",
            *(len(groups) - len(several), len(groups)),
        )
    held = round(options.validation_share * len(several))
    if options.validation_share > 0:
        held = max(held, 2)
    if len(several) - held < 2:
        raise DataError(
            f"found {len(several)} speakers with two x-vectors or more, and {held} of "
            "them would be held out; a metric needs two to learn from, so give more, "
            "or --validation-share 0"
        )
    generator.shuffle(several)
    return several[held:], several[:held]


def _batches(
    rows_of: list[IntArray],
    count: int,
    options: MetricOptions,
    generator: np.random.Generator,
) -> list[IntArray]:
    """Return the batches of an epoch: P speakers, M x-vectors of each."""
    most = options.utterances_per_speaker
    drawn = min(options.speakers_per_batch, len(rows_of))
    batches = []
    for _ in range(-(-count // (drawn * most))):
        speakers = generator.choice(len(rows_of), drawn, replace=False)
        rows = [generator.permutation(rows_of[speaker])[:most] for speaker in speakers]
        batches.append(np.concatenate(rows))
    return batches


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """X-vectors of speakers that are not learned from; none if there are no labels."""

    inputs: Tensor
    labels: IntArray

    @classmethod
    def draw(
        cls, inputs: Tensor, rows_of: list[IntArray], generator: np.random.Generator
    ) -> "_HeldOut":
        rows = np.concatenate([np.zeros(0, np.int64), *rows_of])
        labels = np.repeat(np.arange(len(rows_of)), [len(one) for one in rows_of])
        if len(rows) > _MOST_VALIDATED:
            kept = np.sort(generator.choice(len(rows), _MOST_VALIDATED, replace=False))
            rows, labels = rows[kept], labels[kept]
        return cls(inputs[torch.from_numpy(rows).to(inputs.device)], labels)

    def judge(self, layers: list[Tensor], epoch: Epoch) -> Epoch:
        """Return the epoch with error rates."""
        if len(self.labels) == 0:
            return epoch
        with torch.no_grad():
            embeddings = _embed(self.inputs, layers).double().cpu().numpy()
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit = embeddings / np.where(lengths > 0, lengths, 1.0)
        first, second = np.triu_indices(len(unit), 1)
        scores = (unit @ unit.T)[first, second]
        same = self.labels[first] == self.labels[second]
        rates = verify(scores[same], scores[~same])
        return replace(epoch, eer=rates.eer, min_dcf=rates.min_dcf)


def _embed(inputs: Tensor, layers: list[Tensor]) -> Tensor:
    """Return embeddings, a block of rows at a time."""
    return torch.cat(
        [run_layers(block, layers) for block in torch.split(inputs, _BLOCK)]
    )


# ---- network -----------------------------------------------------------------------


def start_layers(
    model: Model, dim: int, options: MetricOptions, generator: np.random.Generator
) -> list[FloatArray]:
    """Return the weights that training starts from (`MetricOptions.start`).

    Parameters
    ----------
    model : Model
    dim : int
        D, of the x-vectors.
    options : MetricOptions
    generator : numpy.random.Generator
        Of what is drawn.

    Raises
    ------
    UsageError
        If the model lacks what the start needs.
    """
    whitening = np.eye(dim) if model.transform is None else model.transform
    projection = np.eye(dim)
    if options.start == "plda":
        if model.plda is None:
            raise UsageError(
                "the model holds no PLDA to start from; use --start whitening, or "
                "leave out --model-dir: a model is then estimated from these x-vectors"
            )
        projection = model.plda.transform
    if options.start == "random":
        whitening, projection = (
            generator.standard_normal((dim, dim)) / np.sqrt(dim) for _ in range(2)
        )
    if options.embedding_dim is not None:
        projection = projection[: options.embedding_dim]
    hidden: list[FloatArray] = []
    for _ in range(options.hidden_layers):
        inner = generator.standard_normal((options.hidden_dim, dim + 1)) / np.sqrt(dim)
        inner[:, -1] = 0.0
        # What is added is nothing at first, and has a gradient.
        hidden += [inner, np.zeros((dim, options.hidden_dim))]
    return [whitening, *hidden, projection]
