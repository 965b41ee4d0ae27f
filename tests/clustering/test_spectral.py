"""Spectral clustering: equal to a naive implementation, exact on clear blocks."""

import math

import numpy as np
import pytest
from scipy.linalg import eigh
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


def test_labels_equal_the_naive_implementation(rng):
    different = []
    for trial in range(25):
        sizes = rng.integers(2, 12, size=rng.integers(1, 6))
        affinity, _ = talk(rng, sizes, rng.uniform(0.2, 1.0))
        known = int(rng.integers(1, 5)) if trial % 2 else None
        known = None if known is not None and known >= len(affinity) else known
        ours = spectral_cluster(affinity, num_speakers=known)
        if not same(ours, naive(affinity, known)):
            different.append(trial)
    assert different == []


@pytest.mark.parametrize(("blocks", "noise"), [(1, 0.1), (2, 0.0), (6, 0.1), (10, 0.1)])
def test_clear_blocks_are_counted_exactly(rng, blocks, noise):
    labels = np.repeat(np.arange(blocks), rng.integers(12, 24, size=blocks))
    labels = rng.permutation(labels)
    affinity = np.where(labels[:, None] == labels, 0.8, 0.0)
    affinity += noise * rng.normal(size=affinity.shape)
    assert same(spectral_cluster(affinity), labels)


@pytest.mark.parametrize(
    ("groups", "spread", "known"),
    [(4, 0.5, None), (4, 0.5, 3), (3, 0.1, 2), (6, 0.1, 4), (6, 0.1, 2)],
)
def test_the_order_of_windows_does_not_matter(rng, groups, spread, known):
    for _ in range(5):
        affinity, _ = talk(rng, rng.integers(2, 14, size=groups), spread)
        affinity = affinity.astype(np.float32)
        order = rng.permutation(len(affinity))
        labels = spectral_cluster(affinity, num_speakers=known)
        shuffled = affinity[np.ix_(order, order)]
        assert same(spectral_cluster(shuffled, num_speakers=known), labels[order])


def test_with_fewer_speakers_than_groups_the_nearest_are_merged(rng):
    # Cosines of 0.9 between the first two groups and -0.9 to the third.
    for _ in range(5):
        labels = rng.permutation(np.repeat([0, 1, 2], 12))
        between = np.array([[1, 0.9, -0.9], [0.9, 1, -1.0], [-0.9, -1, 1]])
        affinity = between[np.ix_(labels, labels)]
        affinity = affinity + 0.01 * rng.normal(size=affinity.shape)
        found = spectral_cluster(affinity, num_speakers=2)
        assert same(found, np.array([0, 0, 1])[labels])


def test_equal_windows_are_one_speaker_and_separate_components_two():
    assert spectral_cluster(np.ones((15, 15))).max() == 0
    assert spectral_cluster(np.zeros((15, 15))).max() == 0
    affinity = np.kron(np.eye(2), np.ones((12, 12)))
    assert same(spectral_cluster(affinity), np.repeat([0, 1], 12))


def test_unusable_matrices_and_a_failing_eigensolver_are_refused(rng, monkeypatch):
    for wrong in (np.ones((2, 3)), np.full((4, 4), np.nan)):
        with pytest.raises(DataError):
            spectral_cluster(wrong)

    def fail(matrix):
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fail)
    with pytest.raises(DataError, match="did not converge"):
        spectral_cluster(talk(rng, [8, 9], 0.3)[0])
