"""Eq. 2 of Singh & Ganapathy against a loop over all pairs and all neighbours."""

import numpy as np
import pytest

from ssahc.clustering.ahc import AhcOptions, agglomerative_cluster, average_linkage
from ssahc.clustering.discriminative import DiscriminativeCost
from ssahc.clustering.stopping import Stop


def random_affinity(rng, count):
    vectors = (
        rng.normal(size=(count, 4))
        + 2 * rng.normal(size=(3, 4))[rng.integers(3, size=count)]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


@pytest.mark.parametrize(("weight", "neighbors"), [(0.0, 1), (0.1, 3), (1.0, 1)])
def test_merges_equal_the_naive_loop(rng, naive_ahc, weight, neighbors):
    for count, below in ((1, 1), (2, 2), (5, 0), (10, 2), (10, 5), (14, 1800)):
        affinity = random_affinity(rng, count)
        cost = DiscriminativeCost(weight, neighbors, below)
        history = average_linkage(affinity, cost=cost)
        for stop in (
            Stop(num_speakers=1),
            Stop(threshold=0.1),
            Stop(threshold=0.5, min_speakers=2, max_speakers=4),
        ):
            labels, bests, _ = naive_ahc(affinity, stop, cost)
            np.testing.assert_array_equal(history.cut(stop), labels)
            direct = agglomerative_cluster(affinity, stop, cost=cost)
            np.testing.assert_array_equal(direct, labels)
            np.testing.assert_allclose(history.averages[: len(bests)], bests, atol=1e-5)


def test_cutting_equals_stopping_early_where_merged_averages_rise(rng, naive_ahc):
    # In most of these the average of the merged pairs rises again, and merges differ
    # from those of plain linkage.
    changed = rising = 0
    for _ in range(6):
        affinity = random_affinity(rng, 9)
        cost = DiscriminativeCost(0.5, 1, 9)
        history = average_linkage(affinity, cost=cost)
        _, bests, merged = naive_ahc(affinity, Stop(num_speakers=1), cost)
        changed += not np.array_equal(average_linkage(affinity).merges, history.merges)
        rising += bool((np.diff(merged) > 1e-6).any())
        # The best pair is not always the one merged, so its average may repeat.
        values = np.unique(np.round(bests, 4))
        for threshold in [-2, *((values[1:] + values[:-1]) / 2)[::2], 2]:
            stop = Stop(threshold=threshold)
            labels = naive_ahc(affinity, stop, cost)[0]
            np.testing.assert_array_equal(history.cut(stop), labels)
    assert changed > 2
    assert rising > 2


def test_no_cluster_exceeds_the_maximum_size(rng, naive_ahc):
    options, changed = AhcOptions(max_spk_fraction=0.5), 0
    for _ in range(3):
        affinity, cost = random_affinity(rng, 14), DiscriminativeCost(0.5, 1, 10)
        stop = Stop(num_speakers=2)
        labels = agglomerative_cluster(affinity, stop, options, cost=cost)
        np.testing.assert_array_equal(
            labels, naive_ahc(affinity, stop, cost, largest=7)[0]
        )
        free = agglomerative_cluster(affinity, stop, cost=cost)
        changed += not np.array_equal(free, labels)
    assert changed > 0


def test_the_second_of_two_passes_uses_the_cost(rng, naive_ahc):
    # The first pass stops at ten clusters per piece, so it merges nothing in pieces of
    # ten: all merges are made in the second one.
    affinity = random_affinity(rng, 20)
    stop = Stop(threshold=0.05)
    options = AhcOptions(first_pass_max_utterances=10)
    cost = DiscriminativeCost(0.5, 2, 12)
    labels = agglomerative_cluster(affinity, stop, options, cost=cost)
    np.testing.assert_array_equal(labels, naive_ahc(affinity, stop, cost)[0])
    plain = agglomerative_cluster(affinity, stop, options)
    assert not np.array_equal(labels, plain)


def test_linkage_can_continue_from_clusters(rng):
    affinity = random_affinity(rng, 25)
    whole = average_linkage(affinity)
    start = whole.cut(Stop(num_speakers=6))
    rest = average_linkage(affinity, start=start)
    assert rest.num_leaves == 6
    for number in range(1, 7):
        stop = Stop(num_speakers=number)
        np.testing.assert_array_equal(rest.cut(stop)[start], whole.cut(stop))
