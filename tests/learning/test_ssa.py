"""What is learned of a recording from its own clusters, and when nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from learn_alone import learn_alone

from ssahc.api import diarize_recording, make_options
from ssahc.clustering.ahc import link
from ssahc.clustering.discriminative import DiscriminativeCost
from ssahc.clustering.stopping import Stop
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


def test_all_clusterings_merge_by_the_cost(recording, model):
    options = {"system": "ssahc", "lambda_": 0.2, "init_threshold": 0.5}
    result = diarize_recording(recording, model, make_options(**options))
    start = learn_alone(recording, model, UNTRAINED).affinity
    cost = DiscriminativeCost(0.2, 1)
    first, last = link(start, cost=cost), link(result.affinity, cost=cost)
    at_threshold = Stop(threshold=0.5)
    assert result.learning[0].num_clusters == first.num_clusters(at_threshold)
    assert first.num_clusters(at_threshold) != link(start).num_clusters(at_threshold)
    np.testing.assert_array_equal(result.history.merges, last.merges)
    # Eq. 2 decides from single windows on.
    plain = link(result.affinity).merges
    different = (last.merges != plain).any(axis=1)
    assert different[: len(recording) // 2].any()
    # It is an option of learning.
    options = make_options(system="cosine", lambda_=0.2)
    cosine = diarize_recording(recording, model, options)
    merges = link(cosine.affinity).merges
    np.testing.assert_array_equal(cosine.history.merges, merges)


def test_later_periods_merge_by_the_cost(recording, model):
    options = LearningOptions(periods=2, init_threshold=0.7, lambda_=0.5)
    learned = learn_alone(recording, model, options)
    once = learn_alone(recording, model, replace(options, periods=1))
    start = learn_alone(recording, model, UNTRAINED).affinity
    clusters = link(start, cost=options.cost()).cut(Stop(threshold=0.7))
    counts = [
        link(once.affinity, start=clusters, cost=cost).num_clusters(Stop(threshold=0.6))
        for cost in (options.cost(), None)
    ]
    assert counts[0] != counts[1]
    assert learned.periods[1].num_clusters == counts[0]
