"""Preprocessing: equal to scikit-learn and to Kaldi's loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from ssahc.backend.preprocess import (
    apply_transform,
    center,
    energy_dim,
    leading_pca,
    length_normalize,
    recording_pca,
    unit_rows,
    whiten_and_normalize,
)
from ssahc.core.errors import DataError
from ssahc.core.types import Model


def test_affine_transform_adds_its_last_column(rng):
    vectors, matrix = rng.standard_normal((5, 3)), rng.standard_normal((3, 4))
    expected = [matrix[:, :3] @ vector + matrix[:, 3] for vector in vectors]
    np.testing.assert_allclose(apply_transform(vectors, matrix), expected)


def test_lda_projects_to_rows_of_the_root_of_its_dimension(rng):
    vectors, lda = rng.standard_normal((5, 6)), rng.standard_normal((4, 7))
    expected = vectors @ lda[:, :6].T + lda[:, 6]
    np.testing.assert_allclose(apply_transform(vectors, lda), expected)
    expected *= 2 / np.linalg.norm(expected, axis=1, keepdims=True)
    found = whiten_and_normalize(vectors, Model(transform=lda))
    np.testing.assert_allclose(found, expected)
    # The same matrix without an offset, if there are so many dimensions.
    wider = rng.standard_normal((5, 7))
    np.testing.assert_allclose(apply_transform(wider, lda), wider @ lda.T)
    for dim in (5, 8):
        with pytest.raises(DataError, match="the model's transform has 7"):
            apply_transform(rng.standard_normal((5, dim)), lda)


def test_rows_get_length_1_or_the_root_of_the_dimension(rng):
    vectors = rng.standard_normal((4, 9))
    vectors[2] = 0
    for scaled, length in ((unit_rows(vectors), 1), (length_normalize(vectors), 3)):
        lengths = np.linalg.norm(scaled, axis=1)
        np.testing.assert_allclose(lengths, [length, length, 0, length])


def test_without_a_mean_the_recording_is_centred(rng):
    vectors = rng.standard_normal((6, 4)) + 5
    np.testing.assert_allclose(center(vectors, None).mean(axis=0), 0, atol=1e-12)
    same = np.tile(rng.standard_normal(4), (3, 1)) * 1.1
    assert np.array_equal(center(same, None), same)


def test_model_of_another_dimension_is_refused(rng):
    vectors = rng.standard_normal((6, 4))
    with pytest.raises(DataError, match="4 dimensions, the model's mean has 5"):
        center(vectors, np.zeros(5))
    with pytest.raises(DataError, match="4 dimensions, the model's transform has 5"):
        whiten_and_normalize(vectors, Model(transform=np.eye(5)))


def test_pca_equals_scikit_learn(rng):
    vectors = rng.standard_normal((50, 6)) * np.arange(1, 7)
    energies, directions = recording_pca(vectors)
    theirs = PCA().fit(vectors)
    np.testing.assert_allclose(energies, theirs.explained_variance_ * 49 / 50)
    np.testing.assert_allclose(np.abs(directions), np.abs(theirs.components_))


def kaldi_loop(energies, target):
    """As in ivector-plda-scoring-dense."""
    dim, energy = 1, 0.0
    while energy / energies.sum() <= target and dim <= len(energies):
        energy += energies[dim - 1]
        dim += 1
    return dim


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=20),
    st.floats(0, 0.98),
)
def test_energy_dim_equals_the_loop_of_kaldi(energies, target):
    energies = np.sort(np.array(energies, float))[::-1]
    assert energy_dim(energies, target) == kaldi_loop(energies, target)
    assert energy_dim(0 * energies, target) == 1


@pytest.mark.parametrize("count", [2, 12, 13, 40])
def test_leading_pca_equals_the_full_pca(rng, count):
    vectors = rng.standard_normal((count, 12)) * np.arange(1, 13) + 5
    energies, directions = leading_pca(vectors)
    expected, others = recording_pca(vectors)
    assert min(count - 1, 12) <= len(energies) <= 12
    np.testing.assert_allclose(energies, expected[: len(energies)], atol=1e-9)
    some = min(count - 1, 12)
    # Each direction may point either way.
    np.testing.assert_allclose(
        np.abs((directions * others[: len(directions)]).sum(1))[:some], 1
    )
    np.testing.assert_allclose(
        directions @ directions.T, np.eye(len(directions)), atol=1e-9
    )


@pytest.mark.parametrize("count", [1, 3, 6])
def test_leading_pca_of_equal_vectors_is_finite(count):
    for rank in (0, 1):
        vectors = np.ones((count, 8))
        vectors[:, 0] += rank * np.arange(count)
        energies, directions = leading_pca(vectors)
        assert np.isfinite(directions).all()
        np.testing.assert_allclose(energies[rank:], 0, atol=1e-12)
