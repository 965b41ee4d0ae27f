"""Spectral clustering against an implementation by loops, and on clear blocks."""

import math

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

from ssahc.clustering.spectral import spectral_cluster
from ssahc.core.errors import DataError


def naive(affinity, num_speakers=None, most=10):
    """Park et al. (2020) by definition: loops, another eigensolver, plain k-means."""
    count = len(affinity)
    most = num_speakers or most
    low = min(max(3, math.ceil(math.log2(count))), count - 1)
    high = max(count // 4, low)
    sparse = sorted({int(value) for value in np.linspace(low, high, 20)})
    dense = sorted({int(value) for value in np.linspace(high, count, 20)})[1:]
    candidates = []
    for p in sparse + dense:
        if p in dense and candidates:
            break
        graph = np.zeros((count, count))
        for i in range(count):
            others = [j for j in range(count) if j != i]
            others.sort(key=lambda j: -affinity[min(i, j), max(i, j)])
            for j in others[: p - 1]:
                graph[i, j] += 0.5
                graph[j, i] += 0.5
        laplacian = np.diag(graph.sum(axis=1)) - graph
        values, vectors = eigh(laplacian, driver="ev")
        gaps = [values[k] - values[k - 1] for k in range(1, count)]
        gaps = gaps[: max(min(most, count // p), 1)]
        speakers = num_speakers or int(np.argmax(gaps)) + 1
        gap = values[speakers] - values[speakers - 1]
        if gap > 1e-9 * values[-1]:
            candidates.append((p / (gap / values[-1]), p, vectors[:, :speakers]))
    return naive_kmeans(min(candidates, key=lambda item: item[0])[2])


def naive_kmeans(rows):
    """Lloyd's iterations from the rows that greedy orthogonalisation picks."""
    rest, picked = rows.copy(), []
    for _ in range(rows.shape[1]):
        index = int(np.argmax((rest**2).sum(axis=1)))
        picked.append(index)
        direction = rest[index] / np.linalg.norm(rest[index])
        rest = rest - np.outer(rest @ direction, direction)
    centers = rows[picked]
    for _ in range(100):
        distances = ((rows[:, None] - centers) ** 2).sum(axis=2)
        labels = distances.argmin(axis=1)
        centers = np.array(
            [rows[labels == k].mean(axis=0) for k in range(len(centers))]
        )
    return labels


def talk(rng, sizes, spread):
    """Cosines of vectors around as many directions as there are sizes."""
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    means = rng.normal(size=(len(sizes), 12))
    vectors = means[labels] + spread * rng.normal(size=(len(labels), 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T, labels


def same(ours, theirs):
    """Whether the same windows share a label."""
    return ours.max() == theirs.max() and adjusted_rand_score(ours, theirs) == 1


def test_labels_of_200_random_affinities_equal_the_reference(rng):
    different = []
    for trial in range(200):
        sizes = rng.integers(2, 14, size=rng.integers(1, 6))
        affinity, _ = talk(rng, sizes, rng.uniform(0.2, 1.0))
        known = int(rng.integers(1, 5)) if trial % 2 else None
        known = None if known is not None and known >= len(affinity) else known
        ours = spectral_cluster(affinity, num_speakers=known)
        theirs = naive(affinity, known)
        if not same(ours, theirs):
            different.append(trial)
    assert different == []


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("blocks", range(1, 11))
def test_clear_blocks_are_counted_exactly(rng, blocks, noise):
    for _ in range(3):
        labels = np.repeat(np.arange(blocks), rng.integers(12, 30, size=blocks))
        labels = rng.permutation(labels)
        affinity = np.where(labels[:, None] == labels, 0.8, 0.0)
        affinity += noise * rng.normal(size=affinity.shape)
        assert same(spectral_cluster(affinity), labels)


def test_the_order_of_windows_does_not_matter(rng):
    for _ in range(20):
        affinity, _ = talk(rng, rng.integers(2, 14, size=4), 0.5)
        affinity = affinity.astype(np.float32).astype(np.float64)
        order = rng.permutation(len(affinity))
        for known in (None, 3):
            labels = spectral_cluster(affinity, num_speakers=known)
            shuffled = spectral_cluster(
                affinity[np.ix_(order, order)], num_speakers=known
            )
            assert same(shuffled, labels[order])


def test_labels_count_up_in_order_of_appearance(rng):
    affinity, _ = talk(rng, [8, 9, 10], 0.3)
    labels = spectral_cluster(affinity, num_speakers=3)
    first = [labels.tolist().index(label) for label in range(3)]
    assert first == sorted(first)
    assert first[0] == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("known", [None, 1, 2, 3, 7])
def test_few_windows(rng, count, known):
    affinity, _ = talk(rng, [count], 1.0)
    labels = spectral_cluster(affinity, num_speakers=known)
    assert len(labels) == count
    if known is None:
        assert labels.max() == 0
    if known is not None:
        assert labels.max() + 1 == min(known, count)


def test_bounds_hold(rng):
    affinity, _ = talk(rng, [10, 10, 10], 0.2)
    for fewest, most in ((1, 2), (4, None), (5, 5), (3, 3), (40, None)):
        labels = spectral_cluster(affinity, min_speakers=fewest, max_speakers=most)
        found = labels.max() + 1
        assert found >= min(fewest, 30)
        assert most is None or found <= most


def test_a_bound_moves_the_estimate_no_further_than_it_must(rng):
    for _ in range(5):
        affinity, _ = talk(rng, [12, 12, 12, 12], 0.2)
        assert spectral_cluster(affinity).max() + 1 == 4
        for most in (1, 2, 3, 4, 9):
            labels = spectral_cluster(affinity, max_speakers=most)
            assert labels.max() + 1 == min(most, 4)
            known = spectral_cluster(affinity, num_speakers=min(most, 4))
            assert same(labels, known)


def test_fewer_speakers_than_groups_join_the_nearest(rng):
    # Cosines of 0.9 between the first two groups and -0.9 to the third.
    for _ in range(10):
        labels = rng.permutation(np.repeat([0, 1, 2], 12))
        between = np.array([[1, 0.9, -0.9], [0.9, 1, -1.0], [-0.9, -1, 1]])
        affinity = between[np.ix_(labels, labels)]
        affinity = affinity + 0.01 * rng.normal(size=affinity.shape)
        found = spectral_cluster(affinity, num_speakers=2)
        assert same(found, np.array([0, 0, 1])[labels])


def test_the_order_of_windows_does_not_matter_in_clean_groups(rng):
    for groups, known in ((3, 2), (6, 4), (6, 2)):
        for _ in range(5):
            affinity, _ = talk(rng, [9] * groups, 0.1)
            affinity = affinity.astype(np.float32)
            order = rng.permutation(len(affinity))
            labels = spectral_cluster(affinity, num_speakers=known)
            shuffled = affinity[np.ix_(order, order)]
            shuffled = spectral_cluster(shuffled, num_speakers=known)
            assert same(shuffled, labels[order])


def test_equal_windows_are_one_speaker():
    assert spectral_cluster(np.ones((15, 15))).max() == 0
    assert spectral_cluster(np.zeros((15, 15))).max() == 0


def test_a_failing_eigensolver_costs_one_recording_only(rng, monkeypatch):
    def fail(matrix):
        raise np.linalg.LinAlgError("did not converge")

    affinity, _ = talk(rng, [8, 9], 0.3)
    monkeypatch.setattr(np.linalg, "eigh", fail)
    with pytest.raises(DataError, match="did not converge"):
        spectral_cluster(affinity)


def test_groups_without_ties_are_told_apart(rng):
    # The graph itself falls into two parts: nothing is left to chance.
    affinity = np.kron(np.eye(2), np.ones((12, 12)))
    labels = spectral_cluster(affinity)
    parts = connected_components(affinity)[1]
    assert same(labels, parts)


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), np.full((4, 4), np.nan)])
def test_senseless_matrices_are_refused(wrong):
    with pytest.raises(DataError):
        spectral_cluster(wrong)
