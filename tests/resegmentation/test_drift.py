"""Counting speakers whose mean drifts: against Gaussians written out."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import ssahc
from ssahc.clustering.stopping import Stop
from ssahc.resegmentation.drift import count_steady_speakers
from ssahc.resegmentation.merge_path import Candidate
from ssahc.resegmentation.observations import Observations

DIM, PSI = 3, np.array([2.0, 1.0, 0.5])


def observe(rng, means, windows):
    """Return windows around these means, and the candidate that tells them apart."""
    labels = np.repeat(np.arange(len(means)), windows)
    latent = means[labels] + rng.standard_normal((len(labels), DIM))
    count = len(labels)
    observations = Observations(latent, PSI, np.ones(count), np.full(count - 1, 0.5))
    return observations, Candidate(labels, 0.0)


def log_density(means, counts, speakers, drift):
    """Return the log-density of the means of parts, of these speakers.

    A part deviates from its speaker by its own drift, and the mean of its windows by
    their noise.
    """
    own = np.diag(drift + 1 / counts)
    shared = speakers[:, None] == speakers
    return sum(
        multivariate_normal(cov=own + psi * shared).logpdf(column)
        for psi, column in zip(PSI, means.T, strict=True)
    )


@pytest.mark.parametrize("drift", [0.01, 0.3])
def test_parts_are_merged_while_that_is_more_likely(rng, drift):
    for _ in range(20):
        counts = rng.integers(1, 60, 4)
        centres = np.sqrt(PSI) * rng.standard_normal((2, DIM))
        centres = centres[[0, 0, 1, 1]] + np.sqrt(drift) * rng.standard_normal((4, DIM))
        observations, candidate = observe(rng, centres, counts)
        means = np.stack(
            [observations.latent[candidate.labels == part].mean(0) for part in range(4)]
        )
        speakers = np.arange(4)
        while True:
            before = log_density(means, counts, speakers, drift)
            merged = [
                np.where(speakers == high, low, speakers)
                for low in set(speakers)
                for high in set(speakers)
                if low < high
            ]
            gains = [log_density(means, counts, one, drift) - before for one in merged]
            if not gains or max(gains) <= 0:
                break
            speakers = merged[int(np.argmax(gains))]
        stop = Stop(threshold=0.0)
        found = count_steady_speakers((candidate,), stop, observations, drift)
        assert found == len(set(speakers))


def test_known_numbers_and_bounds_stand(rng):
    observations, candidate = observe(rng, np.zeros((3, DIM)), 20)
    path = (candidate,)
    stop = Stop(threshold=0.0)
    assert count_steady_speakers(path, stop, observations, 0.1) == 1
    assert count_steady_speakers(path, stop, observations, 0.0) == 3
    assert count_steady_speakers(path, Stop(3), observations, 0.1) == 3
    least = Stop(threshold=0.0, min_speakers=2)
    assert count_steady_speakers(path, least, observations, 0.1) == 2


def test_a_voice_that_drifts_is_one_speaker():
    # 20 minutes in which the voice changes every 5 minutes, by a quarter of its noise.
    rng, count = np.random.default_rng(0), 1600
    steps = np.sqrt(0.06) * rng.standard_normal((4, 64))
    xvectors = 5 + steps[np.arange(count) // 400] + rng.standard_normal((count, 64))
    segments = 0.75 * np.arange(count)[:, None] + [0, 1.5]
    assert ssahc.diarize(xvectors, segments).num_speakers == 1
    assert ssahc.diarize(xvectors, segments, drift=0.0).num_speakers > 1
