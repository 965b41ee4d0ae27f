"""X-means: equal to scipy's densities, exact on clear groups."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from ssahc.clustering.xmeans import information_criterion, xmeans_cluster


def naive_criterion(vectors, labels):
    """The criterion by definition: the density of each vector and its cluster."""
    count, dim = vectors.shape
    clusters = sorted(set(labels.tolist()))
    means = {
        k: np.mean([v for v, c in zip(vectors, labels) if c == k], 0) for k in clusters
    }
    errors = sum(math.dist(v, means[c]) ** 2 for v, c in zip(vectors, labels.tolist()))
    variance = errors / (dim * (count - len(clusters)))
    total = 0.0
    for vector, label in zip(vectors, labels.tolist(), strict=True):
        share = labels.tolist().count(label) / count
        density = multivariate_normal(means[label], variance * np.eye(dim))
        total += math.log(share) + density.logpdf(vector)
    free = len(clusters) - 1 + len(clusters) * dim + 1
    return total - free / 2 * math.log(count)


def naive_best(vectors, most):
    """The number of clusters whose plain k-means has the largest criterion."""
    labels = [
        KMeans(count, n_init=10, random_state=1).fit_predict(vectors)
        for count in range(1, most + 1)
    ]
    return 1 + int(np.argmax([naive_criterion(vectors, found) for found in labels]))


def blobs(rng, groups, size, dim, *, apart=8.0):
    """Groups of vectors around corners that are all equally far from each other."""
    labels = rng.permutation(np.repeat(np.arange(groups), size))
    means = apart * np.eye(groups, dim)
    return means[labels] + rng.normal(size=(len(labels), dim)), labels


def test_the_criterion_equals_sums_of_densities(rng):
    for _ in range(20):
        clusters, dim = rng.integers(1, 5), rng.integers(1, 7)
        labels = rng.permutation(np.arange(clusters + rng.integers(2, 20)) % clusters)
        vectors = rng.normal(size=(len(labels), dim)) * rng.uniform(0.01, 100)
        ours = information_criterion(vectors, labels)
        assert ours == pytest.approx(naive_criterion(vectors, labels), rel=1e-9)
    assert information_criterion(rng.normal(size=(4, 3)), np.arange(4)) == -math.inf


@pytest.mark.parametrize(("groups", "dim"), [(1, 12), (5, 40), (8, 12)])
def test_clear_groups_are_counted_exactly_in_any_unit(rng, groups, dim):
    vectors, labels = blobs(rng, groups, 30, dim, apart=12)
    for scale in (1.0, 1e-8, 1e8):
        found = xmeans_cluster(scale * vectors)
        assert found.max() + 1 == groups
        assert adjusted_rand_score(found, labels) == 1


def test_the_number_maximises_the_criterion_over_plain_kmeans(rng):
    for groups in (1, 4):
        vectors, _ = blobs(rng, groups, 30, 5)
        assert xmeans_cluster(vectors).max() + 1 == naive_best(vectors, 5) == groups


@pytest.mark.parametrize("dim", [2, 10, 50])
def test_one_gaussian_is_one_speaker(rng, dim):
    for count in (25, 25, 100, 100):
        assert xmeans_cluster(rng.normal(size=(count, dim))).max() == 0


@pytest.mark.parametrize("known", [1, 9, 31])
def test_a_known_number_is_kept_in_a_fixed_point_of_kmeans(rng, known):
    vectors = rng.normal(size=(30, 4))
    labels = xmeans_cluster(vectors, num_speakers=known)
    found = min(known, 30)
    assert np.unique(labels).tolist() == list(range(found))
    means = np.array([vectors[labels == k].mean(axis=0) for k in range(found)])
    distances = ((vectors[:, None] - means) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), labels)


def test_equal_vectors_are_one_speaker(rng):
    same = np.tile(rng.normal(size=5), (12, 1))
    for vectors in (same, 1e8 * same, np.zeros((12, 5))):
        assert xmeans_cluster(vectors).max() == 0
        assert xmeans_cluster(vectors, num_speakers=3).max() == 0
        assert xmeans_cluster(vectors, num_speakers=12).max() == 11
    # Rounding errors are not speakers.
    assert xmeans_cluster(same + 1e-9 * (np.arange(12) % 2)[:, None]).max() == 0
    # Groups of equal vectors are separated and not split.
    groups = np.arange(3).repeat(12)
    for known in (None, 3, 5):
        labels = xmeans_cluster(np.eye(3)[groups], num_speakers=known)
        assert labels.tolist() == groups.tolist()


def test_at_most_ten_are_found_without_a_bound(rng):
    angles = rng.uniform(0, 2, size=200)
    arc = np.column_stack([np.cos(angles), np.sin(angles)])
    assert xmeans_cluster(arc).max() + 1 == 10
    assert xmeans_cluster(arc, max_speakers=20).max() + 1 == 20
    assert xmeans_cluster(arc, min_speakers=12).max() + 1 == 12
