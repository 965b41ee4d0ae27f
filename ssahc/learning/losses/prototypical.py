"""Losses that compare rows with class prototypes, the means of rows.

The papers use batches of N speakers with M utterances each; here classes may have any
number of rows. In GE2E every row is a query, and the prototype of its class is the mean
of the other rows. In the other two losses the first row of each class is its query, and
the prototype is the mean of the other rows. A class with a single row has no query,
since no row would be left for its prototype; its row is the prototype that queries of
other classes are compared with.

All are the mean cross-entropy (CE) of queries over the classes: 0, with gradients of
0, if there is one class, or no class with two rows.

Embeddings are (N, d), labels (N,) any whole numbers, the learned `scale` w and `shift`
b scalars; a loss is a scalar.
"""

import torch
from torch import Tensor

from ssahc.learning.losses.distances import cosines, mean_cross_entropy, normalize_rows

# Lower bound of the scale and, in GE2E, of cosines.
_SMALLEST = 1e-6


def prototypical(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return the prototypical loss: ``CE(-|q - c_k|^2)``.

    q is the first row of its class, c_k the mean of the other rows of class k.

    Chung et al., Interspeech 2020, after Snell et al., NeurIPS 2017. Embeddings are not
    scaled to unit length.
    """
    queries, targets, prototypes = _split(embeddings, labels)
    # |q|^2 is the same for all prototypes and does not change the softmax.
    lengths = (prototypes**2).sum(dim=1)
    return mean_cross_entropy(2 * queries @ prototypes.T - lengths, targets)


def angular_prototypical(
    embeddings: Tensor, labels: Tensor, scale: Tensor, shift: Tensor
) -> Tensor:
    """Return the angular prototypical loss: ``CE(w cos(q, c_k) + b)``.

    q and c_k are those of `prototypical`.

    Chung et al., Interspeech 2020; w and b are learned, from 10 and -5. The authors'
    code clamps w but drops the result; here w is at least 1e-6. b does not change the
    softmax and has a gradient of 0; it is kept as in the source.
    """
    queries, targets, prototypes = _split(embeddings, labels)
    cosine = cosines(queries, prototypes)
    return mean_cross_entropy(scale.clamp(min=_SMALLEST) * cosine + shift, targets)


def ge2e(embeddings: Tensor, labels: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return the generalized end-to-end loss (GE2E) in its softmax form.

    ``CE(w max(cos(x, c_k), 1e-6) + b)``: every row x is a query; c_k is the mean of all
    rows of class k except x.

    Wan et al., ICASSP 2018, as in the code of Chung et al., Interspeech 2020, which
    clamps the cosines: rows at right angles or beyond do not repel each other. w and b
    are learned, from 10 and -5, as in `angular_prototypical`.
    """
    sums, sizes, classes = _sum_classes(embeddings, labels)
    is_query = sizes[classes] > 1
    queries, targets = embeddings[is_query], classes[is_query]
    own = (sums[targets] - queries) / (sizes[targets] - 1)[:, None]
    to_own = (normalize_rows(queries) * normalize_rows(own)).sum(dim=1)
    cosine = cosines(queries, sums / sizes[:, None])
    cosine = cosine.scatter(1, targets[:, None], to_own[:, None])
    cosine = cosine.clamp(min=_SMALLEST)
    return mean_cross_entropy(scale.clamp(min=_SMALLEST) * cosine + shift, targets)


def _split(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries (Q, d), their classes (Q,), and the prototypes (K, d)."""
    sums, sizes, classes = _sum_classes(embeddings, labels)
    rows = torch.arange(len(labels), device=labels.device)
    none = torch.full_like(sizes, len(labels), dtype=torch.long)
    first = embeddings[none.scatter_reduce(0, classes, rows, "amin")]
    has_query = sizes > 1
    others = torch.where(has_query[:, None], sums - first, sums)
    prototypes = others / (sizes - 1).clamp(min=1)[:, None]
    return first[has_query], has_query.nonzero()[:, 0], prototypes


def _sum_classes(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return class sums (K, d) and sizes (K,), and the class 0..K-1 of each row."""
    _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    sums = embeddings.new_zeros(len(sizes), embeddings.shape[1])
    return sums.index_add(0, classes, embeddings), sizes, classes
