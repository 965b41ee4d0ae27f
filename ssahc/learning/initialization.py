"""What the network of a recording is before it has learned."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssahc.backend.embedding_net import apply_embedding_net
from ssahc.backend.plda import project_to_latent
from ssahc.backend.preprocess import (
    center,
    length_normalize,
    principal_directions,
    whiten_and_normalize,
)
from ssahc.backend.shrinkage import shrunk_directions
from ssahc.core.errors import UsageError
from ssahc.core.types import EmbeddingNet, FloatArray, Model

FirstLayer = Literal["model", "whitened"]
SecondLayer = Literal["pca", "shrunk"]


@dataclass(frozen=True, eq=False)
class Start:
    """The network of a recording at its start, and what it makes of it.

    Attributes
    ----------
    inputs : (N, D) array
        What goes into the network.
    first : (D, D) or (D, D + 1) array
        W1, an offset in the last column if there is one.
    second : (d, D) array
        W2.
    vectors : (N, d) array
        What comes out, of whatever length.
    """

    inputs: FloatArray
    first: FloatArray
    second: FloatArray
    vectors: FloatArray


def start_network(
    xvectors: FloatArray,
    model: Model,
    *,
    start: FirstLayer,
    projection: SecondLayer,
    pca_dim: int,
) -> Start:
    """Return the network of one recording at its start.

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted.
    model : Model
    start : {"model", "whitened"}
        W1 is the model's whitening of the centred x-vectors (Section 3 of the paper);
        or they are whitened before, so that windows of one speaker vary alike in all
        directions if the model has a PLDA, and W1 is the identity: a learning rate then
        means the same for any extractor. A trained metric takes the place of both:
        W1 and W2 are its own, or what it makes of x-vectors is what W1 starts from.
    projection : {"pca", "shrunk"}
        W2 is the first `pca_dim` directions of the recording's PCA (the paper), or all
        that stand out from noise (`ssahc.backend.shrinkage`); the former where none
        does. Of no meaning where W2 is a metric's.
    pca_dim : int
        Dimensions of the network's output; no more than N or D are there.

    Raises
    ------
    DataError
        If the dimensions of x-vectors and model disagree.
    UsageError
        As `check_start`.
    """
    check_start(start, model)
    centered = center(xvectors, model.mean)
    if start == "model" and model.metric is not None:
        return _start_as_metric(centered, model.metric)
    vectors = whiten_and_normalize(centered, model)
    if start == "model":
        inputs, first = _absorb_offset(centered, model.transform)
    else:
        inputs = vectors
        if model.metric is not None:
            inputs = apply_embedding_net(centered, model.metric)
        elif model.plda is not None:
            inputs = project_to_latent(vectors, model.plda)
        vectors, first = length_normalize(inputs), np.eye(inputs.shape[1])
    second = vectors[:0]
    if projection == "shrunk":
        second = shrunk_directions(vectors)
    if len(second) == 0:
        second = principal_directions(vectors, pca_dim)
    return Start(inputs, first, second, vectors @ second.T)


def check_start(start: FirstLayer, model: Model) -> None:
    """Check that a model can be the start of a recording's network.

    Raises
    ------
    UsageError
        If the start is to be the model and its metric has more than two layers.
    """
    if start == "model" and model.metric is not None and model.metric.hidden:
        raise UsageError(
            "the metric has hidden layers, which the network of a recording has no "
            "place for; use --start whitened, which goes on from what the metric gives"
        )


def _start_as_metric(centered: FloatArray, metric: EmbeddingNet) -> Start:
    """Return the network that has the two layers of a metric."""
    inputs, first = _absorb_offset(centered, metric.whitening)
    return Start(
        inputs, first, metric.projection, apply_embedding_net(centered, metric)
    )


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
