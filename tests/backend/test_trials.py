"""Scores of verification trials and embeddings, each against an oracle."""

import numpy as np
import pytest
from kaldi_tables import read_table
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from ssahc.backend.plda import PldaOptions, plda_affinity
from ssahc.backend.trials import embed, score_trials
from ssahc.core.errors import DataError
from ssahc.core.types import Model, Plda
from ssahc.io.plda import read_plda
from ssahc.io.text import read_utt2spk


def test_scores_of_many_utterances_equal_kaldis(golden):
    """Speakers of 20 utterances against another set's utterances, not whitened."""
    folder = golden / "plda_train"
    means = dict(read_table(folder / "balanced.spkmean.txt.ark", "vector"))
    counts = read_utt2spk(folder / "balanced.num_utts")
    tests = dict(read_table(folder / "unbalanced.ark", "vector"))
    lines = (folder / "trial_scores.txt").read_text().splitlines()
    kaldis = [line.split() for line in lines]
    speakers, utterances = list(means), list(tests)
    trials = [[speakers.index(a), utterances.index(b)] for a, b, _ in kaldis]
    scores = score_trials(
        [means[name] for name in speakers],
        [int(counts[name]) for name in speakers],
        [tests[name] for name in utterances],
        trials,
        read_plda(folder / "balanced.plda"),
    )
    assert len(scores) == 200
    # Kaldi prints seven digits.
    np.testing.assert_allclose(scores, [float(c) for _, _, c in kaldis], rtol=1e-6)


def expected_length(latent, psi, count):
    """Scale a vector to the length that the mean of `count` has under the model."""
    variance = psi + 1 / count
    return latent * np.sqrt(len(psi) / np.sum(latent**2 / variance))


def test_plda_scores_equal_ratios_of_joint_densities(rng):
    """log p(mean, x | one speaker) - log p(mean) - log p(x), from joint Gaussians."""
    dim, counts = 3, np.array([1, 2, 100])
    psi = np.array([4, 1, 0.1])
    plda = Plda(rng.standard_normal(dim), rng.standard_normal((dim, dim)), psi)
    enrolled, tests = rng.standard_normal((3, dim)), rng.standard_normal((4, dim))
    trials = [(i, j) for i in range(3) for j in range(4)]
    scores = score_trials(enrolled, counts, tests, trials, plda)
    for score, (i, j) in zip(scores, trials, strict=True):
        n = counts[i]
        y = expected_length(plda.transform @ (enrolled[i] - plda.mean), psi, n)
        x = expected_length(plda.transform @ (tests[j] - plda.mean), psi, 1)
        blocks = [
            [np.diag(psi + 1 / n), np.diag(psi)],
            [np.diag(psi), np.diag(psi + 1)],
        ]
        joint = multivariate_normal(cov=np.block(blocks)).logpdf(np.r_[y, x])
        alone = multivariate_normal(cov=blocks[0][0]).logpdf(y)
        alone += multivariate_normal(cov=blocks[1][1]).logpdf(x)
        assert score == pytest.approx(joint - alone, abs=1e-4)


def test_trials_of_single_utterances_score_like_pairs_of_windows(model, recording):
    vectors = embed(recording.xvectors, model)
    count = len(vectors)
    trials = np.indices((count, count)).reshape(2, -1).T
    scores = score_trials(vectors, np.ones(count), vectors, trials, model.plda)
    expected = plda_affinity(vectors, model.plda, PldaOptions(target_energy=1)).dense()
    np.testing.assert_allclose(scores.reshape(count, -1), expected, atol=1e-3)
    assert len(scores) > 2048, "more than one block"


def test_cosine_scores_equal_scipy(rng):
    enrolled, tests = rng.standard_normal((40, 6)), rng.standard_normal((60, 6))
    trials = rng.integers(0, 40, (5000, 2))
    scores = score_trials(enrolled, np.full(40, 3), tests, trials)
    expected = 1 - cdist(enrolled, tests, "cosine")
    np.testing.assert_allclose(scores, expected[tuple(trials.T)], atol=1e-12)


def test_zero_vectors_have_finite_scores_and_no_trials_none(model):
    test = np.ones((1, 24))
    assert score_trials(np.zeros((1, 24)), [1], test, [[0, 0]]) == [0]
    score = score_trials(model.plda.mean[None], [1], test, [[0, 0]], model.plda)
    assert np.isfinite(score).all()
    assert score_trials(test, [1], test, np.zeros((0, 2), np.int64)).shape == (0,)


def test_inconsistent_trials_are_rejected():
    small = Plda(np.zeros(3), np.eye(3), np.ones(3))
    sound = {"enrolled": np.ones((2, 4)), "counts": [1, 2], "tests": np.ones((3, 4))}
    sound["trials"] = [[0, 0]]
    for changes, message in (
        ({"tests": np.ones((3, 5))}, "speakers have 4 dimensions, test utterances 5"),
        ({"counts": [1]}, "needs a number of x-vectors"),
        ({"counts": [1, 0]}, "1 or more"),
        ({"trials": [[0, 3]]}, r"found \[0 3\] to \[0 3\]"),
        ({"trials": [[-1, 0]]}, "counted from 0"),
        ({"trials": [[0.0, 0.0]]}, "whole numbers"),
        ({"trials": [0, 1]}, "pairs"),
        ({"enrolled": np.ones(4)}, "enrolled speakers must"),
        ({"plda": small}, "the PLDA has 3"),
    ):
        with pytest.raises(DataError, match=message):
            score_trials(**(sound | changes))


def test_embeddings_are_centred_whitened_and_of_one_length(rng):
    xvectors = rng.standard_normal((30, 4)) + 5
    mean, transform = rng.standard_normal(4), rng.standard_normal((4, 4))
    expected = (xvectors - mean) @ transform.T
    expected *= 2 / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(xvectors, Model(mean, transform)), expected)
    own = xvectors - xvectors.mean(axis=0)
    own *= 2 / np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(xvectors, Model()), own)
