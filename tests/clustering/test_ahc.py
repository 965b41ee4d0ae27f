"""AHC on matrices: equal to Kaldi, to scipy, and to the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from ssahc.backend.affinity import ScoreMatrix, cosine_affinity, weighted_sum
from ssahc.backend.plda import log_likelihood_ratios
from ssahc.clustering.ahc import (
    AhcOptions,
    agglomerative_cluster,
    average_linkage,
    has_factored_linkage,
    is_steered,
    link,
)
from ssahc.clustering.discriminative import DiscriminativeCost
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import DataError, UsageError

# Sums of a few small multiples of 1/4 are exact in float32, so that ties are ties in
# any order of addition.
grid = st.integers(-8, 8).map(lambda value: value / 4)


@st.composite
def matrices(draw):
    count = draw(st.integers(1, 10))
    return draw(arrays(np.float32, (count, count), elements=grid))


@st.composite
def stops(draw):
    if draw(st.booleans()):
        return Stop(num_speakers=draw(st.integers(1, 10)))
    fewest = draw(st.integers(1, 4))
    most = draw(st.none() | st.integers(fewest, 8))
    return Stop(
        threshold=draw(st.integers(-9, 9)) / 4 + 0.05,
        min_speakers=fewest,
        max_speakers=most,
    )


@settings(deadline=None, max_examples=30)
@given(matrices(), stops())
def test_labels_equal_the_definition(naive_ahc, affinity, stop):
    history, upper = average_linkage(affinity), np.triu(affinity, 1)
    expected = naive_ahc(upper + upper.T, stop)[0].tolist()
    assert history.cut(stop).tolist() == expected
    assert agglomerative_cluster(affinity, stop).tolist() == expected
    assert history.num_clusters(stop) == max(expected) + 1


def test_merges_equal_scipy(rng):
    points = rng.standard_normal((60, 4))
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    tree = linkage(squareform(distance, checks=False), "average")
    history = average_linkage(-distance.astype(np.float32))
    for count in (1, 2, 5, 20, 60):
        theirs = fcluster(tree, count, "maxclust")
        assert adjusted_rand_score(history.cut(Stop(count)), theirs) == 1
    np.testing.assert_allclose(-history.averages, tree[:, 2], rtol=1e-5)


@pytest.mark.parametrize(
    ("names", "longest"),
    [
        ("t-1 t-0.5 t0 t0.5 t1 costs_t-0.5 costs_t0 costs_t0.5", 999),
        ("t-0.25_fp1 t-0.25_fp2 t-0.25_fp5", 40),
        ("t-0.25_fp12 t-0.25_fp30", 64),
        ("k1 k2 k3 k5", 999),
        ("k2_frac0.5 k2_frac0.6 k3_frac0.4 k3_frac0.2 k5_frac0.3 k5_frac1.5", 999),
        ("k1_fp11 k2_fp12 k2_fp30 k2_fp30_frac0.6", 60),
    ],
)
def test_labels_equal_kaldi(kaldi_runs, names, longest):
    for name in names.split():
        compared = 0
        for run in kaldi_runs(name):
            # Sums between many small pieces take long.
            if len(run.affinity) <= longest:
                labels = agglomerative_cluster(run.affinity, run.stop, run.options)
                assert labels.tolist() == run.labels, f"{name} {run.recording}"
                compared += 1
        assert compared > 20


def test_bounds_hold_in_one_and_two_passes(rng):
    affinity = rng.standard_normal((60, 60)).astype(np.float32)
    history, kept = average_linkage(affinity), affinity.copy()
    pieces = AhcOptions(first_pass_max_utterances=25)
    for stop, expected in (
        (Stop(threshold=-9.0, min_speakers=4), 4),
        (Stop(threshold=9.0, max_speakers=3), 3),
        (Stop(num_speakers=70), 60),
    ):
        assert history.num_clusters(stop) == expected
        labels = agglomerative_cluster(affinity, stop, pieces)
        assert labels.max() + 1 == expected
    assert np.array_equal(affinity, kept)


@pytest.mark.parametrize("stop", [Stop(num_speakers=1), Stop(threshold=-0.1)])
def test_returning_from_the_compiled_loop_changes_nothing(rng, monkeypatch, stop):
    affinity = rng.standard_normal((60, 60)).astype(np.float32).round(1)
    whole = agglomerative_cluster(affinity, stop).tolist()
    history = average_linkage(affinity)
    monkeypatch.setattr("ssahc.clustering.dense_linkage._AT_ONCE", -13)
    assert agglomerative_cluster(affinity, stop).tolist() == whole
    assert average_linkage(affinity).merges.tolist() == history.merges.tolist()


def test_options_that_steer_merges_are_recognised(monkeypatch):
    known, threshold = Stop(num_speakers=2), Stop(threshold=0.0)
    whole = cosine_affinity(np.eye(10))
    assert not is_steered(whole, known, AhcOptions())
    assert is_steered(whole, known, AhcOptions(max_spk_fraction=0.6))
    assert not is_steered(whole, known, AhcOptions(max_spk_fraction=0.4))
    assert not is_steered(whole, threshold, AhcOptions(max_spk_fraction=0.6))
    assert is_steered(whole, threshold, AhcOptions(first_pass_max_utterances=9))
    # Kaldi's default is for scores from files only.
    monkeypatch.setattr("ssahc.clustering.ahc._KALDIS_FIRST_PASS", 9)
    assert not is_steered(whole, threshold, AhcOptions())
    assert is_steered(ScoreMatrix(whole.dense()), threshold, AhcOptions())


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("from_clusters", [False, True])
def test_linkage_on_factors_equals_that_on_a_matrix(
    rng, monkeypatch, weight, from_clusters
):
    """Both ways of `link`, with Eq. 2 from 12 clusters on."""
    centres = rng.standard_normal((6, 8))
    vectors = centres[rng.integers(6, size=300)] + rng.standard_normal((300, 8))
    scores = log_likelihood_ratios(vectors, np.linspace(3, 0.1, 8))
    affinity = weighted_sum(cosine_affinity(vectors), scores, 0.5)
    start = np.r_[np.arange(40), rng.integers(40, size=260)] if from_clusters else None
    cost = DiscriminativeCost(weight, 2, 12)
    dense = link(affinity, start=start, cost=cost)
    assert not has_factored_linkage(affinity)
    monkeypatch.setattr("ssahc.clustering.ahc.LONGEST_DENSE", 100)
    assert has_factored_linkage(affinity)
    factored = link(affinity, start=start, cost=cost)
    assert factored.merges.tolist() == dense.merges.tolist()
    np.testing.assert_allclose(factored.averages, dense.averages, rtol=1e-4, atol=1e-5)


def test_contradictory_stops_are_refused():
    for arguments in (
        {},
        {"num_speakers": 2, "threshold": 0.0},
        {"num_speakers": 0},
        {"num_speakers": 2, "max_speakers": 3},
        {"threshold": float("nan")},
        {"threshold": 0.0, "min_speakers": 3, "max_speakers": 2},
        {"threshold": 0.0, "max_speakers": 0},
    ):
        with pytest.raises(UsageError):
            Stop(**arguments)


def test_unusable_matrices_are_refused():
    for value in (np.nan, 1e37, 1e300):
        with pytest.raises(DataError):
            average_linkage(np.full((2, 2), value))
    with pytest.raises(DataError):
        average_linkage(np.zeros((2, 3)))
