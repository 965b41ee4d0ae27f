"""PLDA scores: equal to Kaldi and to joint Gaussians; Kaldi's PLDA files."""

import numpy as np
import pytest
from kaldi_tables import read_table
from scipy.stats import multivariate_normal

from ssahc.backend.plda import (
    PldaOptions,
    log_likelihood_ratios,
    plda_affinity,
    project_plda,
)
from ssahc.backend.preprocess import recording_pca
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Plda
from ssahc.io.plda import read_plda, write_plda
from ssahc.io.text import read_spk2utt

# With few vectors the kept dimensions can lie in the null space of the recording's
# covariance, where no two eigensolvers agree.
UNSTABLE = {f"spk{n}" for n in ("04", "13", "16", "22", "25", "28", "32", "40")}


def brute_force_ratio(x, y, psi):
    """log p(x, y | same speaker) - log p(x) - log p(y), from joint Gaussians."""
    total = np.diag(1 + psi)
    joint = np.block([[total, np.diag(psi)], [np.diag(psi), total]])
    same = multivariate_normal(cov=joint).logpdf(np.concatenate([x, y]))
    single = multivariate_normal(cov=total)
    return same - single.logpdf(x) - single.logpdf(y)


def test_scores_equal_the_ratio_of_joint_gaussians(rng):
    psi = np.array([3.0, 1.0, 0.2, 0.0])
    latent = rng.standard_normal((6, 4))
    scores = log_likelihood_ratios(latent, psi).dense()
    for i in range(6):
        for j in range(6):
            expected = brute_force_ratio(latent[i], latent[j], psi)
            assert scores[i, j] == pytest.approx(expected, abs=1e-5)


def test_projection_keeps_the_covariances(rng):
    plda = Plda(
        rng.standard_normal(5), rng.standard_normal((5, 5)), np.arange(5, 0, -1.0)
    )
    directions = np.linalg.qr(rng.standard_normal((5, 5)))[0][:3]
    projected = project_plda(plda, directions)
    inverse = np.linalg.inv(plda.transform)
    back = np.linalg.inv(projected.transform)
    np.testing.assert_allclose(
        back @ back.T, directions @ inverse @ inverse.T @ directions.T
    )
    np.testing.assert_allclose(
        back * projected.psi @ back.T,
        directions @ (inverse * plda.psi) @ inverse.T @ directions.T,
    )
    assert (np.diff(projected.psi) <= 0).all()


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
@pytest.mark.parametrize("target_energy", [0.5, 0.8, 1.0])
def test_scores_equal_kaldi(golden, name, target_energy):
    folder = golden / "plda_train"
    vectors = dict(read_table(folder / f"{name}.ark", "vector"))
    scores = folder / f"{name}.scores_te{target_energy}.ark"
    theirs = dict(read_table(scores, "matrix"))
    plda = read_plda(folder / f"{name}.plda")
    compared = 0
    for speaker, utterances in read_spk2utt(folder / f"{name}.spk2utt").items():
        if name == "unbalanced" and speaker in UNSTABLE and target_energy < 1:
            continue
        raw = np.stack([vectors[u] for u in utterances]).astype(np.float64)
        ours = plda_affinity(raw, plda, PldaOptions(target_energy)).dense()
        np.testing.assert_allclose(ours, theirs[speaker], atol=1e-3)
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_windows_give_finite_scores(rng, count):
    plda = Plda(np.zeros(6), np.eye(6), np.linspace(3, 0.1, 6))
    vectors = rng.standard_normal((count, 6))
    for energy in (0.0, 0.1, 0.99, 1.0):
        affinity = plda_affinity(vectors, plda, PldaOptions(energy))
        assert np.isfinite(affinity.dense()).all()


def test_all_directions_are_kept_where_kaldi_aborts(rng, caplog):
    # Kaldi's loop counts one direction more than there are.
    vectors = rng.standard_normal((40, 16))
    plda = Plda(np.zeros(16), np.eye(16), np.ones(16))
    affinity = plda_affinity(vectors, plda, PldaOptions(0.99))
    assert affinity.features.shape == (40, 16)
    assert "keeps all 16 dimensions" in caplog.text


def test_unusable_models_are_refused(rng):
    plda = Plda(np.zeros(6), np.eye(6), np.ones(6))
    with pytest.raises(DataError, match="x-vectors have 5 dimensions, the PLDA has 6"):
        plda_affinity(np.ones((3, 5)), plda)
    singular = Plda(np.zeros(3), np.zeros((3, 3)), np.ones(3))
    with pytest.raises(DataError, match="singular"):
        project_plda(singular, recording_pca(rng.standard_normal((9, 3)))[1][:2])
    with pytest.raises(UsageError, match=r"between 0 and 1, found 1\.5"):
        PldaOptions(1.5)


@pytest.mark.parametrize("name", ["balanced", "adapted", "unbalanced.whitened"])
def test_files_are_written_as_kaldi_writes_them(golden, tmp_path, name):
    source = golden / "plda_train" / f"{name}.plda"
    plda = read_plda(source)
    write_plda(tmp_path / "plda", plda)
    assert (tmp_path / "plda").read_bytes() == source.read_bytes()
    text = source.with_name(f"{name}.plda.txt")
    write_plda(tmp_path / "plda.txt", plda, binary=False)
    assert (tmp_path / "plda.txt").read_bytes() == text.read_bytes()
    np.testing.assert_allclose(read_plda(text).transform, plda.transform, rtol=1e-5)
