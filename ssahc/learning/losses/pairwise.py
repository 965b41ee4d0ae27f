"""Losses over pairs, triplets and quadruplets of embeddings.

Embeddings are scaled to unit length. A loss is the mean over all tuples, including
those that cost nothing; without tuples it is 0 with a gradient of 0. The distances of
all rows are computed at once, so that memory grows with N^2 and not with d times the
number of tuples, which may be of order N^3.

Embeddings are (N, d), a loss is a scalar. a is the anchor, p its positive (a row of the
same class), n a negative, and d a distance.
"""

from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import relu

from ssahc.core.types import Float32Array
from ssahc.learning.losses.distances import distances, normalize_rows
from ssahc.learning.losses.options import Distance
from ssahc.learning.losses.ssa import ExpectedTriplets, SampledTriplets

SsaLoss = TypeVar("SsaLoss", ExpectedTriplets, SampledTriplets)
# For squared distances (the code of Narayanaswamy et al.).
MARGIN = 0.8


def triplet(
    embeddings: Tensor,
    triplets: Tensor,
    *,
    margin: float = MARGIN,
    distance: Distance = "squared",
) -> Tensor:
    """Return the triplet loss: ``mean max(0, d(a,p) - d(a,n) + margin)``.

    Narayanaswamy et al., ICASSP 2019, with the squared distance and margin of their
    code. A cosine distance is half the squared distance: with a margin of 0.4 the loss
    is half as large, and it is the triplet loss of Coria et al. (2020). Triplets (T, 3)
    are rows of anchor, positive, negative; the margin is in units of the distance.
    """
    apart = distances(embeddings, distance)
    anchor, positive, negative = triplets.T
    return _hinge(apart[anchor, positive], apart[anchor, negative], margin)


def quadruplet(
    embeddings: Tensor,
    quadruplets: Tensor,
    *,
    margin: float = MARGIN,
    second_margin: float = MARGIN / 2,
    distance: Distance = "squared",
) -> Tensor:
    """Return the quadruplet loss.

    ``mean max(0, d(a,p) - d(a,n1) + margin)
    + mean max(0, d(a,p) - d(n1,n2) + second_margin)``

    Narayanaswamy et al., ICASSP 2019, with the squared distance and margins of their
    code. The second term makes positive pairs closer than pairs of two other classes.
    Quadruplets (T, 4) are rows of anchor, positive, and two negatives of different
    classes.
    """
    apart = distances(embeddings, distance)
    anchor, positive, first, second = quadruplets.T
    within = apart[anchor, positive]
    return _hinge(within, apart[anchor, first], margin) + _hinge(
        within, apart[first, second], second_margin
    )


def contrastive(
    embeddings: Tensor, pairs: Tensor, same: Tensor, *, margin: float = 0.4
) -> Tensor:
    """Return the contrastive loss.

    ``mean f(x, y) / 2`` with ``f = d^2`` for a pair of one class and
    ``f = max(0, margin - d)^2`` for other pairs; d is the cosine distance
    1 - cos(x, y). Pairs are (T, 2).

    Coria et al., "A comparison of metric learning loss functions for end-to-end speaker
    verification", 2020; their margin is a fifth of the largest distance, 2.
    """
    first, second = pairs.T
    apart = distances(embeddings, "cosine")[first, second]
    return _mean(torch.where(same, apart, relu(margin - apart)) ** 2) / 2


def ssa(embeddings: Tensor, loss: SsaLoss) -> Tensor:
    """Return SSA's triplet loss (`ssahc.learning.losses.ssa`) to be differentiated.

    ``mean 1 - A(a,p) + gamma (A(a,n) + A(p,n))`` with the cosine A; the form of the
    paper has no A(p,n).

    Singh & Ganapathy, Interspeech 2020, Eq. 3.
    """

    def place(array: Float32Array) -> Tensor:
        return torch.from_numpy(array).to(embeddings)

    unit = normalize_rows(embeddings)[None]
    quadratic = type(loss).stack([loss], len(embeddings), place)
    # The gradient is linear in the embeddings; its product with them is the quadratic
    # form, which torch can differentiate.
    return quadratic.values(unit, quadratic.gradient(unit))[0]


def _hinge(near: Tensor, far: Tensor, margin: float) -> Tensor:
    return _mean(relu(near - far + margin))


def _mean(costs: Tensor) -> Tensor:
    """Return the mean; without costs 0, which still has a gradient."""
    return costs.sum() / max(len(costs), 1)
