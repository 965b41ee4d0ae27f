"""X-means: k-means that finds the number of clusters.

Pelleg & Moore, "X-means: extending k-means with efficient estimation of the number of
clusters", ICML 2000. From one cluster on, each is split in two where the Bayesian
information criterion (Schwarz) of its windows says so, and k-means goes on from the
new centres, until no split is left to make. The paper starts a split along a random
direction, ssahc along the first principal ones (Hamerly & Elkan, "Learning the k in
k-means", NIPS 2003, take one), so that nothing depends on a seed or on the order of
the windows.

Each cluster is a Gaussian with the same variance in all directions, which all clusters
share. The paper divides the squared distances by R - K alone where that variance is one
of M dimensions, and pyclustering takes off the penalty once for each cluster, so that
splits are made too rarely; here the variance is the unbiased one, and the penalty is
taken off once. It grows with M: among a hundred windows in a hundred dimensions, few
speakers are found. And it is made for many windows that are Gaussian: ten windows of
one speaker are split one time in ten, fifteen or more hardly ever (measured), but on
vectors that lie on a curve, such as PLDA's of two or three dimensions, whose lengths
are normalised, splits go on to the most that are allowed. A split is judged within its
cluster alone: eight speakers or more, all equally far from each other in about as many
dimensions, look like one Gaussian, and are not split at all.
"""

from dataclasses import dataclass
from math import inf, log, pi

import numpy as np

from ssahc.backend.preprocess import leading_pca
from ssahc.clustering.kmeans import kmeans_cluster
from ssahc.clustering.stopping import MOST_SPEAKERS
from ssahc.core.types import FloatArray, IntArray

# A variance below this share of the mean square is one of rounding errors.
_ROUNDING = 1e-12
# Principal directions that a cluster may be split along; the best split counts.
_DIRECTIONS = 3


def xmeans_cluster(
    vectors: FloatArray,
    *,
    num_speakers: int | None = None,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> IntArray:
    """Cluster vectors into as many clusters as raise the information criterion.

    Parameters
    ----------
    vectors : (N, d) array
    num_speakers : int, optional
        Known number of speakers; more than there are windows means one each.
    min_speakers, max_speakers : int, optional
        Bounds on the number that is estimated without it; without `max_speakers` there
        are at most 10, or `min_speakers` if that is more. Of more splits than there may
        be, those that gain the most are made; where none gains and there are fewer than
        the fewest, those that lose the least are made up to it.

    Returns
    -------
    (N,) int array
        0..K-1 in order of first appearance; fewer than are wanted, if there are not as
        many different vectors.
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
            # From here on, no more than are wanted at least.
            chosen, most = ranked[:1], fewest
        if not chosen:
            break
        centers = {place: inside.mean(axis=0) for place, inside in enumerate(clusters)}
        centers |= {split.place: split.centers for split in chosen}
        improved = kmeans_cluster(vectors, np.vstack([*centers.values()]))
        if improved.max() < found:
            # Centres were lost again: too few vectors are different.
            break
        labels, found = improved, int(improved.max()) + 1
    return labels


@dataclass(frozen=True, eq=False)
class _Split:
    """A cluster parted in two.

    Attributes
    ----------
    place : int
        Which cluster.
    gain : float
        By how much that raises the information criterion of its windows.
    errors : float
        Their squared distances to the cluster's mean.
    centers : (2, d) array
        The means of the two parts.
    """

    place: int
    gain: float
    errors: float
    centers: FloatArray


def _rank_splits(clusters: list[FloatArray]) -> list[_Split]:
    """Return what can be split, the largest gain first; of equal ones the widest."""
    splits = [
        split
        for place, inside in enumerate(clusters)
        for split in _split(place, inside)
    ]
    # Of two windows no split gains anything: minus infinity for all of them.
    return sorted(splits, key=lambda split: (split.gain, split.errors), reverse=True)


def _split(place: int, inside: FloatArray) -> list[_Split]:
    """Return the best split of a cluster; none if all its vectors are equal."""
    one = np.zeros(len(inside), np.int64)
    parent, errors = information_criterion(inside, one), _squared_errors(inside, one)
    splits = []
    for start in _starts(inside):
        two = kmeans_cluster(inside, start)
        if two.max() == 1:
            gain = information_criterion(inside, two) - parent
            centers = np.array([inside[two == part].mean(axis=0) for part in (0, 1)])
            splits.append(_Split(place, gain, errors, centers))
    return sorted(splits, key=lambda split: split.gain)[-1:]


def _starts(vectors: FloatArray) -> list[FloatArray]:
    """Return (2, d) centres along the principal directions.

    They are the means of the halves of a Gaussian that is cut across the direction,
    sqrt(2 / pi) standard deviations out.
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
    """Return the Bayesian information criterion of clusters; larger is better.

    Log-likelihood minus p / 2 ln R, where p = (K - 1) + M K + 1 counts the shares of
    the clusters, their centres, and the variance SSE / (M (R - K)).

    Parameters
    ----------
    vectors : (R, M) array
    labels : (R,) int array
        0..K-1, all of them there.

    Returns
    -------
    float
        Minus infinity where R = K leaves nothing to estimate a variance from.
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
