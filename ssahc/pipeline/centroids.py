"""Centroids: what represents each speaker of a diarized recording."""

import numpy as np

from ssahc.backend.plda import speaker_space
from ssahc.backend.prepared import PreparedXvectors
from ssahc.core.types import Centroid, FloatArray, IntArray
from ssahc.resegmentation.observations import observation_weights


def compute_centroids(
    xvectors: PreparedXvectors, segments: FloatArray, labels: IntArray
) -> tuple[Centroid, ...]:
    """Return the centroids of the speakers of one recording, in the order of labels.

    Windows count by their `observation_weights`, so that time which several of them
    share counts once. Without a global mean there is no space that recordings have in
    common, and centroids have no `latent` mean.

    Parameters
    ----------
    xvectors : PreparedXvectors
        Of N windows.
    segments : (N, 2) array
        Their start and end, in seconds.
    labels : (N,) array
        Speaker of every window, 0..K-1.

    Returns
    -------
    tuple of K Centroid
        Speakers are named "1", "2", ... as in turns.
    """
    weights = observation_weights(segments)
    xvector_means = _average(xvectors.xvectors, labels, weights)
    latent_means = None
    if xvectors.model.mean is not None:
        # From whitened to latent vectors is an affine map, so means go the same way.
        whitened_means = _average(xvectors.whitened, labels, weights)
        latent_means = speaker_space(whitened_means, xvectors.model)[0]
    counts = np.bincount(labels, weights)
    return tuple(
        Centroid(
            str(label + 1),
            xvector_means[label],
            None if latent_means is None else latent_means[label],
            float(count),
        )
        for label, count in enumerate(counts)
    )


def _average(vectors: FloatArray, labels: IntArray, weights: FloatArray) -> FloatArray:
    """Return the weighted mean of the rows of each label (K, D)."""
    return np.array(
        [
            np.average(vectors[own], axis=0, weights=weights[own])
            for own in (labels == label for label in range(labels.max() + 1))
        ]
    )
