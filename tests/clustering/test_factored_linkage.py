"""Average linkage on factors: equal to scipy, to Kaldi, and to linkage on matrices."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_info, threadpool_limits

from ssahc.backend.affinity import FactoredAffinity, cosine_affinity, weighted_sum
from ssahc.clustering import factored_linkage
from ssahc.clustering.ahc import average_linkage
from ssahc.clustering.factored_linkage import group, merge_factored
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.clustering.two_pass import merge_in_pieces
from ssahc.core.errors import DataError


def make_affinity(count, seed=0, speakers=None, dim=12):
    """Cosine and a PLDA's form of noisy vectors of several speakers, and who spoke."""
    rng = np.random.default_rng(seed)
    who = rng.integers(speakers or max(2, count // 100), size=count)
    blocks = [
        rng.standard_normal((who.max() + 1, dim))[who]
        + rng.standard_normal((count, dim))
        for _ in range(2)
    ]
    cosine = cosine_affinity(blocks[0])
    energy = (blocks[1] ** 2).sum(axis=1)
    plda = FactoredAffinity(blocks[1] / 3, -energy / 15, 0.5)
    return weighted_sum(cosine, plda, 0.6), who


def factor(scores):
    """Return a symmetric matrix, whatever its diagonal, as a factored affinity."""
    upper = np.triu(scores, 1).astype(np.float64)
    values, vectors = np.linalg.eigh(upper + upper.T)
    return FactoredAffinity(vectors * np.sqrt(values - values[0]), np.zeros(len(upper)))


def costs_of(affinity):
    """Return distances for scipy, in float64, and the number that turns them back."""
    matrix = affinity.features @ affinity.features.T + affinity.constant
    matrix += affinity.bias + affinity.bias[:, None]
    return matrix.max() - matrix[np.triu_indices(len(matrix), 1)], matrix.max()


def subset(affinity, rows):
    return FactoredAffinity(
        affinity.features[rows], affinity.bias[rows], affinity.constant
    )


def assert_valid(history, count):
    """Every cluster merged once, parts before unions, lower id first, none rising."""
    merges = history.merges
    assert history.num_leaves == count
    assert (merges[:, 0] < merges[:, 1]).all()
    assert (merges[:, 1] < count + np.arange(len(merges))).all()
    assert len(np.unique(merges)) == merges.size
    assert (np.diff(history.averages) <= 0).all()
    assert history.averages.dtype == np.float32


def assert_equal_histories(ours, theirs, tolerance=1e-5):
    assert np.array_equal(ours.merges, theirs.merges)
    scale = np.abs(theirs.averages).max(initial=1.0)
    np.testing.assert_allclose(
        ours.averages, theirs.averages, rtol=0, atol=tolerance * scale
    )


def unions(count, merges):
    """Return all clusters that are ever made, as sets of windows."""
    clusters = [frozenset([window]) for window in range(count)]
    for low, high in merges:
        clusters.append(clusters[int(low)] | clusters[int(high)])
    return set(clusters)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 500])
def test_merges_equal_linkage_on_the_matrix(count):
    affinity, _ = make_affinity(count, seed=count)
    history = merge_factored(affinity)
    assert_valid(history, count)
    assert len(history.merges) == count - 1
    assert_equal_histories(history, average_linkage(affinity.dense()))


def test_merges_equal_scipy():
    count = 1000
    affinity, _ = make_affinity(count, speakers=30)
    history = merge_factored(affinity)
    assert_valid(history, count)
    costs, largest = costs_of(affinity)
    tree = linkage(costs, "average")
    averages = largest - history.averages
    np.testing.assert_allclose(averages, tree[:, 2], rtol=0, atol=1e-5)
    assert unions(count, history.merges) == unions(count, tree[:, :2])


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


HARD = {
    # One dimension: chains with few reciprocal nearest neighbours.
    "circle": cosine_affinity(normal(1, 400, 2)),
    "line": FactoredAffinity(normal(2, 400, 1), np.zeros(400)),
    # Biases dominate: all have the same nearest neighbour, one merge a round.
    "bias": FactoredAffinity(0.01 * normal(3, 300, 5), normal(4, 300) - 100, -7.0),
    "only bias": FactoredAffinity(np.zeros((300, 1)), -np.linspace(1, 9, 300)),
    "no structure": FactoredAffinity(normal(5, 500, 30), np.ones(500)),
}


@pytest.mark.parametrize("shape", HARD)
def test_hard_shapes_equal_linkage_on_the_matrix(shape):
    affinity = HARD[shape]
    history = merge_factored(affinity)
    assert_valid(history, len(affinity))
    dense = average_linkage(affinity.dense())
    for count in (2, 7, 50, 200):
        stop = Stop(num_speakers=count)
        assert np.array_equal(history.cut(stop), dense.cut(stop))
    np.testing.assert_allclose(history.averages, dense.averages, rtol=3e-5, atol=3e-6)


def test_labels_equal_kaldi(kaldi_runs):
    # On matrices without equal scores, where Kaldi's choice depends on how its float32
    # sums round.
    histories = {}
    for run in kaldi_runs("t0"):
        upper = run.affinity[np.triu_indices(len(run.affinity), 1)]
        if len(np.unique(upper)) == len(upper):
            histories[run.recording] = merge_factored(factor(run.affinity))
    compared = 0
    for name in "t-1 t-0.5 t0 t0.5 t1 k1 k2 k3 k5".split():
        for run in kaldi_runs(name):
            if run.recording in histories:
                labels = histories[run.recording].cut(run.stop)
                assert labels.tolist() == run.labels, (name, run.recording)
                compared += len(run.labels)
    assert compared > 5000


# Small blocks, so that few windows fill many.
@pytest.mark.parametrize(
    ("rows", "tile", "fewest"), [(7, 5, 1), (64, 16, 8), (3, 50, 2)]
)
def test_block_sizes_do_not_matter(monkeypatch, rows, tile, fewest):
    affinity, _ = make_affinity(123, seed=3)
    whole = merge_factored(affinity)
    monkeypatch.setattr(factored_linkage, "_ROWS", rows)
    monkeypatch.setattr(factored_linkage, "_TILE", tile)
    monkeypatch.setattr(factored_linkage, "_FEWEST", fewest)
    assert_equal_histories(merge_factored(affinity), whole, 1e-7)


def test_float64_decides_where_float32_cannot(monkeypatch):
    # Vectors whose differences are below the resolution of float32, in many tiles.
    monkeypatch.setattr(factored_linkage, "_TILE", 16)
    rng = np.random.default_rng(0)
    features = np.repeat(rng.standard_normal((8, 5)), 40, axis=0)
    features += 1e-8 * rng.standard_normal(features.shape)
    affinity = FactoredAffinity(features[rng.permutation(320)], np.zeros(320))
    tree = linkage(costs_of(affinity)[0], "average")
    history = merge_factored(affinity)
    assert unions(320, history.merges) == unions(320, tree[:, :2])


@settings(deadline=None, max_examples=8)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.data())
def test_linkage_can_stop_and_continue(count, seed, data):
    affinity, _ = make_affinity(count, seed, dim=3)
    left = data.draw(st.integers(1, count))
    whole = merge_factored(affinity)
    first = whole.first(left)
    assert first.num_leaves - len(first.merges) == left
    rest = merge_factored(affinity, start=first.labels())
    assert_equal_histories(first.followed_by(rest), whole, 1e-6)


def test_linkage_of_clusters_equals_that_on_the_matrix(rng):
    affinity, _ = make_affinity(300)
    start = np.unique(rng.integers(40, size=300), return_inverse=True)[1]
    ours = merge_factored(affinity, start=start)
    assert_equal_histories(ours, average_linkage(affinity.dense(), start=start))
    means, sizes = group(affinity, start)
    member = np.eye(len(sizes))[start]
    expected = member.T @ affinity.dense() @ member
    np.testing.assert_allclose(
        means.dense() * np.outer(sizes, sizes), expected, rtol=1e-3, atol=1e-3
    )


# Small numbers: averages of many pairs are equal, exactly.
grids = st.integers(1, 3).flatmap(
    lambda dim: st.lists(
        st.lists(st.integers(-2, 2), min_size=dim, max_size=dim),
        min_size=1,
        max_size=30,
    )
)


@settings(deadline=None, max_examples=15)
@given(grids)
def test_every_merge_is_a_best_one_among_ties(rows):
    features = np.array(rows, float)
    history = merge_factored(FactoredAffinity(features, np.zeros(len(rows))))
    assert_valid(history, len(rows))
    matrix = features @ features.T
    clusters = {window: [window] for window in range(len(rows))}
    for step, (low, high) in enumerate(history.merges.tolist()):
        averages = {
            (i, j): matrix[np.ix_(clusters[i], clusters[j])].mean()
            for i in clusters
            for j in clusters
            if i < j
        }
        assert averages[low, high] == pytest.approx(max(averages.values()), abs=1e-5)
        clusters[len(rows) + step] = clusters.pop(low) + clusters.pop(high)


@pytest.fixture
def rounds(monkeypatch):
    """The numbers of threads of BLAS in each round of merges."""
    found = []
    merge = factored_linkage._FactoredClusters._merge

    def watched(self, *pairs):
        blas = (lib for lib in threadpool_info() if lib["user_api"] == "blas")
        found.append({lib["num_threads"] for lib in blas})
        merge(self, *pairs)

    monkeypatch.setattr(factored_linkage._FactoredClusters, "_merge", watched)
    return found


@pytest.mark.parametrize("noise", [0.0, 1e-16])
def test_equal_windows_are_merged_in_few_rounds(rounds, noise):
    rng = np.random.default_rng(0)
    affinity, _ = make_affinity(400)
    silent = rng.random(400) < 0.7
    silent[0] = True
    features = affinity.features.copy()
    features[silent] = features[0]
    features[silent] *= 1 + noise * rng.standard_normal((silent.sum(), 1))
    bias = np.where(silent, affinity.bias[0], affinity.bias)
    with threadpool_limits(2, "blas"):
        history = merge_factored(FactoredAffinity(features, bias, affinity.constant))
    assert_valid(history, 400)
    assert len(np.unique(history.cut(Stop(num_speakers=80))[silent])) == 1
    assert len(rounds) < 100
    assert all(threads == {1} for threads in rounds)


def test_no_matrix_is_built():
    affinity, _ = make_affinity(1500)
    merge_factored(subset(affinity, np.arange(300)))
    tracemalloc.start()
    merge_factored(affinity)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20  # the matrix alone is 8.6 MiB in float32


def test_unusable_affinities_are_refused():
    for features, bias, constant in (
        (np.full((3, 2), np.nan), np.zeros(3), 0.0),
        (np.zeros((3, 2)), np.array([0.0, np.inf, 0.0]), 0.0),
        (np.full((3, 2), 1e20), np.zeros(3), 0.0),
        (np.zeros((3, 2)), np.zeros(3), np.nan),
    ):
        with pytest.raises(DataError, match="compute them again"):
            merge_factored(FactoredAffinity(features, bias, constant))


def test_merges_are_sorted_in_the_order_of_kaldi():
    # Parts come before their union, but in no other order.
    found = MergeHistory(
        5,
        np.array([[3, 4], [5, 2], [1, 0], [7, 6]]),
        np.array([0.5, 0.25, 0.5, 0.375], np.float32),
    )
    history = found.by_average()
    assert history.merges.tolist() == [[0, 1], [3, 4], [2, 6], [5, 7]]
    assert history.averages.tolist() == [0.5, 0.5, 0.25, 0.25]


@settings(deadline=None, max_examples=6)
@given(st.integers(2, 80), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_pieces_give_a_full_history(count, piece, seed):
    affinity, _ = make_affinity(count, seed, dim=3)
    history = merge_in_pieces(affinity, longest=1, piece=piece)
    assert_valid(history, count)
    assert len(history.merges) == count - 1


def test_only_long_recordings_are_clustered_in_pieces_which_find_the_speakers():
    affinity, who = make_affinity(600, speakers=5)
    whole, stop = merge_factored(affinity), Stop(num_speakers=5)
    assert_equal_histories(merge_in_pieces(affinity), whole, 0)
    exact = adjusted_rand_score(who, whole.cut(stop))
    history = merge_in_pieces(affinity, longest=300, piece=150)
    assert adjusted_rand_score(who, history.cut(stop)) > exact - 0.1 > 0.6
