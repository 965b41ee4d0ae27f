"""Centroids of the speakers of a recording."""

import numpy as np
import pytest

import ssahc
from ssahc.backend.plda import speaker_space, speaker_variances
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.core.types import Model
from ssahc.resegmentation.observations import observation_weights


def test_are_weighted_means_in_both_spaces(recording, model):
    result = ssahc.diarize_recording(recording, model)
    weights = observation_weights(recording.segments)
    whitened = whiten_and_normalize(center(recording.xvectors, model.mean), model)
    latent, psi = speaker_space(whitened, model)
    assert [one.speaker for one in result.centroids] == sorted(
        {turn.speaker for turn in result.turns}
    )
    for label, centroid in enumerate(result.centroids):
        rows = [row for row, found in enumerate(result.labels) if found == label]
        total = sum(weights[row] for row in rows)
        assert centroid.num_windows == pytest.approx(total)
        for found, vectors in (
            (centroid.xvector, recording.xvectors),
            (centroid.latent, latent),
        ):
            naive = sum(weights[row] * vectors[row] for row in rows) / total
            np.testing.assert_allclose(found, naive, atol=1e-9)
    np.testing.assert_array_equal(speaker_variances(model), psi)


def test_time_that_windows_share_counts_once(model):
    vectors = np.random.default_rng(0).standard_normal((8, len(model.mean)))
    starts = np.arange(8.0)
    apart = np.column_stack([starts * 2, starts * 2 + 2])
    halved = np.column_stack([starts, starts + 2])
    one = [
        ssahc.diarize(vectors, times, model=model, num_speakers=1).centroids
        for times in (apart, halved)
    ]
    assert [centroid.num_windows for (centroid,) in one] == pytest.approx([8, 4.5])


def test_there_is_no_common_space_without_a_global_mean(recording, model):
    bare = Model(transform=model.transform)
    result = ssahc.diarize_recording(recording, bare)
    assert len(result.centroids) == result.num_speakers
    assert all(centroid.latent is None for centroid in result.centroids)
