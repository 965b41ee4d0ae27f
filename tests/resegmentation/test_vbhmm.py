"""VB-HMM inference and noise: equal to sums over paths, scipy, and PLDA scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from ssahc.backend.plda import log_likelihood_ratios
from ssahc.resegmentation import vbhmm
from ssahc.resegmentation.noise import lasting_noise, noise_variance
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.vbhmm import Posterior, infer, merge_gains


def observe(generator, count=30, dim=4, speakers=3, **changes):
    """Draw windows of several speakers who take turns."""
    psi = np.linspace(4.0, 0.5, dim)
    means = generator.standard_normal((speakers, dim)) * np.sqrt(psi)
    labels = generator.integers(speakers, size=count // 5 + 1).repeat(5)[:count]
    latent = means[labels] + generator.standard_normal((count, dim))
    stay = generator.uniform(0.1, 0.9, count - 1)
    weights = generator.uniform(0.3, 1.0, count)
    values = {"latent": latent, "psi": psi, "weights": weights, "stay": stay}
    return labels, Observations(**(values | changes))


def forward_backward(log_likelihoods, stay, priors):
    """Infer states from complete log-likelihoods, which VB-HMM splits in two terms."""
    count, states = log_likelihoods.shape
    weights, penalties = np.linspace(0.5, 2, count), np.linspace(-1, 3, states)
    off = 0.5 * np.outer(weights, penalties)
    return vbhmm.forward_backward(
        log_likelihoods + off, weights, penalties, stay, priors
    )


def guess(generator, count, speakers):
    return generator.dirichlet(np.ones(speakers), size=count)


@pytest.mark.parametrize(("count", "speakers"), [(1, 1), (1, 3), (4, 1), (5, 3)])
def test_forward_backward_equals_sums_over_all_paths(rng, count, speakers):
    log_likelihoods = 3 * rng.standard_normal((count, speakers))
    stay, priors = rng.uniform(size=count - 1), rng.dirichlet(np.ones(speakers))
    total, occupied = 0.0, np.zeros((count, speakers))
    entries = np.zeros(speakers)
    # All paths, and for each step whether the state stays or is drawn anew.
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


@pytest.mark.parametrize("leave", [0.5, 1e-6, 1e-10, 1e-12])
def test_forward_backward_is_exact_where_speakers_rarely_change(rng, leave):
    # Log-likelihoods are far apart, so that only rare changes can explain windows.
    stay, priors = np.full(59, 1 - leave), np.array([0.7, 0.3 - 1e-8, 1e-8])
    moves = np.log(stay[0] * np.eye(3) + (1 - stay[0]) * priors)
    for spread in (3, 30, 100):
        log_likelihoods = spread * rng.standard_normal((60, 3))
        ahead, behind = np.empty((60, 3)), np.zeros((60, 3))
        ahead[0] = np.log(priors) + log_likelihoods[0]
        for t in range(1, 60):
            before = logsumexp(ahead[t - 1][:, None] + moves, axis=0)
            ahead[t] = before + log_likelihoods[t]
            after = moves + log_likelihoods[-t] + behind[-t]
            behind[-t - 1] = logsumexp(after, axis=1)
        total = logsumexp(ahead[-1])
        found = forward_backward(log_likelihoods, stay, priors)
        np.testing.assert_allclose(found[0], np.exp(ahead + behind - total), atol=1e-9)
        assert found[1] == pytest.approx(total, rel=1e-12)


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
@settings(max_examples=10, deadline=None)
def test_the_evidence_never_decreases(seed, speakers):
    generator = np.random.default_rng(seed)
    _, observations = observe(generator)
    start = guess(generator, 30, speakers)
    evidences = [infer(observations, start, steps).evidence for steps in range(1, 12)]
    assert (np.diff(evidences) > -1e-6).all()


def test_the_evidence_of_one_speaker_is_exact(rng):
    _, observations = observe(rng, count=7, weights=np.ones(7))
    found = infer(observations, np.ones((7, 1)), 3)
    expected = 0.0
    for column, psi in zip(observations.latent.T, observations.psi, strict=True):
        together = multivariate_normal(cov=np.eye(7) + psi * np.ones((7, 7)))
        apart = multivariate_normal(cov=np.eye(7))
        expected += together.logpdf(column) - apart.logpdf(column)
    assert found.evidence == pytest.approx(expected)


def test_fb_compensates_repeated_windows(rng):
    _, observations = observe(rng)
    start = Posterior(guess(rng, 30, 3), np.full(3, 1 / 3), 0.0)
    repeated = replace(observations, weights=5 * observations.weights, fb=5.0)
    gains = merge_gains(observations, start)
    np.testing.assert_allclose(merge_gains(repeated, start), 5 * gains)


def test_the_gain_of_merging_two_windows_is_their_plda_score(rng):
    _, observations = observe(rng, count=6, weights=np.ones(6))
    gains = merge_gains(observations, Posterior(np.eye(6), np.full(6, 1 / 6), 0.0))
    scores = log_likelihood_ratios(observations.latent, observations.psi).dense()
    upper = np.triu_indices(6, 1)
    np.testing.assert_allclose(gains[upper], scores[upper], rtol=1e-4, atol=1e-5)
    assert (gains[np.tril_indices(6)] == -np.inf).all()


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_variance_of_noise_is_measured(rng, noise):
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
    # Without any noise, weights stay as they are.
    silent = replace(observations, latent=0 * latent, psi=np.full(50, 1e-300))
    assert noise_variance(silent, infer(silent, np.ones((180, 1)), 2)) == 1.0


def shifted(generator, share, *, speakers=2, blocks=40, dim=60):
    """Draw ten windows per block; a share of their noise, of variance 1, lasts."""
    labels = (np.arange(blocks) // 4 % speakers).repeat(10)
    places = np.arange(blocks).repeat(10)
    noise = np.sqrt(1 - share) * generator.standard_normal((len(labels), dim))
    noise += np.sqrt(share) * generator.standard_normal((blocks, dim))[places]
    latent = 2 * generator.standard_normal((speakers, dim))[labels] + noise
    weights = np.full(len(labels), 1 / (1 - share))
    stay = np.full(len(labels) - 1, 0.5)
    return labels, places, Observations(latent, np.full(dim, 4.0), weights, stay)


def test_lasting_noise_is_measured(rng):
    labels, blocks, observations = shifted(rng, 0.5)
    gain, inflation = lasting_noise(observations, labels, blocks)
    assert gain > 1000
    # Variance of a block's mean: 1/2 + 1/20; of independent windows: 1/20.
    assert inflation == pytest.approx(11)
    # Two speakers taken for one look like more of it.
    merged = lasting_noise(observations, np.zeros_like(labels), blocks)
    assert merged[0] > gain
    assert merged[1] > inflation
    independent = shifted(rng, 0.0)[2]
    assert lasting_noise(independent, labels, blocks) == (0.0, 1.0)


def test_lasting_noise_equals_scipy(rng):
    labels, observations = observe(rng, count=40)
    blocks = np.arange(40) // 7
    pairs = sorted(set(zip(labels.tolist(), blocks.tolist(), strict=True)))
    inside = [(labels == k) & (blocks == block) for k, block in pairs]
    counts = np.array([observations.weights[windows].sum() for windows in inside])
    means = np.array(
        [
            observations.weights[windows] @ observations.latent[windows]
            for windows in inside
        ]
    )
    means /= counts[:, None]
    speakers = np.array([k for k, _ in pairs])
    same = (speakers[:, None] == speakers).astype(float)

    def explain(variance):
        shifts = np.diag(variance + 1 / counts)
        return sum(
            multivariate_normal(cov=psi * same + shifts).logpdf(column)
            for psi, column in zip(observations.psi, means.T, strict=True)
        )

    shifts = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    evidence = [explain(variance) for variance in shifts]
    gain, inflation = lasting_noise(observations, labels, blocks)
    assert gain == pytest.approx(max(evidence) - evidence[0])
    best = shifts[int(np.argmax(evidence))]
    assert inflation == pytest.approx(1 + best * (counts**2).sum() / counts.sum())


def test_windows_of_different_speakers_are_kept_apart(rng):
    pairs = np.array([[0, 4], [1, 5], [2, 6], [0, 7], [3, 5]])
    _, observations = observe(rng, count=8, speakers=1, different=pairs)
    start = guess(rng, 8, 2)
    conflicts = np.zeros((8, 2))
    for low, high in pairs:
        conflicts[low] += start[high]
        conflicts[high] += start[low]
    np.testing.assert_allclose(observations.conflicts(start), conflicts)
    # A window that is nearer to one speaker is the other's.
    latent = np.array([[3.0] * 4] * 4 + [[-3.0] * 4] * 3 + [[0.1] * 4])
    near = replace(
        observations,
        latent=latent,
        weights=np.ones(8),
        stay=np.full(7, 0.1),
        different=np.array([[0, 7], [1, 7], [2, 7]]),
    )
    labels = [
        infer(one, np.eye(2)[[0] * 4 + [1] * 3 + [0]], 20).labels
        for one in (near, replace(near, different=None))
    ]
    assert [found[7] == found[0] for found in labels] == [False, True]
    # Merging two speakers costs the pairs between them.
    posterior = Posterior(np.eye(2)[[0] * 4 + [1] * 4], np.full(2, 0.5), 0.0)
    without = merge_gains(replace(observations, different=None), posterior)
    found = merge_gains(observations, posterior)
    assert found[0, 1] == pytest.approx(without[0, 1] - len(pairs))


def test_evidence_counts_each_pair_once(rng):
    _, observations = observe(rng, count=6, different=np.array([[0, 5], [1, 3]]))
    # With one speaker, all pairs are violated.
    without = infer(replace(observations, different=None), np.ones((6, 1)), 1)
    found = infer(observations, np.ones((6, 1)), 1)
    assert found.evidence == pytest.approx(without.evidence - 2)
