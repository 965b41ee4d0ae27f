"""Average linkage with pairs that are never merged."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ssahc.clustering.constrained_linkage import assign_groups, constrained_linkage
from ssahc.clustering.labels import by_appearance
from ssahc.clustering.stopping import Stop


def _naive(affinity, cannot_link, threshold, fewest=1):
    clusters = [[row] for row in range(len(affinity))]
    while len(clusters) > fewest:
        best, pair = threshold, None
        for i in range(len(clusters)):
            for j in range(i):
                across = np.ix_(clusters[i], clusters[j])
                average = affinity[across].mean()
                if average >= best and not cannot_link[across].any():
                    best, pair = average, (j, i)
        if pair is None:
            break
        clusters[pair[0]] += clusters.pop(pair[1])
    labels = np.zeros(len(affinity), int)
    for number, rows in enumerate(clusters):
        labels[rows] = number
    return by_appearance(labels)


@pytest.mark.parametrize("size", [1, 2, 7, 25])
def test_equals_a_loop_over_all_pairs(size, rng):
    for _ in range(5):
        vectors = rng.standard_normal((size, 4))
        affinity = vectors @ vectors.T
        pairs = rng.random((size, size)) < 0.1
        different = (pairs | pairs.T) & ~np.eye(size, dtype=bool)
        found = constrained_linkage(affinity, different, Stop(threshold=0.2))
        expected = _naive(affinity, different, 0.2)
        np.testing.assert_array_equal(by_appearance(found), expected)
        groups = np.column_stack([found, found])
        assert not (different & (groups[:, :1] == groups[:, 1])).any()


def test_known_numbers_come_before_constraints(rng):
    vectors = np.repeat(np.eye(3), 4, axis=0)
    affinity = vectors @ vectors.T
    different = ~np.eye(12, dtype=bool)
    for stop in (Stop(num_speakers=3), Stop(threshold=0.5, max_speakers=3)):
        found = constrained_linkage(affinity, different, stop)
        assert by_appearance(found).tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_groups_share_no_cluster_and_fit_best(rng):
    affinity = rng.standard_normal((9, 2))
    groups = np.array([3, 1, 1, 3, 3, 5, 7, 7, 7])
    found = assign_groups(affinity, groups)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        chosen = found[rows]
        assert sorted(chosen[chosen >= 0]) == sorted(set(chosen) - {-1})
        first, second = linear_sum_assignment(-affinity[rows])
        inside = chosen >= 0
        assert affinity[rows[inside], chosen[inside]].sum() == pytest.approx(
            affinity[rows][first, second].sum()
        )
    assert (found >= 0).sum() == 2 + 2 + 1 + 2
