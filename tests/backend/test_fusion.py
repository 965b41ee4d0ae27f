"""Affinities and their fusion: equal to the same operations on matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.backend.affinity import (
    FactoredAffinity,
    ScoreMatrix,
    cosine_affinity,
    weighted_sum,
)
from ssahc.backend.fusion import FusionOptions, fuse
from ssahc.core.errors import DataError, UsageError

MODES = ["raw", "maxabs", "znorm"]


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


@st.composite
def affinities(draw, count=None):
    count = draw(st.integers(2, 30)) if count is None else count
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    scale = 10.0 ** draw(st.integers(-3, 3))
    return FactoredAffinity(
        rng.normal(size=(count, 3)),
        scale * rng.normal(size=count),
        scale * rng.normal(),
    )


def matrix_of(affinity):
    matrix = affinity.features @ affinity.features.T + affinity.constant
    return matrix + affinity.bias[:, None] + affinity.bias


def test_cosines_are_those_of_the_angles(rng):
    vectors = rng.standard_normal((5, 3))
    vectors[1] = 0
    dense = cosine_affinity(vectors).dense()
    lengths = np.linalg.norm(vectors, axis=1)
    expected = vectors[0] @ vectors[2] / lengths[0] / lengths[2]
    assert dense[0, 2] == pytest.approx(expected)
    assert not dense[1].any()
    assert np.array_equal(dense, dense.T)


@settings(deadline=None, max_examples=15)
@given(affinities())
def test_statistics_of_factors_equal_those_of_the_matrix(affinity):
    matrix = matrix_of(affinity)
    values = off_diagonal(matrix)
    mean, deviation = affinity.moments()
    size = np.abs(matrix).max()
    assert mean == pytest.approx(values.mean(), abs=1e-9 * size)
    assert deviation == pytest.approx(values.std(), abs=1e-7 * size)
    assert affinity.largest() == pytest.approx(np.abs(values).max())
    scores = ScoreMatrix(matrix)
    assert scores.moments() == pytest.approx((mean, deviation), abs=1e-7 * size)
    assert scores.largest() == pytest.approx(affinity.largest())


def test_large_common_terms_do_not_cancel_in_statistics(rng):
    features = 1e4 + rng.normal(size=(30, 3))
    affinity = FactoredAffinity(features, 1e3 + rng.normal(size=30), -5e3)
    values = off_diagonal(matrix_of(affinity))
    mean, deviation = affinity.moments()
    assert mean == pytest.approx(values.mean(), rel=1e-12)
    assert deviation == pytest.approx(values.std(), rel=1e-6)


def test_one_pair_is_not_normalised():
    pair = FactoredAffinity(np.array([[1.0, 0.5], [0.4, 0.2]]), np.array([0.1, 0.3]))
    fused = fuse(pair, pair, FusionOptions("znorm"))
    np.testing.assert_allclose(fused.dense(), pair.dense(), rtol=1e-6)


def test_the_largest_value_is_found_in_every_block(monkeypatch, rng):
    monkeypatch.setattr("ssahc.backend.affinity._BLOCK", 20)
    for _ in range(5):
        affinity = FactoredAffinity(rng.normal(size=(13, 3)), rng.normal(size=13))
        values = off_diagonal(affinity.dense())
        assert affinity.largest() == pytest.approx(np.abs(values).max(), rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(
    affinities(count=9),
    affinities(count=9),
    st.sampled_from(MODES),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_fusion_equals_that_of_the_matrices(learned, scores, mode, weight):
    def normalized(affinity):
        matrix = affinity.dense().astype(np.float64)
        values = off_diagonal(matrix)
        if mode == "maxabs":
            return matrix / np.abs(values).max()
        if mode == "znorm":
            return (matrix - values.mean()) / values.std()
        return matrix

    options = FusionOptions(mode, weight)
    expected = weight * normalized(learned) + (1 - weight) * normalized(scores)
    size = np.abs(expected).max() + 1
    fused = fuse(learned, scores, options)
    assert isinstance(fused, FactoredAffinity)
    np.testing.assert_allclose(fused.dense(), expected, atol=1e-4 * size)
    dense = fuse(learned, ScoreMatrix(scores.dense()), options)
    assert isinstance(dense, ScoreMatrix)
    np.testing.assert_allclose(dense.dense(), expected, atol=1e-4 * size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_fusion_of_equal_windows_stays_finite(mode, count):
    equal = cosine_affinity(np.ones((count, 3)))
    nothing = FactoredAffinity(np.zeros((count, 3)), np.zeros(count))
    for first, second in ((equal, equal), (equal, nothing), (nothing, nothing)):
        fused = fuse(first, second, FusionOptions(mode)).dense()
        assert np.isfinite(fused).all()
        assert np.abs(fused).max() <= 1 + 1e-6


def test_scores_are_read_from_the_upper_triangle():
    matrix = np.array([[9.0, 1.0, 2.0], [50.0, 9.0, 3.0], [60.0, 70.0, 9.0]])
    scores = ScoreMatrix(matrix)
    assert scores.largest() == 3
    assert scores.moments() == pytest.approx((2.0, np.std([1, 2, 3])))
    for wrong in (np.ones((2, 3)), np.ones(4), np.full((2, 2), np.inf)):
        with pytest.raises(DataError):
            ScoreMatrix(wrong)


def test_weights_must_be_between_0_and_1():
    affinity = cosine_affinity(np.eye(3))
    for weight in (-0.1, 1.1, np.nan):
        with pytest.raises(UsageError):
            weighted_sum(affinity, affinity, weight)
        with pytest.raises(UsageError):
            FusionOptions(fusion_weight=weight)
