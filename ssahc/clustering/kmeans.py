"""K-means on the vectors behind an affinity.

An affinity ``z_i . z_j + b_i + b_j + c`` provides a vector z for each window. For
cosines it is the unit vector, so that squared distances are ``2 - 2 cos``; for PLDA
scores it is the latent vector, each dimension scaled by how well it tells speakers
apart. The biases b are not used.
"""

import warnings

import numpy as np

from ssahc.backend.affinity import Affinity, FactoredAffinity, check_range
from ssahc.clustering.labels import by_appearance
from ssahc.core.errors import DataError
from ssahc.core.types import FloatArray, IntArray

# Number of k-means++ initialisations; the best result is returned.
_STARTS = 10


def features_of(affinity: Affinity) -> FloatArray:
    """Return the (N, d) vectors that k-means and x-means cluster, all finite."""
    if not isinstance(affinity, FactoredAffinity):
        raise DataError(
            "k-means and x-means need the vectors behind affinities, and scores that "
            "are given ready-made are a matrix without any; cluster by ahc, vb or "
            "spectral, or give the PLDA itself"
        )
    check_range(affinity.features**2, "affinities")
    return affinity.features


def kmeans_cluster(
    vectors: FloatArray, start: int | FloatArray, *, seed: int = 0
) -> IntArray:
    """Cluster vectors (N, d) by k-means (Lloyd's algorithm, from scikit-learn).

    `start` is the number of clusters, for ten k-means++ initialisations with this seed,
    or the initial centres (K, d). Labels (N,) are 0..K-1 in order of first appearance,
    fewer if there are fewer distinct vectors.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if isinstance(start, np.ndarray):
        kmeans = KMeans(len(start), init=start, n_init=1)
    else:
        count = min(start, len(vectors))
        kmeans = KMeans(count, n_init=_STARTS, random_state=seed)
    with warnings.catch_warnings():
        # Raised if there are fewer distinct vectors than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = kmeans.fit_predict(vectors)
    return by_appearance(labels)
