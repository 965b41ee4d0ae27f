"""The network of a recording before it is trained."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssahc.backend.embedding_net import apply_embedding_net
from ssahc.backend.prepared import PreparedXvectors
from ssahc.backend.preprocess import length_normalize, principal_directions
from ssahc.backend.shrinkage import shrunk_directions
from ssahc.core.errors import UsageError
from ssahc.core.types import FloatArray, Model

FirstLayer = Literal["model", "whitened"]
SecondLayer = Literal["pca", "shrunk"]


@dataclass(frozen=True, eq=False)
class InitialNetwork:
    """The untrained network of a recording, with its input and output.

    Inputs are (N, D), W1 is (D', D), or (D', D + 1) with an offset in the last column,
    W2 is (d, D'), where D' is D unless the whitening projects (LDA); the output
    `vectors` (N, d) is not yet scaled to unit length.
    """

    inputs: FloatArray
    first: FloatArray
    second: FloatArray
    vectors: FloatArray


def start_network(
    xvectors: PreparedXvectors,
    *,
    start: FirstLayer,
    projection: SecondLayer,
    pca_dim: int,
) -> InitialNetwork:
    """Return the untrained network of one recording.

    Start "model": W1 is the model's whitening of the centred x-vectors (Section 3 of
    the paper). "whitened": the input is whitened, by the PLDA as well if there is one,
    and W1 is the identity: a learning rate then means the same for any extractor. A
    trained embedding network takes the place of both: W1 and W2 are its own, or its
    output is the input.

    Otherwise W2 is the first `pca_dim` directions of the recording's PCA ("pca", the
    paper; 0 for all), or all that stand out from noise ("shrunk",
    `ssahc.backend.shrinkage`; the former if none does).
    """
    model, net = xvectors.model, xvectors.model.metric
    check_start(start, model)
    if start == "model" and net is not None:
        inputs, first = _absorb_offset(xvectors.centered, net.whitening)
        vectors = apply_embedding_net(xvectors.centered, net)
        return InitialNetwork(inputs, first, net.projection, vectors)
    if start == "model":
        vectors = xvectors.whitened
        inputs, first = _absorb_offset(xvectors.centered, model.transform)
    else:
        if net is not None:
            inputs = apply_embedding_net(xvectors.centered, net)
        elif model.plda is not None:
            inputs = xvectors.latent
        else:
            inputs = xvectors.whitened
        vectors, first = length_normalize(inputs), np.eye(inputs.shape[1])
    second = vectors[:0]
    if projection == "shrunk":
        second = shrunk_directions(vectors)
    if len(second) == 0:
        second = principal_directions(vectors, pca_dim or vectors.shape[1])
    return InitialNetwork(inputs, first, second, vectors @ second.T)


def check_start(start: FirstLayer, model: Model) -> None:
    """Raise a UsageError for the start "model" from a network with hidden layers."""
    if start == "model" and model.metric is not None and model.metric.hidden:
        raise UsageError(
            "the metric has hidden layers, but the network of a recording has none; "
            "use --start whitened, which starts from the metric's embeddings"
        )


def _absorb_offset(
    centered: FloatArray, transform: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Move the offset of an affine whitening into the network's input (N, D).

    The same whitening can be written with any split between mean and offset, but the
    gradient of W1 is an outer product with the input: training does not depend on the
    split only if inputs are centred at zero. What a singular transform cannot absorb
    stays as an offset, in the last column of the returned whitening (D', D + 1).
    """
    dim = centered.shape[1]
    if transform is None:
        transform = np.eye(dim)
    linear, offset = transform[:, :dim], transform[:, dim:].sum(axis=1)
    if not offset.any():
        return centered, linear
    shift = np.linalg.lstsq(linear, offset, rcond=None)[0]
    rest = offset - linear @ shift
    return centered + shift, np.column_stack([linear, rest])
