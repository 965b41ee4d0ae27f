import numpy as np
import pytest

from ssahc.backend.affinity import ScoreMatrix
from ssahc.clustering.silhouette import mean_silhouette


def test_silhouette_equals_loops_over_pairs(rng):
    affinity = rng.standard_normal((12, 12))
    affinity += affinity.T
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 0, 3])
    values = []
    for i in range(12):
        averages = {}
        for k in range(4):
            others = [affinity[i, j] for j in range(12) if j != i and labels[j] == k]
            averages[k] = np.mean(others) if others else 0.0
        own = averages.pop(labels[i])
        values.append(own - max(averages.values()))
    found = mean_silhouette(ScoreMatrix(affinity), labels)
    assert found == pytest.approx(np.mean(values))
