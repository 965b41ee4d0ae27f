"""The benchmark on real embeddings: its peers, and a run on a tiny folder."""

import numpy as np
import pytest
from joblib import Parallel

from benchmarks import real
from benchmarks.support.clusterings import CLUSTERINGS, centroid_ahc, nme_sc
from benchmarks.support.real_tables import leave_one_out
from ssahc import Score, write_rttm, write_xvector_dir
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus


def draw_voices(counts, *, noise=0.3, seed=0):
    """Return unit vectors of voices, and whose they are."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    directions = np.linalg.qr(rng.normal(size=(32, len(counts))))[0].T
    vectors = directions[truth] + noise * rng.normal(size=(len(truth), 32)) / 32**0.5
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), truth


def is_same_partition(first, second):
    return np.array_equal(first[:, None] == first, second[:, None] == second)


def merge_centroids(vectors, threshold):
    """Merge the nearest centroids as long as they are near, one pair after another."""
    clusters = [[row] for row in range(len(vectors))]
    while len(clusters) > 1:
        centroids = np.array([vectors[rows].mean(axis=0) for rows in clusters])
        distances = np.linalg.norm(centroids[:, None] - centroids, axis=2)
        np.fill_diagonal(distances, np.inf)
        low, high = np.unravel_index(distances.argmin(), distances.shape)
        if distances[low, high] > threshold:
            break
        clusters[low] += clusters.pop(high)
    labels = np.empty(len(vectors), int)
    for number, rows in enumerate(clusters):
        labels[rows] = number
    return labels


@pytest.mark.parametrize("counts", [(20, 20), (30, 15, 10), (12, 12, 12, 12)])
def test_peers_find_clear_voices(counts):
    vectors, truth = draw_voices(counts)
    for cluster in (nme_sc, centroid_ahc, CLUSTERINGS["3D-Speaker"]):
        for told in (None, len(counts)):
            assert is_same_partition(cluster(vectors, told), truth)


def test_centroid_linkage_agrees_with_merging_centroids_one_by_one():
    vectors, _ = draw_voices((10, 6, 9), noise=0.6)
    # Of 25 windows two make a cluster, and none is smaller here.
    expected = merge_centroids(vectors, 0.7045654963945799)
    assert np.bincount(expected).min() >= 2
    assert is_same_partition(centroid_ahc(vectors), expected)


def test_centroid_linkage_gives_strays_to_the_nearest_voice():
    vectors, truth = draw_voices((20, 10))
    stray = 2 * vectors[truth == 1].mean(axis=0) - 3 * vectors[truth == 0].mean(axis=0)
    vectors = np.vstack([vectors, stray / np.linalg.norm(stray)])
    assert is_same_partition(centroid_ahc(vectors), np.append(truth, 1))


def test_drift_is_chosen_without_sets_of_the_same_source():
    rates = {"calls_a": [9.0, 1.0], "calls_b": [9.0, 1.0], "meetings_a": [2.0, 3.0]}
    chosen = leave_one_out(rates)
    assert chosen == {"calls_a": 0, "calls_b": 0, "meetings_a": 1}


def test_table_of_a_tiny_folder(tmp_path, capsys):
    corpus = simulate_corpus(SimulateOptions(recordings=2, duration=20.0, dim=16))
    items = corpus["a"].conversations
    folder = tmp_path / "tiny"
    write_xvector_dir(folder, [item.recording for item in items])
    turns = {item.recording.id: item.turns for item in items}
    write_rttm(folder / "ref.rttm", turns)
    sets = real.read_sets(None, [folder])
    results = {
        name: real.run_folder(items, Parallel(1), ["NME-SC"])
        for name, (items,) in sets.items()
    }
    real.report(results)
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("| tiny ")]
    expected = sum(
        (found.outcomes["NME-SC"].known for found in results["tiny"]), Score()
    )
    assert f"{expected.der:.1f} / " in rows[0].split("|")[3]
    assert len(rows) == 7
