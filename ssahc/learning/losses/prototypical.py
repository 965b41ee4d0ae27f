"""Losses that tell classes apart by the means of their rows.

The sources know batches of N speakers with M utterances each. Here classes have any
number of rows. In GE2E every row is a query, and a prototype the mean of the others of
its class; in the other two losses the first row of each class is its query, and the
prototype always is the mean of the others. A class of one row gives no query, as
nothing would be left of it; its row still is a prototype for the queries of other
classes.

All are the mean cross-entropy (CE) of queries over the classes: 0, with gradients of 0,
if there is one class, or none of two rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssahc.learning.losses.distances import cosines, directions, mean_cross_entropy

# Neither the scale nor, in GE2E, a cosine is smaller.
_SMALLEST = 1e-6


def prototypical(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return the prototypical loss.

    ``CE(-|q - c_k|^2)``: the query q is the first row of its class, the prototype c_k
    the mean of a class's other rows.

    Chung et al., Interspeech 2020, after Snell et al., NeurIPS 2017. Embeddings are
    taken as they are, not scaled to unit length.

    Parameters
    ----------
    embeddings : (N, d) tensor
    labels : (N,) int tensor

    Returns
    -------
    scalar tensor
    """
    split = _split(embeddings, labels)
    # |q|^2 is the same for all prototypes, and softmax takes no notice of it.
    lengths = (split.prototypes**2).sum(dim=1)
    logits = 2 * split.queries @ split.prototypes.T - lengths
    return mean_cross_entropy(logits, split.targets)


def angular_prototypical(
    embeddings: Tensor, labels: Tensor, scale: Tensor, shift: Tensor
) -> Tensor:
    """Return the angular prototypical loss.

    ``CE(w cos(q, c_k) + b)`` with the query q and the prototypes c_k of `prototypical`.

    Chung et al., Interspeech 2020; w and b are learned and start at 10 and -5. The code
    of the authors clamps w but drops the result; here w never is below 1e-6. Softmax
    takes no notice of b, which has a gradient of 0 and is there as in the source.

    Parameters
    ----------
    embeddings : (N, d) tensor
    labels : (N,) int tensor
    scale, shift : scalar tensor
        w and b.

    Returns
    -------
    scalar tensor
    """
    split = _split(embeddings, labels)
    cosine = cosines(split.queries, split.prototypes)
    return mean_cross_entropy(
        scale.clamp(min=_SMALLEST) * cosine + shift, split.targets
    )


def ge2e(embeddings: Tensor, labels: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return the generalized end-to-end loss in its softmax form.

    ``CE(w max(cos(x, c_k), 1e-6) + b)``: every row x is a query, and the prototype c_k
    the mean of all rows of class k, of the query's own class without the query.

    Wan et al., ICASSP 2018, as in the code of Chung et al., Interspeech 2020, who clamp
    the cosines: rows at right angles and beyond repel no more. w and b are learned and
    start at 10 and -5, as in `angular_prototypical`.

    Parameters
    ----------
    embeddings : (N, d) tensor
    labels : (N,) int tensor
    scale, shift : scalar tensor
        w and b.

    Returns
    -------
    scalar tensor
    """
    sums, sizes, classes = _sums(embeddings, labels)
    asks = sizes[classes] > 1
    queries, targets = embeddings[asks], classes[asks]
    own = (sums[targets] - queries) / (sizes[targets] - 1)[:, None]
    to_own = (directions(queries) * directions(own)).sum(dim=1)
    cosine = cosines(queries, sums / sizes[:, None])
    cosine = cosine.scatter(1, targets[:, None], to_own[:, None])
    cosine = cosine.clamp(min=_SMALLEST)
    return mean_cross_entropy(scale.clamp(min=_SMALLEST) * cosine + shift, targets)


@dataclass(frozen=True, eq=False)
class _Split:
    """A query of each class that has one, and the prototypes of all.

    Attributes
    ----------
    queries : (Q, d) tensor
    targets : (Q,) int tensor
        The classes of the queries, 0..K-1.
    prototypes : (K, d) tensor
    """

    queries: Tensor
    targets: Tensor
    prototypes: Tensor


def _split(embeddings: Tensor, labels: Tensor) -> _Split:
    sums, sizes, classes = _sums(embeddings, labels)
    rows = torch.arange(len(labels), device=labels.device)
    none = torch.full_like(sizes, len(labels), dtype=torch.long)
    first = embeddings[none.scatter_reduce(0, classes, rows, "amin")]
    asks = sizes > 1
    others = torch.where(asks[:, None], sums - first, sums)
    prototypes = others / (sizes - 1).clamp(min=1)[:, None]
    return _Split(first[asks], asks.nonzero()[:, 0], prototypes)


def _sums(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums (K, d) of classes, their sizes (K,), and rows' classes 0..K-1."""
    _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    sums = embeddings.new_zeros(len(sizes), embeddings.shape[1])
    return sums.index_add(0, classes, embeddings), sizes, classes
