"""Counting speakers whose mean drifts: against Gaussians written out."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import ssahc
from ssahc.clustering.stopping import Stop
from ssahc.resegmentation.counting import (
    count_steady_speakers,
    number_posterior,
    score_numbers,
)
from ssahc.resegmentation.merge_path import Candidate
from ssahc.resegmentation.observations import Observations

DIM, PSI = 3, np.array([2.0, 0.4, 0.3])
AT_ZERO = Stop(threshold=0.0)


def observe(rng, means, windows):
    """Return windows around these means, and the candidate that tells them apart."""
    labels = np.repeat(np.arange(len(means)), windows)
    latent = means[labels] + rng.standard_normal((len(labels), DIM))
    count = len(labels)
    observations = Observations(latent, PSI, np.ones(count), np.full(count - 1, 0.5))
    return observations, Candidate(labels, 0.0)


def log_probability(means, counts, speakers, drift):
    """Return the log-probability that parts are of these speakers, up to a constant.

    A part deviates from its speaker by its own drift, and the mean of its windows by
    their noise; a speaker from what all have in common, which has a variance of 0.2.
    """
    noise, part = np.diag(1 / counts), np.eye(len(counts))
    same = speakers[:, None] == speakers
    densities = [
        sum(
            multivariate_normal(
                cov=noise + one * (0.2 + drift * part + variance * same)
            ).logpdf(column)
            for one, column in zip(PSI / PSI.mean(), means.T, strict=True)
        )
        for variance in (0.1, 0.2, 0.4, 0.8)
    ]
    windows = [counts[speakers == speaker].sum() for speaker in set(speakers)]
    few = min(3.0, 0.1 * counts.sum())
    prior = sum(min(0.0, np.log(each / few)) for each in windows)
    return logsumexp(densities) + prior


@pytest.mark.parametrize("drift", [0.05, 0.3])
def test_parts_of_one_speaker_are_scored_by_their_density(rng, drift):
    for _ in range(10):
        counts = rng.integers(1, 60, 3)
        centres = np.sqrt(PSI) * rng.standard_normal((3, DIM))
        observations, candidate = observe(rng, centres, counts)
        means = np.stack(
            [observations.latent[candidate.labels == part].mean(0) for part in range(3)]
        )
        scores = score_numbers((candidate,), AT_ZERO, observations, drift)
        three = log_probability(means, counts, np.arange(3), drift)
        one = log_probability(means, counts, np.zeros(3, int), drift)
        assert scores[3] - scores[1] == pytest.approx(three - one)
        pairs = [
            log_probability(means, counts, np.array(two), drift)
            for two in ([0, 0, 1], [0, 1, 0], [0, 1, 1])
        ]
        assert min(abs(scores[3] - scores[2] - three + pair) for pair in pairs) < 1e-6


def test_known_numbers_and_bounds_stand(rng):
    observations, candidate = observe(rng, np.zeros((3, DIM)), 20)
    path = (candidate,)
    assert count_steady_speakers(path, AT_ZERO, observations, 1.0) == 1
    assert count_steady_speakers(path, AT_ZERO, observations, 0.0) == 3
    assert count_steady_speakers(path, Stop(3), observations, 1.0) == 3
    least = Stop(threshold=0.0, min_speakers=2)
    assert count_steady_speakers(path, least, observations, 1.0) == 2
    beyond = Stop(threshold=0.0, min_speakers=4)
    assert count_steady_speakers(path, beyond, observations, 1.0) == 4
    # Bounds leave out numbers, and do not change how the others compare.
    free = score_numbers(path, AT_ZERO, observations, 0.1)
    most = score_numbers(path, Stop(threshold=0.0, max_speakers=2), observations, 0.1)
    assert most == {number: free[number] for number in (2, 1)}


def test_a_speaker_with_one_window_is_unlikely(rng):
    apart = np.array([[0.0, 0, 0], [2.4, 0, 0]])
    few, path = observe(rng, apart, [60, 1])
    many, other = observe(rng, apart, [40, 21])
    assert count_steady_speakers((path,), AT_ZERO, few, 0.1) == 1
    assert count_steady_speakers((other,), AT_ZERO, many, 0.1) == 2


def test_the_posterior_is_that_of_the_scores():
    posterior = number_posterior({3: -1.0, 1: -2000.0, 2: np.log(2) - 1})
    assert list(posterior) == [1, 2, 3]
    assert posterior == pytest.approx({1: 0.0, 2: 2 / 3, 3: 1 / 3})


def test_a_voice_that_drifts_is_one_speaker():
    # 20 minutes in which the voice changes every 5 minutes, by a quarter of its noise.
    rng, count = np.random.default_rng(0), 1600
    steps = np.sqrt(0.06) * rng.standard_normal((4, 64))
    xvectors = 5 + steps[np.arange(count) // 400] + rng.standard_normal((count, 64))
    segments = 0.75 * np.arange(count)[:, None] + [0, 1.5]
    found = ssahc.diarize(xvectors, segments)
    assert found.num_speakers == 1
    assert found.speaker_posterior[1] > 0.5
    assert ssahc.diarize(xvectors, segments, drift=0.0).num_speakers > 1


def test_a_known_number_is_certain_and_other_clusterings_have_no_posterior(rng):
    xvectors = np.repeat(10 * np.eye(8)[:2], 20, 0) + rng.standard_normal((40, 8))
    segments = 0.75 * np.arange(40)[:, None] + [0, 1.5]
    found = ssahc.diarize(xvectors, segments)
    assert sum(found.speaker_posterior.values()) == pytest.approx(1.0)
    likeliest = max(found.speaker_posterior, key=found.speaker_posterior.__getitem__)
    assert likeliest == found.num_speakers == 2
    known = ssahc.diarize(xvectors, segments, num_speakers=3)
    assert known.speaker_posterior == {3: 1.0}
    assert ssahc.diarize(xvectors, segments, system="cosine").speaker_posterior == {}
    one = ssahc.diarize(xvectors[:1], segments[:1], min_speakers=2)
    assert one.speaker_posterior == {1: 1.0}
