"""Inference of speakers against exact probabilities and the PLDA's own scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from ssahc.cluster.silhouette import mean_silhouette
from ssahc.plda import log_likelihood_ratios
from ssahc.timing import count_observations, stay_probabilities
from ssahc.variational import (
    Observations,
    Posterior,
    block_variance,
    forward_backward,
    infer,
    merge_gains,
    noise_variance,
)


def observe(generator, count=30, dim=4, speakers=3, **changes):
    """Draw windows of some speakers who take turns."""
    psi = np.linspace(4.0, 0.5, dim)
    means = generator.standard_normal((speakers, dim)) * np.sqrt(psi)
    labels = generator.integers(speakers, size=count // 5 + 1).repeat(5)[:count]
    latent = means[labels] + generator.standard_normal((count, dim))
    stay = generator.uniform(0.1, 0.9, count - 1)
    weights = generator.uniform(0.3, 1.0, count)
    values = {"latent": latent, "psi": psi, "weights": weights, "stay": stay}
    return labels, Observations(**(values | changes))


def guess(generator, count, speakers):
    return generator.dirichlet(np.ones(speakers), size=count)


def test_forward_backward_sums_over_all_paths(rng):
    count, speakers = 5, 3
    log_likelihoods = 3 * rng.standard_normal((count, speakers))
    stay, priors = rng.uniform(size=count - 1), rng.dirichlet(np.ones(speakers))
    total, occupied = 0.0, np.zeros((count, speakers))
    entries = np.zeros(speakers)
    # Every path, and for every step whether it stayed or was drawn anew.
    for path in np.ndindex(*(speakers,) * count):
        for drawn in np.ndindex(*(2,) * (count - 1)):
            chance = priors[path[0]]
            for t, anew in enumerate(drawn, start=1):
                if anew:
                    chance *= (1 - stay[t - 1]) * priors[path[t]]
                else:
                    chance *= stay[t - 1] * (path[t] == path[t - 1])
            chance *= np.exp(log_likelihoods[np.arange(count), path].sum())
            total += chance
            occupied[np.arange(count), path] += chance
            for t, anew in enumerate((1, *drawn)):
                entries[path[t]] += anew * chance
    found = forward_backward(log_likelihoods, stay, priors)
    np.testing.assert_allclose(found[0], occupied / total, atol=1e-12)
    assert found[1] == pytest.approx(np.log(total))
    np.testing.assert_allclose(found[2], entries / total, atol=1e-12)


def test_extreme_likelihoods_and_priors_stay_finite(rng):
    log_likelihoods = 1e5 * rng.standard_normal((50, 4))
    priors = np.array([1 - 3e-8, 1e-8, 1e-8, 1e-8])
    stay = np.full(49, 1 - 1e-6)
    responsibilities, log_likelihood, entries = forward_backward(
        log_likelihoods, stay, priors
    )
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1)
    assert np.isfinite(log_likelihood)
    assert np.isfinite(entries).all()


@given(seed=st.integers(0, 1000), speakers=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_evidence_never_falls(seed, speakers):
    generator = np.random.default_rng(seed)
    _, observations = observe(generator)
    start = guess(generator, 30, speakers)
    evidences = [infer(observations, start, steps).evidence for steps in range(1, 12)]
    assert (np.diff(evidences) > -1e-6).all()


def test_evidence_of_one_speaker_is_exact(rng):
    _, observations = observe(rng, count=7, weights=np.ones(7))
    found = infer(observations, np.ones((7, 1)), 3)
    expected = 0.0
    for column, psi in zip(observations.latent.T, observations.psi, strict=True):
        together = multivariate_normal(cov=np.eye(7) + psi * np.ones((7, 7)))
        apart = multivariate_normal(cov=np.eye(7))
        expected += together.logpdf(column) - apart.logpdf(column)
    assert found.evidence == pytest.approx(expected)


def test_clear_speakers_are_found(rng):
    labels, observations = observe(rng, count=60, dim=40)
    start = guess(rng, 60, 3) + 0.3 * np.eye(3)[labels]
    found = infer(observations, start / start.sum(axis=1, keepdims=True), 20)
    assert (found.labels == labels).mean() > 0.95


def test_fb_undoes_what_repeating_every_window_does(rng):
    _, observations = observe(rng)
    start = Posterior(guess(rng, 30, 3), np.full(3, 1 / 3), 0.0)
    repeated = replace(observations, weights=5 * observations.weights, fb=5.0)
    gains = merge_gains(observations, start)
    np.testing.assert_allclose(merge_gains(repeated, start), 5 * gains)


def test_gain_of_merging_two_windows_is_their_plda_score(rng):
    _, observations = observe(rng, count=6, weights=np.ones(6))
    gains = merge_gains(observations, Posterior(np.eye(6), np.full(6, 1 / 6), 0.0))
    scores = log_likelihood_ratios(observations.latent, observations.psi).dense()
    upper = np.triu_indices(6, 1)
    np.testing.assert_allclose(gains[upper], scores[upper], rtol=1e-4, atol=1e-5)
    assert (gains[np.tril_indices(6)] == -np.inf).all()


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_noise_variance(rng, noise):
    labels = np.repeat([0, 1, 2], 60)
    means = 3 * rng.standard_normal((3, 50))
    latent = means[labels] + np.sqrt(noise) * rng.standard_normal((180, 50))
    observations = Observations(
        latent, np.full(50, 9.0), np.ones(180), np.full(179, 0.5)
    )
    found = infer(observations, np.eye(3)[labels], 5)
    variance = noise_variance(observations, found)
    assert variance == pytest.approx(noise, rel=0.05)
    assert observations.rescaled(variance).weights == pytest.approx(1 / variance)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=12)
)
@settings(max_examples=50, deadline=None)
def test_counts_by_ticks(spans):
    segments = np.array([(start, start + length) for start, length in spans], float)
    usual = np.median(np.diff(segments))
    covering = np.zeros(60)
    for start, length in spans:
        covering[start : start + length] += 1
    own = [np.sum(1 / covering[start : start + length]) for start, length in spans]
    expected = [
        value / max(length, usual) if usual else 1.0
        for value, (_, length) in zip(own, spans, strict=True)
    ]
    counts = count_observations(segments)
    np.testing.assert_allclose(counts, np.maximum(expected, 1e-3))
    assert (counts <= 1 + 1e-12).all()


def test_sliding_windows_count_for_the_time_they_hold_alone():
    starts = 0.75 * np.arange(10)
    segments = np.column_stack([starts, starts + 1.5])
    segments = np.vstack([segments, [[20.0, 20.5]]])
    counts = count_observations(segments)
    assert counts[1:9] == pytest.approx(0.5)
    assert counts[[0, 9]] == pytest.approx(0.75)
    assert counts[10] == pytest.approx(1 / 3)


@pytest.mark.parametrize("slow", [0.0, 0.5])
def test_blocks_vary_more_where_noise_lasts(rng, slow):
    labels, blocks = np.arange(400) // 40 % 2, np.arange(400) // 10
    noise = np.sqrt(1 - slow) * rng.standard_normal((400, 60))
    noise += np.sqrt(slow) * rng.standard_normal((40, 60))[blocks]
    latent = 2 * rng.standard_normal((2, 60))[labels] + noise
    observations = Observations(
        latent, np.full(60, 4.0), np.ones(400), np.full(399, 0.5)
    )
    # Variance of a block's sum: 10 (1 - slow) + 100 slow, by 10.
    found = block_variance(observations, np.eye(2)[labels], blocks)
    assert found == pytest.approx(1 + 9 * slow, rel=0.07)
    alone = np.eye(40)[blocks]
    assert block_variance(observations, alone, blocks) == 1.0


def test_staying_depends_on_the_time_between_windows():
    segments = np.array([[0.0, 1.0], [1.0, 2.0], [4.0, 5.0], [4.0, 5.0]])
    stay = stay_probabilities(segments, 2.0)
    assert stay[:2] == pytest.approx(np.exp([-0.5, -1.5]))
    assert 0.99 < stay[2] < 1


def test_silhouette_by_loops(rng):
    affinity = rng.standard_normal((12, 12))
    affinity += affinity.T
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 0, 3])
    values = []
    for i in range(12):
        averages = {}
        for k in range(4):
            others = [affinity[i, j] for j in range(12) if j != i and labels[j] == k]
            averages[k] = np.mean(others) if others else 0.0
        own = averages.pop(labels[i])
        values.append(own - max(averages.values()))
    assert mean_silhouette(affinity, labels) == pytest.approx(np.mean(values))
    assert mean_silhouette(affinity.astype(np.float32), labels) == pytest.approx(
        np.mean(values), rel=1e-5
    )
