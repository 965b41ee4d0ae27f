"""X-means: k-means that estimates the number of clusters.

Pelleg & Moore, "X-means: extending k-means with efficient estimation of the number of
clusters", ICML 2000. Starting from one cluster, each cluster is split in two if that
raises the Bayesian information criterion (BIC) of its windows; k-means then continues
from the new centres, until no cluster is split. Splits start along the first principal
directions (Hamerly & Elkan, "Learning the k in k-means", NIPS 2003) instead of a random
direction, so that labels depend neither on a seed nor on the order of the windows.

All clusters are Gaussians with one shared isotropic variance. Two details differ from
other implementations. The variance estimate is unbiased, with squared distances divided
by M (R - K) for M dimensions, not by R - K as in the paper. The penalty is subtracted
once, not once per cluster as in pyclustering, where splits become too rare.

Limits (measured):

- The penalty grows with M: few speakers are found among 100 windows in 100 dimensions.
- Ten windows of one speaker are split one time in ten, fifteen or more hardly ever.
- Vectors on a curve, such as length-normalised PLDA vectors of two or three dimensions,
  are split up to the maximum number of clusters.
- Eight or more equidistant speakers in about as many dimensions look like one Gaussian
  and are not split.
"""

from dataclasses import dataclass
from math import inf, log, pi

import numpy as np

from ssahc.backend.preprocess import leading_pca
from ssahc.clustering.kmeans import kmeans_cluster
from ssahc.clustering.stopping import MOST_SPEAKERS
from ssahc.core.types import FloatArray, IntArray

# A variance below this share of the mean square is due to rounding.
_ROUNDING = 1e-12
# Number of principal directions along which splits of a cluster are tried.
_DIRECTIONS = 3


def xmeans_cluster(
    vectors: FloatArray,
    *,
    num_speakers: int | None = None,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> IntArray:
    """Cluster vectors (N, d) into the number of clusters that the BIC selects.

    The number is within the bounds, or known; without `max_speakers` it is at most 10,
    or `min_speakers` if that is larger. To stay below the maximum, the splits with the
    largest gains are made; to reach the minimum, those with the smallest losses. Labels
    (N,) are 0..K-1 in order of first appearance; there are fewer clusters than required
    if there are fewer distinct vectors, and each window is one if N or more are wanted.
    """
    count = len(vectors)
    fewest = num_speakers or min_speakers
    most = num_speakers or max_speakers or max(MOST_SPEAKERS, fewest)
    if fewest >= count:
        return np.arange(count)
    labels = np.zeros(count, np.int64)
    found = 1
    while found < most:
        clusters = [vectors[labels == cluster] for cluster in range(found)]
        ranked = _rank_splits(clusters)
        chosen = [split for split in ranked if split.gain > 0][: most - found]
        if not chosen and found < fewest:
            # No split gains any more: go on to the minimum only.
            chosen, most = ranked[:1], fewest
        if not chosen:
            break
        centers = {index: inside.mean(axis=0) for index, inside in enumerate(clusters)}
        centers |= {split.cluster: split.centers for split in chosen}
        improved = kmeans_cluster(vectors, np.vstack([*centers.values()]))
        if improved.max() < found:
            # Centres were lost: there are too few distinct vectors.
            break
        labels, found = improved, int(improved.max()) + 1
    return labels


@dataclass(frozen=True, eq=False)
class _Split:
    """A cluster split in two, with the means of the two parts (2, d)."""

    cluster: int
    # Increase of the BIC of its windows, and their squared distances to their mean.
    gain: float
    errors: float
    centers: FloatArray


def _rank_splits(clusters: list[FloatArray]) -> list[_Split]:
    """Return the best split of each cluster, by decreasing gain, then by width."""
    splits = [
        split
        for cluster, inside in enumerate(clusters)
        for split in _split(cluster, inside)
    ]
    # Splits of two windows all tie: their gain is minus infinity.
    return sorted(splits, key=lambda split: (split.gain, split.errors), reverse=True)


def _split(cluster: int, inside: FloatArray) -> list[_Split]:
    """Return the best split of a cluster, or none if all its vectors are equal."""
    one = np.zeros(len(inside), np.int64)
    parent, errors = information_criterion(inside, one), _squared_errors(inside, one)
    splits = []
    for start in _starts(inside):
        two = kmeans_cluster(inside, start)
        if two.max() == 1:
            gain = information_criterion(inside, two) - parent
            centers = np.array([inside[two == part].mean(axis=0) for part in (0, 1)])
            splits.append(_Split(cluster, gain, errors, centers))
    return sorted(splits, key=lambda split: split.gain)[-1:]


def _starts(vectors: FloatArray) -> list[FloatArray]:
    """Return pairs of initial centres along the first principal directions.

    They are the means of the halves of a Gaussian: sqrt(2 / pi) standard deviations
    from the mean.
    """
    if len(vectors) < 2:
        return []
    energies, directions = leading_pca(vectors)
    lengths = np.sqrt(2 / pi * np.maximum(energies[:_DIRECTIONS], 0.0))
    mean = vectors.mean(axis=0)
    return [
        np.array([mean - length * direction, mean + length * direction])
        for length, direction in zip(lengths, directions, strict=False)
    ]


def information_criterion(vectors: FloatArray, labels: IntArray) -> float:
    """Return the Bayesian information criterion (BIC) of clusters; larger is better.

    Log-likelihood minus p / 2 ln R, where the p = (K - 1) + M K + 1 parameters are the
    weights of the clusters, their centres, and the variance SSE / (M (R - K)). It is
    minus infinity if R = K, where the variance cannot be estimated. Vectors are (R, M),
    labels (R,) 0..K-1, all of them used.
    """
    count, dim = vectors.shape
    sizes = np.bincount(labels)
    num_clusters = len(sizes)
    if count <= num_clusters:
        return -inf
    errors = _squared_errors(vectors, labels)
    least = max(_ROUNDING * float((vectors**2).mean()), np.finfo(np.float64).tiny)
    variance = max(errors / (dim * (count - num_clusters)), least)
    likelihood = float((sizes * np.log(sizes / count)).sum())
    likelihood -= count * dim / 2 * log(2 * pi * variance) + errors / (2 * variance)
    parameters = (num_clusters - 1) + dim * num_clusters + 1
    return likelihood - parameters / 2 * log(count)


def _squared_errors(vectors: FloatArray, labels: IntArray) -> float:
    """Return the sum of squared distances to the clusters' means."""
    errors = 0.0
    for cluster in range(labels.max() + 1):
        inside = vectors[labels == cluster]
        errors += float(((inside - inside.mean(axis=0)) ** 2).sum())
    return errors
