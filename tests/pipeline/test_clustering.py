"""All clusterings by one interface."""

from typing import get_args

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import ssahc
from ssahc.backend.affinity import FactoredAffinity, ScoreMatrix, cosine_affinity
from ssahc.clustering.kmeans import kmeans_cluster
from ssahc.core.errors import DataError, UsageError
from ssahc.pipeline.clustering import (
    ClusteringName,
    Windows,
    cluster_windows,
    make_windows,
)

METHODS = get_args(ClusteringName)
FREE = ssahc.Stop(threshold=0.5)


def talk(rng, sizes, *, spread=0.25, dim=12):
    """Windows of speakers who are far apart, in the order of time, and who speaks."""
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    means = 3 * np.eye(len(sizes), dim)
    vectors = means[labels] + spread * rng.normal(size=(len(labels), dim))
    return windows_of(vectors), labels


def windows_of(vectors):
    starts = 10.0 * np.arange(len(vectors))
    segments = np.column_stack([starts, starts + 1.5])
    latent = 4 * vectors
    return Windows(
        cosine_affinity(vectors), segments, latent, np.full(latent.shape[1], 4.0)
    )


def count(labels):
    """The number of speakers; labels have no gaps."""
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    return int(labels.max()) + 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("speakers", [1, 2, 4])
def test_clear_speakers_are_found(rng, method, speakers):
    windows, truth = talk(rng, [20] * speakers)
    for stop in (FREE, ssahc.Stop(num_speakers=speakers)):
        labels = cluster_windows(windows, stop, method)
        assert labels.dtype == np.int64
        assert count(labels) == speakers
        assert adjusted_rand_score(labels, truth) == 1


@pytest.mark.parametrize("method", METHODS)
def test_known_and_bounded_numbers_are_kept(rng, method):
    windows, _ = talk(rng, [20] * 3)
    for known in (1, 2, 3, 5):
        stop = ssahc.Stop(num_speakers=known)
        assert count(cluster_windows(windows, stop, method)) == known
    for fewest, most in ((1, 2), (5, None), (4, 4), (2, 6)):
        stop = ssahc.Stop(threshold=0.5, min_speakers=fewest, max_speakers=most)
        found = count(cluster_windows(windows, stop, method))
        assert found == min(max(3, fewest), most or found)


@pytest.mark.parametrize("method", ["kmeans", "xmeans", "spectral", "vb"])
def test_labels_count_up_in_order_of_appearance_in_time(rng, method):
    windows, _ = talk(rng, [10, 14, 12])
    labels = cluster_windows(windows, FREE, method).tolist()
    first = [labels.index(label) for label in range(3)]
    assert first == sorted(first)
    # The order of the utterances in the tables does not matter.
    rows = rng.permutation(36)
    shuffled = Windows(
        cosine_affinity(windows.affinity.features[rows]),
        windows.segments[rows],
        windows.latent[rows],
        windows.psi,
    )
    for stop in (FREE, ssahc.Stop(num_speakers=3), ssahc.Stop(num_speakers=36)):
        here = cluster_windows(windows, stop, method)
        there = cluster_windows(shuffled, stop, method)
        np.testing.assert_array_equal(there, here[rows])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("windows", [1, 2, 3])
def test_few_windows(rng, method, windows):
    few = windows_of(rng.normal(size=(windows, 6)))
    assert count(cluster_windows(few, FREE, method)) <= windows
    for wanted in (windows, windows + 2):
        for stop in (
            ssahc.Stop(wanted),
            ssahc.Stop(threshold=9.0, min_speakers=wanted),
        ):
            labels = cluster_windows(few, stop, method)
            assert labels.tolist() == list(range(windows))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("row", [np.zeros(4), np.arange(4.0)])
def test_equal_windows_are_one_speaker(method, row):
    windows = windows_of(np.tile(row, (24, 1)))
    stop = ssahc.Stop(threshold=0.0)
    assert count(cluster_windows(windows, stop, method)) == 1
    assert count(cluster_windows(windows, ssahc.Stop(num_speakers=2), method)) <= 2


@pytest.mark.parametrize("method", ["kmeans", "xmeans", "spectral", "vb"])
def test_thresholds_are_for_merging_alone(rng, method):
    windows, _ = talk(rng, [8, 8], spread=0.8)
    low, high = (
        cluster_windows(windows, ssahc.Stop(threshold=threshold), method)
        for threshold in (-2.0, 2.0)
    )
    np.testing.assert_array_equal(low, high)
    assert count(cluster_windows(windows, ssahc.Stop(threshold=-2.0))) == 1
    assert count(cluster_windows(windows, ssahc.Stop(threshold=2.0))) == 16


def test_kmeans_takes_its_number_from_xmeans_and_is_the_best_of_its_starts(rng):
    windows, _ = talk(rng, [10] * 5, spread=0.6)
    free = cluster_windows(windows, FREE, "kmeans")
    assert count(free) == count(cluster_windows(windows, FREE, "xmeans"))
    told = cluster_windows(windows, ssahc.Stop(num_speakers=count(free)), "kmeans")
    np.testing.assert_array_equal(free, told)
    vectors = windows.affinity.features
    assert errors(vectors, free) <= errors(
        vectors, kmeans_cluster(vectors, vectors[: count(free)])
    )


def errors(vectors, labels):
    """Squared distances to the nearest mean, one by one."""
    means = [vectors[labels == k].mean(axis=0) for k in range(labels.max() + 1)]
    return sum(min(((v - m) ** 2).sum() for m in means) for v in vectors)


def test_windows_that_lack_what_a_method_needs_are_refused(rng):
    windows, _ = talk(rng, [6, 6])
    matrix = Windows(ScoreMatrix(windows.affinity.dense()), windows.segments)
    for method in ("kmeans", "xmeans"):
        with pytest.raises(DataError, match="a matrix without any; cluster by ahc"):
            cluster_windows(matrix, FREE, method)
        for value in (np.nan, np.inf, 1e30):
            affinity = FactoredAffinity(np.full((8, 2), value), np.zeros(8))
            with pytest.raises(DataError, match="compute them again"):
                cluster_windows(Windows(affinity, np.eye(8, 2)), FREE, method)
    with pytest.raises(UsageError, match="give their latent vectors and psi"):
        cluster_windows(Windows(windows.affinity, windows.segments), FREE, "vb")


@pytest.mark.parametrize("method", ["ahc", "vb", "spectral"])
def test_a_matrix_of_scores_will_do_for_the_others(rng, method):
    windows, truth = talk(rng, [14, 14])
    matrix = ScoreMatrix(windows.affinity.dense())
    given = Windows(matrix, windows.segments, windows.latent, windows.psi)
    assert adjusted_rand_score(cluster_windows(given, FREE, method), truth) == 1


def test_vb_is_what_resegmentation_answers(recording, model):
    options = ssahc.make_options(system="ssahc", num_speakers=3)
    result = ssahc.diarize_recording(recording, model, options)
    windows = make_windows(recording, model, result.affinity, "vb")
    labels = cluster_windows(windows, ssahc.Stop(num_speakers=3), "vb")
    np.testing.assert_array_equal(labels, result.labels)
