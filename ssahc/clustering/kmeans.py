"""K-means on the vectors behind an affinity.

An affinity ``z_i . z_j + b_i + b_j + c`` has a vector for each window: of cosines the
unit vector, so that squared distances are ``2 - 2 cos``; of PLDA scores the latent
vector with each dimension scaled by what it tells of speakers. What a window adds to
its affinities with all others (b) has no part in the distances.
"""

import warnings

import numpy as np

from ssahc.backend.affinity import Affinity, FactoredAffinity
from ssahc.clustering.merge_history import by_appearance
from ssahc.core.errors import DataError
from ssahc.core.types import LARGEST_AFFINITY, FloatArray, IntArray

# The best of so many k-means++ starts is taken.
_STARTS = 10


def features_of(affinity: Affinity) -> FloatArray:
    """Return the (N, d) vectors that k-means and x-means work on.

    Parameters
    ----------
    affinity : Affinity

    Raises
    ------
    DataError
        If the affinity is a matrix of scores, or its vectors are not finite.
    """
    if not isinstance(affinity, FactoredAffinity):
        raise DataError(
            "k-means and x-means need the vectors behind affinities, and scores that "
            "are given ready-made are a matrix without any; cluster by ahc, vb or "
            "spectral, or give the PLDA itself"
        )
    if not (affinity.features**2 < LARGEST_AFFINITY).all():
        raise DataError(
            f"affinities hold NaN, infinity or a value beyond {LARGEST_AFFINITY:g}; "
            "compute them again"
        )
    return affinity.features


def kmeans_cluster(
    vectors: FloatArray, start: int | FloatArray, *, seed: int = 0
) -> IntArray:
    """Cluster vectors by k-means: Lloyd's iterations, as scikit-learn does them.

    Parameters
    ----------
    vectors : (N, d) array
    start : int or (K, d) array
        The number of clusters, for which the best of ten k-means++ starts is taken; or
        the centres to start from.
    seed : int
        Of the k-means++ starts.

    Returns
    -------
    (N,) int array
        0..K-1 in order of first appearance; fewer, if there are not as many different
        vectors: equal ones cannot be told apart.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if isinstance(start, np.ndarray):
        kmeans = KMeans(len(start), init=start, n_init=1)
    else:
        count = min(start, len(vectors))
        kmeans = KMeans(count, n_init=_STARTS, random_state=seed)
    with warnings.catch_warnings():
        # Fewer different vectors than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = kmeans.fit_predict(vectors)
    return by_appearance(labels)
