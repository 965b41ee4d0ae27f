"""What is learned of a recording from its own clusters, and when nothing is."""

import numpy as np
import pytest
from learn_alone import learn_alone

from ssahc.api import diarize_recording, make_options
from ssahc.core.errors import UsageError
from ssahc.core.types import NO_MODEL, Model, Recording
from ssahc.learning.optimizer import Training, train_networks
from ssahc.learning.options import LearningOptions

UNTRAINED = LearningOptions(min_xvectors=10_000)


@pytest.mark.parametrize("start", ["model", "whitened"])
def test_a_mean_may_be_written_as_an_offset(recording, model, start):
    offset = -model.transform @ model.mean
    affine = Model(
        np.zeros_like(model.mean),
        np.column_stack([model.transform, offset]),
        model.plda,
    )
    options = LearningOptions(start=start)
    ours, theirs = (
        learn_alone(recording, which, options).affinity.dense()
        for which in (affine, model)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("triplets", ["expected", "sampled"])
def test_learning_depends_on_the_seed_only_if_triplets_are_sampled(
    recording, model, triplets
):
    def learn(seed):
        options = LearningOptions(triplets=triplets, seed=seed)
        return learn_alone(recording, model, options, num_speakers=2)

    learned, same, other = map(learn, (5, 5, 6))
    (period,) = learned.periods
    assert period.learned
    assert period.num_clusters >= 2
    assert period.losses[-1] < period.losses[0]
    features = learned.affinity.features
    untrained = learn_alone(recording, model, UNTRAINED).affinity.features
    assert not np.allclose(features, untrained)
    assert features.tobytes() == same.affinity.features.tobytes()
    is_equal = np.array_equal(features, other.affinity.features)
    assert is_equal == (triplets == "expected")


def part(recording, count):
    return Recording(
        recording.id,
        recording.utterances[:count],
        recording.segments[:count],
        recording.xvectors[:count],
    )


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
@pytest.mark.parametrize("with_model", [True, False])
def test_few_windows(recording, model, count, with_model):
    learned = learn_alone(
        part(recording, count),
        model if with_model else NO_MODEL,
        LearningOptions(min_xvectors=0),
    )
    assert np.isfinite(learned.affinity.dense()).all()


def test_known_speakers_are_the_floor_of_the_first_clustering(recording, model):
    options = LearningOptions(init_threshold=-2.0)
    learned = learn_alone(recording, model, options, num_speakers=3)
    assert learned.periods[0].num_clusters == 3


def test_without_a_model_scale_does_not_matter(recording):
    louder = Recording(
        recording.id, recording.utterances, recording.segments, 8 * recording.xvectors
    )
    first, second = (
        learn_alone(item, NO_MODEL).affinity.dense() for item in (recording, louder)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gamma": -1.0},
        {"gamma": float("nan")},
        {"lr": float("inf")},
        {"eta": 1.5},
        {"eta": float("nan")},
        {"init_threshold": float("nan")},
        {"max_steps": -1},
        {"seed": -1},
        {"periods": 0},
        {"gamma_step": -0.1},
        {"threshold_step": float("nan")},
        {"lambda_": -0.1},
        {"lambda_": float("nan")},
        {"kc": 0},
        {"lambda_": 1e11},
        {"gamma": 1e31},
        {"gamma_step": 1e308},
        {"lr": 1e31},
        {"threshold_step": 1e31},
        {"periods": 1_001},
        {"max_steps": 1_000_001},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(UsageError):
        LearningOptions(**wrong)


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
    one, three = (
        learn_alone(
            recording,
            model,
            LearningOptions(periods=periods, init_threshold=0.6),
        )
        for periods in (1, 3)
    )
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
    plain, steered = (
        learn_alone(
            recording,
            model,
            LearningOptions(periods=3, init_threshold=0.7, lambda_=weight),
        )
        for weight in (0.0, 1.0)
    )
    assert plain.periods[0] == steered.periods[0]
    assert plain.periods[1] != steered.periods[1]
