"""Classification losses, with a learned weight vector for each class.

All are a cross-entropy (CE), the mean over rows of ``-log softmax(logits)[y]`` where y
is the class of the row; they differ in the logits. Without rows a loss is 0 with
gradients of 0; with a single class the cross-entropy is 0.

Embeddings x are (N, d), labels y (N,) whole numbers 0..K-1, class weights W and centers
c (K, d), a bias b (K,); a loss is a scalar. theta_k is the angle between x and W_k. The
length of class weights matters only in `softmax` and `center`.
"""

from math import cos, log, pi, sin, sqrt

import torch
from torch import Tensor

from ssahc.learning.losses.distances import cosines, mean_cross_entropy, safe_sqrt


def softmax(embeddings: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the softmax loss: ``CE(W x + b)``.

    Chung et al., "In defence of metric learning for speaker recognition", Interspeech
    2020. Embeddings are not scaled to unit length.
    """
    return mean_cross_entropy(embeddings @ weight.T + bias, labels)


def am_softmax(
    embeddings: Tensor,
    labels: Tensor,
    weight: Tensor,
    *,
    margin: float = 0.3,
    scale: float = 30.0,
) -> Tensor:
    """Return the additive margin softmax loss (CosFace).

    CE with the logits ``scale (cos theta_y - margin)`` for the row's own class and
    ``scale cos theta_k`` for the others.

    Chung et al., Interspeech 2020, with margin and scale of their recipe. The margin is
    a difference of cosines.
    """
    cosine = cosines(embeddings, weight)
    own = _gather_own(cosine, labels) - margin
    return mean_cross_entropy(scale * _replace_own(cosine, labels, own), labels)


def aam_softmax(
    embeddings: Tensor,
    labels: Tensor,
    weight: Tensor,
    *,
    margin: float = 0.3,
    scale: float = 15.0,
) -> Tensor:
    """Return the additive angular margin softmax loss (ArcFace).

    CE with the logits ``scale cos(theta_y + margin)`` for the row's own class and
    ``scale cos theta_k`` for the others. The margin is an angle in radians, 0 to pi.
    Beyond theta_y = pi - margin, where the cosine would increase again, the own logit
    is ``scale (cos theta_y - margin sin margin)``.

    Chung et al., Interspeech 2020, with margin and scale of their implementation, which
    also has this fallback.
    """
    cosine = cosines(embeddings, weight)
    own = _gather_own(cosine, labels)
    # cos(theta + m) = cos theta cos m - sin theta sin m
    shifted = own * cos(margin) - safe_sqrt(1 - own**2) * sin(margin)
    own = torch.where(own > cos(pi - margin), shifted, own - margin * sin(margin))
    return mean_cross_entropy(scale * _replace_own(cosine, labels, own), labels)


def congenerous_cosine(
    embeddings: Tensor, labels: Tensor, weight: Tensor, *, scale: float | None = None
) -> Tensor:
    """Return the congenerous cosine loss: ``CE(scale cos theta)``.

    Coria et al., 2020: a softmax of cosines; the scale is `adaptive_scale` by default.
    """
    if scale is None:
        scale = adaptive_scale(len(weight))
    return mean_cross_entropy(scale * cosines(embeddings, weight), labels)


def adaptive_scale(num_classes: int) -> float:
    """Return the scale of cosines for K classes, ``sqrt(2) ln(K - 1)``.

    Zhang et al., "AdaCos", CVPR 2019. The formula gives 0 for two classes, so that
    nothing would be learned; fewer than three classes are treated as three.
    """
    return sqrt(2) * log(max(num_classes - 1, 2))


def center(
    embeddings: Tensor,
    labels: Tensor,
    weight: Tensor,
    centers: Tensor,
    *,
    center_weight: float = 1.0,
) -> Tensor:
    """Return the center loss plus the cross-entropy of a linear classifier.

    ``CE(W x) + center_weight sum (1 - cos(x, c_y))^2 / (2 N)``

    Coria et al., 2020: cosine instead of Euclidean distances, no bias, and centers c_k
    learned like the weights.
    """
    apart = 1 - _gather_own(cosines(embeddings, centers), labels)
    spread = (apart**2).sum() / 2 / max(len(labels), 1)
    entropy = mean_cross_entropy(embeddings @ weight.T, labels)
    return entropy + center_weight * spread


def _gather_own(values: Tensor, labels: Tensor) -> Tensor:
    """Return the value of each row (N, K) for its own class."""
    return values.gather(1, labels[:, None])[:, 0]


def _replace_own(values: Tensor, labels: Tensor, own: Tensor) -> Tensor:
    """Return rows (N, K) with the values for their own classes replaced."""
    return values.scatter(1, labels[:, None], own[:, None])
