"""Sweeps over a grid: equal to running everything anew at every point."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from ssahc import (
    LabelScorer,
    Model,
    Score,
    ScoringOptions,
    Sweep,
    diarize_recording,
    make_options,
    pool_sweeps,
    score_recording,
    sweep_recording,
)
from ssahc.core.errors import DataError, UsageError
from ssahc.pipeline import clustering, diarize
from ssahc.pipeline.tune import check_grid, cross_validate

THRESHOLDS = [-300.0, 0.0, 0.1, 2.0]
WEIGHTS = [0.0, 0.3, 1.0]
# Options, and what is swept beside the threshold.
CASES = {
    "plda": ({"system": "plda"}, {}),
    "default system": ({}, {}),
    "learning": ({"system": "ssahc"}, {"gamma": [0.2, 0.8], "init_threshold": [0.3]}),
    "fusion": ({"system": "ssahc+plda", "fusion": "znorm"}, {"fusion_weight": WEIGHTS}),
    "bounds": ({"system": "cosine", "min_speakers": 2, "max_speakers": 4}, {}),
    "lambda": ({"lambda_": 0.3, "periods": 2}, {"gamma": [0.3, 0.6]}),
    "two passes": ({"system": "cosine", "first_pass_max_utterances": 40}, {}),
}


def parts(score):
    return [score.scored, score.missed, score.false_alarm, score.confusion]


@pytest.fixture
def conversation(corpus):
    return corpus["a"].conversations[0]


def naive(conversation, model, values, grid, uem=None):
    """Diarize and score anew at every point."""
    for point in product(*grid.values()):
        options = make_options(**values, **dict(zip(grid, point)))
        turns = diarize_recording(conversation.recording, model, options).turns
        yield point, score_recording(conversation.turns, turns, uem=uem)


@pytest.mark.parametrize("case", CASES)
def test_same_as_every_point_anew(conversation, model, case):
    values, others = CASES[case]
    grid = others | {"threshold": THRESHOLDS}
    uem = [(2.0, 41.0)]
    scorer = LabelScorer(
        conversation.recording.segments, conversation.turns, ScoringOptions(), uem=uem
    )
    # Whatever place it is given, the threshold comes last.
    given = {"threshold": THRESHOLDS} | others
    options = make_options(**values)
    sweep = sweep_recording(conversation.recording, scorer, given, model, options)
    expected = dict(naive(conversation, model, values, grid, uem))
    assert sweep.names == tuple(grid)
    assert list(sweep.scores) == list(expected)
    for point, score in sweep.scores.items():
        np.testing.assert_allclose(parts(score), parts(expected[point]), atol=1e-6)
    assert len({score.der for score in expected.values()}) > 1


def test_known_numbers_and_ready_made_scores(conversation, model):
    # The start and resegmentation go by the model's PLDA, which one of the two has not.
    values = {"system": "ssahc+plda", "num_speakers": 3, "start": "model"}
    options = make_options(**values, resegmentation="none")
    grid = {"fusion_weight": WEIGHTS, "gamma": [0.2, 0.6]}
    expected = naive(conversation, model, values | {"resegmentation": "none"}, grid)
    recording, plda = conversation.recording, make_options(system="plda")
    scorer = LabelScorer(recording.segments, conversation.turns)
    scores = diarize_recording(recording, model, plda).affinity.dense()
    bare = Model(model.mean, model.transform)
    sweep = sweep_recording(recording, scorer, grid, bare, options, plda_scores=scores)
    assert sweep.names == ("fusion_weight", "gamma")
    for point, score in expected:
        np.testing.assert_allclose(parts(sweep.scores[point]), parts(score), atol=1e-6)


def test_what_is_shared_is_computed_once(conversation, model, monkeypatch):
    calls = Counter()

    def counted(name, real):
        def call(*args, **kwargs):
            calls[name] += 1
            return real(*args, **kwargs)

        return call

    stages = {diarize: ("learn_batch", "plda_affinity", "fuse"), clustering: ("link",)}
    for module, names in stages.items():
        for name in names:
            monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    scorer = LabelScorer(conversation.recording.segments, conversation.turns)
    grid = {"gamma": [0.2, 0.6], "fusion_weight": WEIGHTS, "threshold": THRESHOLDS}
    sweep = sweep_recording(conversation.recording, scorer, grid, model)
    assert len(sweep.scores) == 2 * 3 * 4
    expected = {"learn_batch": 2, "plda_affinity": 1, "link": 6, "fuse": 6}
    assert calls == expected


def test_missing_options_are_settled_at_each_point(conversation, model):
    scorer = LabelScorer(conversation.recording.segments, conversation.turns)
    grid = {"system": ["cosine", "plda", "ssahc"]}
    sweep = sweep_recording(conversation.recording, scorer, grid, model)
    expected = dict(naive(conversation, model, {}, grid))
    for point, score in sweep.scores.items():
        np.testing.assert_allclose(parts(score), parts(expected[point]), atol=1e-6)


def sweep_of(rates, names=("threshold",), scored=100.0):
    return Sweep(names, {p: Score(scored, confusion=rate) for p, rate in rates.items()})


def test_pooling_adds_seconds_and_the_lowest_rate_wins():
    one = sweep_of({(0.0,): 1, (0.1,): 2, (0.2,): 5}, scored=10)
    two = sweep_of({(0.0,): 9, (0.1,): 8, (0.2,): 0}, scored=90)
    pooled = pool_sweeps([one, two])
    assert parts(pooled.scores[0.1,]) == [100, 0, 0, 10]
    assert pooled.best() == (0.2,)
    # One after the other they are what they were.
    assert parts(one.scores[0.1,]) == [10, 0, 0, 2]


def test_of_equal_rates_the_middle_wins():
    equal = sweep_of(dict.fromkeys([(0.3,), (0.1,), (0.2,)], 1))
    assert equal.best() == (0.2,)
    names = ("fusion_weight", "threshold")
    # The middle weight first; then the middle of the thresholds that are best there.
    rates = {(w, t): 5 for w in (0.1, 0.5, 0.9) for t in (0.0, 0.1, 0.2, 0.3)}
    best = [(0.1, 0.0), (0.5, 0.1), (0.5, 0.2), (0.5, 0.3), (0.9, 0.3)]
    assert sweep_of(rates | dict.fromkeys(best, 1), names).best() == (0.5, 0.2)
    # Rounding makes no difference.
    noise = dict.fromkeys([(0.1,), (0.2,), (0.3,)], 1) | {(0.1,): 1 - 1e-13}
    assert sweep_of(noise).best() == (0.2,)


def test_values_of_a_point_become_options():
    sweep = sweep_of({(0.7, -0.2): 1}, ("fusion_weight", "threshold"))
    given = make_options("paper-ssa2", min_speakers=2, threshold=9.0)
    options = sweep.options_at(sweep.best(), given)
    expected = {"fusion_weight": 0.7, "threshold": -0.2, "min_speakers": 2}
    assert options == make_options("paper-ssa2", **expected)


def test_folds_by_hand():
    # Recordings 0 and 2 like 0.1, the others 0.2, recording 4 by far.
    rates = [(0, 5), (6, 1), (1, 3), (4, 0), (50, 2)]
    sweeps = {
        f"r{number}": sweep_of({(0.1,): low, (0.2,): high})
        for number, (low, high) in enumerate(rates)
    }
    one, two = cross_validate(sweeps, 2)
    assert one.recordings == ("r0", "r2", "r4")
    assert two.recordings == ("r1", "r3")
    # r1 and r3 together: 10 or 1; r0, r2 and r4: 51 or 10.
    assert one.point == two.point == (0.2,)
    assert parts(one.tuned) == [200, 0, 0, 1]
    assert parts(one.held_out) == [300, 0, 0, 10]
    assert parts(two.tuned) == [300, 0, 0, 10]
    assert parts(two.held_out) == [200, 0, 0, 1]
    # Each alone: without r4 the others are 11 or 9, so 0.2 is chosen there as well.
    alone = cross_validate(sweeps, 5)
    assert [fold.recordings for fold in alone] == [(name,) for name in sweeps]
    without_r4 = alone[4]
    assert without_r4.point == (0.2,)
    assert parts(without_r4.tuned) == [400, 0, 0, 9]
    assert parts(without_r4.held_out) == [100, 0, 0, 2]


def test_grids_that_cannot_be_swept():
    plda, ssahc = {"system": "plda"}, {"system": "ssahc"}
    kmeans, softmax = ssahc | {"clustering": "kmeans"}, ssahc | {"loss": "softmax"}
    spectral, unrefined = {"system": "spectral"}, plda | {"resegmentation": "none"}
    for values, grid, message in (
        (plda, {}, "nothing to sweep"),
        (plda, {"threshold": []}, "nothing to sweep"),
        (plda, {"treshold": [0.0]}, "unknown option 'treshold'"),
        (plda, {"gamma": [0.2]}, "plda does not use --gamma"),
        (softmax, {"gamma": [0.2]}, "--loss softmax does not use --gamma"),
        (kmeans, {"init_threshold": [0.2]}, "kmeans does not use --init-threshold"),
        (ssahc, {"fusion_weight": [0.2]}, r"use --system ssahc\+plda"),
        (spectral, {"threshold": [0.2]}, "does not use --threshold"),
        (unrefined, {"fa": [0.5]}, "--resegmentation none does not use --fa"),
        (ssahc, {"gamma": [0.2, -1.0]}, "gamma must be"),
        ({"system": "cosine", "num_speakers": 2}, {"threshold": [0.0]}, "not both"),
    ):
        with pytest.raises(UsageError, match=message):
            check_grid(grid, make_options(**values))


def test_given_scores_leave_no_plda_to_sweep(conversation, model):
    recording = conversation.recording
    scorer = LabelScorer(recording.segments, conversation.turns)
    options = make_options(system="plda")
    scores = diarize_recording(recording, model, options).affinity.dense()
    grid = {"target_energy": [0.1, 0.3], "threshold": [0.0]}
    assert len(sweep_recording(recording, scorer, grid, model, options).scores) == 2
    with pytest.raises(UsageError, match="scores does not use --target-energy"):
        sweep_recording(recording, scorer, grid, model, options, plda_scores=scores)
    with pytest.raises(UsageError, match="nothing to sweep"):
        sweep_recording(recording, scorer, {}, model, options)


def test_nothing_to_tune_on():
    for sweep in (sweep_of({(0.0,): 0}, scored=0.0), Sweep(("threshold",), {})):
        with pytest.raises(DataError, match="no reference speech"):
            sweep.best()
    one = sweep_of({(0.0,): 0})
    with pytest.raises(DataError, match="different grids"):
        pool_sweeps([one, sweep_of({(0.1,): 0})])
    with pytest.raises(DataError, match="different grids"):
        pool_sweeps([one, sweep_of({(0.0,): 0}, ("gamma",))])
    with pytest.raises(UsageError, match="2 folds or more"):
        cross_validate({"a": one, "b": one}, 1)
    with pytest.raises(DataError, match="3 folds need as many recordings, found 2"):
        cross_validate({"a": one, "b": one}, 3)
