"""How well clusters stand apart."""

import numpy as np

from ssahc.types import Float32Array, FloatArray, IntArray


def mean_silhouette(affinity: FloatArray | Float32Array, labels: IntArray) -> float:
    """Return by how much windows are nearer to their own cluster than to the next.

    Rousseeuw's silhouette (1987) on average affinities, without his scaling, which
    assumes distances.

    Parameters
    ----------
    affinity : (N, N) array
    labels : (N,) int array
        0..K-1, all of them there, K at least 2.

    Returns
    -------
    float
        Mean over windows of the average affinity to the others of their own cluster (0
        if there are none) minus that to the nearest other cluster.
    """
    count = len(labels)
    member = np.eye(labels.max() + 1)[labels]
    sizes = member.sum(axis=0)
    # In float32 if the affinity is: a copy in float64 would be as large again.
    sums = (affinity @ member.astype(affinity.dtype)).astype(np.float64)
    windows = np.arange(count)
    own = sums[windows, labels] - np.diagonal(affinity)
    own /= np.maximum(sizes[labels] - 1, 1)
    others = sums / sizes
    others[windows, labels] = -np.inf
    return float((own - others.max(axis=1)).mean())
