"""Index tuples drawn from cluster labels as by SSA; others are in `mining`."""

import numpy as np

from ssahc.core.types import IntArray


def sample_triplets(labels: IntArray, generator: np.random.Generator) -> IntArray:
    """Return every within-cluster pair with one random negative.

    The negative is uniform over all windows of the other clusters, so large clusters
    are drawn more often (as in the code of Singh & Ganapathy).

    Parameters
    ----------
    labels : (N,) int array
        Two clusters or more.
    generator : numpy.random.Generator

    Returns
    -------
    (T, 3) int array
        Anchor, positive, negative; the anchor comes before the positive in time.
    """
    triplets = []
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        others = np.flatnonzero(labels != cluster)
        anchor, positive = np.triu_indices(len(members), 1)
        negative = generator.integers(len(others), size=len(anchor))
        triplets.append(
            np.stack([members[anchor], members[positive], others[negative]], axis=1)
        )
    return np.concatenate(triplets)
