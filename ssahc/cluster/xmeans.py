"""X-means: k-means that finds the number of clusters.

Pelleg & Moore, "X-means: extending k-means with efficient estimation of the number of
clusters", ICML 2000. From one cluster on, each is split in two where the Bayesian
information criterion (Schwarz) of its windows says so, and k-means goes on from the
new centres, until no split is left to make.

Each cluster is a Gaussian with the same variance in all directions, which all clusters
share. The paper divides the squared distances by R - K alone where that variance is one
of M dimensions, and pyclustering takes off the penalty once for each cluster, so that
splits are made too rarely; here the variance is the unbiased one, and the penalty is
taken off once. It grows with M: among a hundred windows in a hundred dimensions, few
speakers are found.
"""

from math import inf, log, pi

import numpy as np

from ssahc.cluster.kmeans import kmeans_cluster
from ssahc.types import FloatArray, IntArray

# A variance below this share of the mean square is one of rounding errors.
_ROUNDING = 1e-12


def xmeans_cluster(
    vectors: FloatArray,
    *,
    num_speakers: int | None = None,
    min_speakers: int = 1,
    max_speakers: int | None = None,
    seed: int = 0,
) -> IntArray:
    """Cluster vectors into as many clusters as raise the information criterion.

    Parameters
    ----------
    vectors : (N, d) array
    num_speakers : int, optional
        Known number of speakers; more than there are windows means one each.
    min_speakers, max_speakers : int, optional
        Bounds on the number that is estimated without it. Of more splits than there may
        be, those that gain the most are made; below the fewest, the one that loses the
        least is made as well.
    seed : int
        Of the starts of k-means inside a cluster.

    Returns
    -------
    (N,) int array
        0..K-1 in order of first appearance; fewer than are wanted, if there are not as
        many different vectors.
    """
    count = len(vectors)
    fewest = num_speakers or min_speakers
    most = num_speakers or max_speakers or count
    if fewest >= count:
        return np.arange(count)
    labels = np.zeros(count, np.int64)
    found = 1
    while found < most:
        clusters = [vectors[labels == cluster] for cluster in range(found)]
        splits = _choose_splits(clusters, fewest - found, most - found, seed)
        if not splits:
            break
        centers = [
            splits.get(cluster, inside.mean(axis=0))
            for cluster, inside in enumerate(clusters)
        ]
        improved = kmeans_cluster(vectors, np.vstack(centers))
        if improved.max() < found:
            # Centres were lost again: too few vectors are different.
            break
        labels, found = improved, int(improved.max()) + 1
    return labels


def _choose_splits(
    clusters: list[FloatArray], missing: int, room: int, seed: int
) -> dict[int, FloatArray]:
    """Return the clusters to split, by their places, and the (2, d) new centres.

    Parameters
    ----------
    clusters : list of (R, d) array
    missing : int
        How many clusters are wanted at least, beyond those that are there.
    room : int
        How many there may be at most, beyond those that are there.
    seed : int
    """
    found: list[tuple[float, float, int, FloatArray]] = []
    for place, inside in enumerate(clusters):
        one = np.zeros(len(inside), np.int64)
        two = kmeans_cluster(inside, 2, seed=seed)
        if two.max() == 1:
            gain = information_criterion(inside, two) - information_criterion(
                inside, one
            )
            centers = np.array([inside[two == child].mean(axis=0) for child in (0, 1)])
            found.append((gain, _squared_errors(inside, one), place, centers))
    # Where only pairs are left, none of which gains, the widest is split.
    found.sort(key=lambda split: split[:2], reverse=True)
    chosen = [split for split in found if split[0] > 0][:room]
    if not chosen and missing > 0:
        chosen = found[:1]
    return {place: centers for _, _, place, centers in chosen}


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
