"""A metric that is learned once, from x-vectors whose speakers are known.

The network starts as what a model with mean, whitening and PLDA makes of x-vectors (but
for the mean of the PLDA, which has no place in it), so that it has nothing to find that
these know already. Speakers that it does not learn
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

from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.embedding_net import as_embedding_net, run_network
from ssahc.backend.preprocess import center
from ssahc.backend.training import as_labelled, fit_model
from ssahc.core.errors import DataError, UsageError
from ssahc.core.model import check_model
from ssahc.core.types import LARGEST, NO_MODEL, FloatArray, IntArray, Model
from ssahc.learning.embedding_state import Checkpoint, Epoch, State, best_epoch
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import MetricOptions, fewest_classes
from ssahc.runtime.device import Device, has_gpu
from ssahc.scoring.detection import verify

# All pairs of so many held-out x-vectors at most are the trials of an epoch.
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
    options: MetricOptions = MetricOptions(),
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
        (`ssahc.backend.training.fit_model`), and so is a mean that it lacks.
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
        If the model lacks what the start needs, more dimensions are wanted than it
        gives, the checkpoint is of another run, or "cuda" is asked for and there is
        none.
    """
    place = torch.device("cuda" if has_gpu(device) else "cpu")
    generator = np.random.default_rng(options.seed)
    vectors = as_labelled(xvectors, speakers)
    check_model(model or NO_MODEL)
    learned_from, held_out = _split(speakers, options, generator)
    rows = np.sort(np.concatenate(learned_from))
    if model is None:
        model = fit_model(vectors[rows], [speakers[row] for row in rows])
    elif model.mean is None:
        # A metric is of no use without the mean that it was trained with.
        model = replace(model, mean=vectors[rows].mean(axis=0))
    centered = torch.from_numpy(center(vectors, model.mean)).float().to(place)
    trials = _Group.take(centered, _thin_out(held_out))
    group = _Group.take(centered, learned_from)
    layers = [
        # A copy: the model's own arrays must not be trained.
        torch.from_numpy(np.array(layer, np.float32, order="C"))
        .to(place)
        .requires_grad_()
        for layer in start_layers(model, vectors.shape[1], options, generator)
    ]
    objective = Objective(
        options.loss,
        options.objective,
        gamma=options.gamma,
        triplets=options.triplets,
        triplet_form=options.triplet_form,
    )
    parameters = objective.initial_parameters(group.embed(layers), group.labels)
    state = State(layers, parameters, generator, options.lr)
    if checkpoint is not None:
        state.restore(checkpoint)
    else:
        state.end_epoch(trials.judge(layers, Epoch(0)))
        on_epoch(state.keep())
    while _goes_on(state.epochs, options):
        epoch = Epoch(len(state.epochs), _train_epoch(group, objective, state, options))
        state.end_epoch(trials.judge(layers, epoch))
        on_epoch(state.keep())
    metric = as_embedding_net([layer.astype(np.float64) for layer in state.best])
    return TrainedMetric(
        replace(model, metric=metric), tuple(state.epochs), best_epoch(state.epochs)
    )


def _goes_on(epochs: list[Epoch], options: MetricOptions) -> bool:
    stale = epochs[-1].number - best_epoch(epochs).number
    return epochs[-1].number < options.epochs and stale < options.patience


def _train_epoch(
    group: "_Group", objective: Objective, state: State, options: MetricOptions
) -> float:
    """Take a step for every batch; return the mean loss.

    Raises
    ------
    DataError
        If the loss or the network is no longer finite, or too large to be written.
    """
    losses = []
    for batch in _draw_batches(group.labels, options, state.generator):
        inputs = group.inputs[torch.from_numpy(batch).to(group.inputs.device)]
        loss = objective.evaluate(
            run_network(inputs, state.layers),
            group.labels[batch],
            state.parameters,
            state.generator,
        )
        losses.append(state.step(loss))
    mean = float(np.mean(losses))
    usable = all(bool((layer.abs() < LARGEST).all()) for layer in state.layers)
    if not (usable and isfinite(mean)):
        raise DataError(
            f"the loss of epoch {len(state.epochs)} or the network it left is not "
            f"finite, or beyond {LARGEST:g}; train with a smaller --lr"
        )
    return mean


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
    fewest = fewest_classes(options.loss)
    if len(several) - held < fewest:
        raise DataError(
            f"found {len(several)} speakers with two x-vectors or more, and {held} of "
            f"them would be held out; the loss {options.loss} needs {fewest} to learn "
            "from, so give more, or --validation-share 0"
        )
    generator.shuffle(several)
    return several[held:], several[:held]


def _thin_out(rows_of: list[IntArray]) -> list[IntArray]:
    """Return speakers with their rows, so many that all pairs of these can be trials.

    They are whole speakers, but for those with half of all rows that there may be.
    """
    thinned = [rows[: _MOST_VALIDATED // 2] for rows in rows_of]
    ends = np.cumsum([len(rows) for rows in thinned])
    return thinned[: int(np.searchsorted(ends, _MOST_VALIDATED, side="right"))]


def _draw_batches(
    labels: IntArray, options: MetricOptions, generator: np.random.Generator
) -> list[IntArray]:
    """Return the batches of an epoch: P speakers, M x-vectors of each.

    Parameters
    ----------
    labels : (N,) int array
        Speakers 0..K-1, increasing.
    options : MetricOptions
    generator : numpy.random.Generator
    """
    most, sizes = options.utterances_per_speaker, np.bincount(labels)
    firsts = np.cumsum(sizes) - sizes
    drawn = min(options.speakers_per_batch, len(sizes))
    batches = []
    for _ in range(-(-len(labels) // (drawn * most))):
        speakers = generator.choice(len(sizes), drawn, replace=False).tolist()
        rows = [firsts[s] + generator.permutation(sizes[s])[:most] for s in speakers]
        batches.append(np.concatenate(rows))
    return batches


@dataclass(frozen=True, eq=False)
class _Group:
    """X-vectors of some speakers, those of one before those of the next.

    Attributes
    ----------
    inputs : (N, D) tensor
        Centred.
    labels : (N,) int array
        Speakers 0..K-1, increasing.
    """

    inputs: Tensor
    labels: IntArray

    @classmethod
    def take(cls, centered: Tensor, rows_of: list[IntArray]) -> "_Group":
        rows = np.concatenate([np.zeros(0, np.int64), *rows_of])
        labels = np.repeat(np.arange(len(rows_of)), [len(rows) for rows in rows_of])
        return cls(centered[torch.from_numpy(rows).to(centered.device)], labels)

    def embed(self, layers: list[Tensor]) -> Tensor:
        """Return embeddings (N, d), made a block of rows at a time."""
        with torch.no_grad():
            blocks = torch.split(self.inputs, _BLOCK)
            return torch.cat([run_network(block, layers) for block in blocks])

    def judge(self, layers: list[Tensor], epoch: Epoch) -> Epoch:
        """Return the epoch with error rates, if there are speakers to judge it by."""
        if len(self.labels) == 0:
            return epoch
        embeddings = self.embed(layers).double().cpu().numpy()
        first, second = np.triu_indices(len(embeddings), 1)
        scores = cosine_affinity(embeddings).dense()[first, second]
        same = self.labels[first] == self.labels[second]
        rates = verify(scores[same], scores[~same])
        return replace(epoch, eer=rates.eer, min_dcf=rates.min_dcf)


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
    DataError
        If its parts are not for this dimension.
    UsageError
        If the model lacks what the start needs, or more dimensions are wanted than it
        gives.
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
    for part, what in ((whitening, "whitening"), (projection.T, "PLDA")):
        if len(part) != dim:
            raise DataError(
                f"x-vectors have {dim} dimensions, the model's {what} has {len(part)}; "
                "use the model that belongs to the extractor"
            )
    if (options.embedding_dim or 0) > len(projection):
        raise UsageError(
            f"--embedding-dim is {options.embedding_dim}, but --start {options.start} "
            f"gives {len(projection)} dimensions; ask for no more"
        )
    projection = projection[: options.embedding_dim]
    hidden: list[FloatArray] = []
    for _ in range(options.hidden_layers):
        inner = generator.standard_normal((options.hidden_dim, dim + 1)) / np.sqrt(dim)
        inner[:, -1] = 0.0
        # What is added is nothing at first, and has a gradient.
        hidden += [inner, np.zeros((dim, options.hidden_dim))]
    return [whitening, *hidden, projection]
