"""What is learned of a recording from its own clusters, and when nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from learn_alone import learn_alone

from ssahc.api import diarize_recording, make_options
from ssahc.core.types import NO_MODEL, Recording
from ssahc.learning.optimizer import Training, train_networks
from ssahc.learning.options import LearningOptions

UNTRAINED = LearningOptions(min_xvectors=10_000)


def test_guard_returns_the_start(recording, model):
    start = learn_alone(recording, model, UNTRAINED).affinity
    for options, known, reason in (
        (LearningOptions(min_xvectors=10_000), None, "too_few_xvectors"),
        (LearningOptions(), 1, "one_speaker"),
        (LearningOptions(init_threshold=-2.0), None, "one_cluster"),
        (LearningOptions(init_threshold=2.0), None, "no_pairs"),
        (LearningOptions(lr=1e30), None, "no_gain"),
    ):
        learned = learn_alone(recording, model, options, num_speakers=known)
        assert learned.periods[0].stopped == reason
        assert not learned.periods[0].learned
        assert np.array_equal(learned.affinity.features, start.features)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_windows(recording, model, count):
    few = Recording(
        recording.id,
        recording.utterances[:count],
        recording.segments[:count],
        recording.xvectors[:count],
    )
    for known in (model, NO_MODEL):
        learned = learn_alone(few, known, LearningOptions(min_xvectors=0))
        assert np.isfinite(learned.affinity.dense()).all()


def test_known_speakers_are_the_floor_of_the_first_clustering(recording, model):
    options = LearningOptions(init_threshold=-2.0)
    learned = learn_alone(recording, model, options, num_speakers=3)
    assert learned.periods[0].num_clusters == 3


def test_periods_fall_and_end_at_the_known_number(recording, model):
    options = LearningOptions(periods=8, init_threshold=0.6, threshold_step=0.1)
    learned = learn_alone(recording, model, options, num_speakers=2)
    counts = [period.num_clusters for period in learned.periods]
    assert len(counts) > 2
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 2
    assert len(counts) < 8, "2 clusters, the number known, ended it"
    unknown = learn_alone(recording, model, options)
    assert len(unknown.periods) >= len(counts)


def test_one_period_is_the_first_of_several(recording, model):
    options = [LearningOptions(periods=count, init_threshold=0.6) for count in (1, 3)]
    one, three = (learn_alone(recording, model, option) for option in options)
    assert one.periods == three.periods[:1]
    assert len(three.periods) == 3
    assert not np.allclose(one.affinity.dense(), three.affinity.dense())


def test_a_period_that_fails_keeps_the_last_affinities(recording, model, monkeypatch):
    good = learn_alone(recording, model, LearningOptions(init_threshold=0.6))
    calls = []

    def fail_later(jobs, device):
        calls.append(1)
        if len(calls) == 1:
            return train_networks(jobs, device)
        return [Training((1.0, float("nan")), "diverged", np.array([]), None)]

    monkeypatch.setattr("ssahc.learning.ssa.train_networks", fail_later)
    options = LearningOptions(periods=5, init_threshold=0.6)
    learned = learn_alone(recording, model, options)
    assert [period.learned for period in learned.periods] == [True, False]
    np.testing.assert_array_equal(learned.affinity.dense(), good.affinity.dense())


def test_the_merging_cost_reaches_the_last_clustering(recording, model):
    base = {"init_threshold": 0.6, "num_speakers": 2, "system": "ssahc"}
    plain = diarize_recording(recording, model, make_options(**base))
    steered = diarize_recording(recording, model, make_options(lambda_=1.0, **base))
    below = plain.learning[0].num_clusters
    np.testing.assert_array_equal(plain.affinity.dense(), steered.affinity.dense())
    same = (plain.history.merges == steered.history.merges).all(axis=1)
    until = len(recording) - below
    assert same[:until].all(), "above N0 merges are plain"
    assert not same[until:].all()


def test_the_merging_cost_reaches_the_periods(recording, model):
    plain = LearningOptions(periods=3, init_threshold=0.7)
    options = (plain, replace(plain, lambda_=1.0))
    plain, steered = (learn_alone(recording, model, option) for option in options)
    assert plain.periods[0] == steered.periods[0]
    assert plain.periods[1] != steered.periods[1]
