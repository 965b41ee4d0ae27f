"""Equal error rate, detection cost and scores of trials, each against an oracle."""

from fractions import Fraction
from itertools import pairwise
from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_curve

import ssahc
from ssahc.backend.plda import PldaOptions, plda_affinity
from ssahc.backend.trials import (
    VerificationOptions,
    embed,
    equal_error_rate,
    min_dcf,
    score_trials,
    verify,
)
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Model, Plda
from ssahc.io.ark import read_table
from ssahc.io.plda import read_plda
from ssahc.io.text import read_utt2spk

# Few values, so that there are ties within and between the kinds.
TIED = st.lists(st.integers(-3, 3), min_size=1, max_size=12)
PRIORS = st.floats(0.001, 0.999)
COSTS = st.floats(0.01, 100)


def roc_of(targets, nontargets):
    """The curve of scikit-learn: false alarm rate, detection rate, thresholds."""
    labels = np.r_[np.ones(len(targets)), np.zeros(len(nontargets))]
    scores = np.r_[targets, nontargets]
    return roc_curve(labels, scores, drop_intermediate=False)


def eer_of(targets, nontargets):
    """The crossing of scikit-learn's curve, found by SciPy."""
    alarms, detections, _ = roc_of(targets, nontargets)
    curve = interp1d(alarms, detections)
    return brentq(lambda x: 1 - x - curve(x), 0, 1, xtol=1e-12)


def rates(targets, nontargets, threshold):
    """Miss and false alarm rate, counted one by one."""
    misses = sum(score < threshold for score in targets)
    alarms = sum(score >= threshold for score in nontargets)
    return Fraction(misses, len(targets)), Fraction(alarms, len(nontargets))


def naive_eer(targets, nontargets):
    """Follow the ROC from vertex to vertex in fractions."""
    thresholds = [*sorted({*targets, *nontargets}), inf]
    points = [rates(targets, nontargets, threshold) for threshold in thresholds]
    for (miss, alarm), (next_miss, next_alarm) in pairwise(points):
        if next_miss >= next_alarm:
            share = (alarm - miss) / (alarm - miss + next_miss - next_alarm)
            return miss + share * (next_miss - miss)
    raise AssertionError("rejecting all misses all")


def naive_dcf(targets, nontargets, options):
    """Detection cost at every threshold, the ends included."""
    lowest = inf
    for threshold in (-inf, *targets, *nontargets, inf):
        miss, alarm = map(float, rates(targets, nontargets, threshold))
        cost = options.c_miss * options.p_target * miss
        cost += options.c_fa * (1 - options.p_target) * alarm
        lowest = min(lowest, cost)
    accept = options.c_fa * (1 - options.p_target)
    return lowest / min(options.c_miss * options.p_target, accept)


# ---- equal error rate --------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "nontargets", "rate", "threshold"),
    [
        ([2, 3], [0, 1], 0, 2),
        ([0, 1], [2, 3], 1, 2),
        ([1], [1], 0.5, 1),
        ([1, 1, 1], [1], 0.5, 1),
        ([1, 3], [0, 2], 0.5, 2),
        # Of ten targets one lies below the nontargets; on the way from (0.1, 0) to
        # (0.1, 1) both are 0.1.
        ([0, *range(2, 11)], [1], 0.1, 2),
    ],
)
def test_eer_of_a_few(targets, nontargets, rate, threshold):
    found = equal_error_rate(targets, nontargets)
    assert found == (pytest.approx(rate, abs=1e-15), threshold)


@pytest.mark.parametrize("shift", [0, 0.5, 2, 4])
@pytest.mark.parametrize("digits", [1, 12])
def test_eer_is_that_of_scipy_on_many(rng, shift, digits):
    targets = np.round(rng.standard_normal(700) + shift, digits)
    nontargets = np.round(2 * rng.standard_normal(9000), digits)
    rate, threshold = equal_error_rate(targets, nontargets)
    assert rate == pytest.approx(eer_of(targets, nontargets), abs=1e-9)
    assert threshold in np.concatenate([targets, nontargets])
    miss, alarm = map(float, rates(targets, nontargets, threshold))
    # With one digit, a step of the curve is as long as a score is frequent.
    assert abs(miss - alarm) < (0.04 if digits == 1 else 0.002)


@given(TIED, TIED)
def test_eer_is_that_of_oracles_whatever_the_ties(targets, nontargets):
    rate, threshold = equal_error_rate(targets, nontargets)
    assert rate == pytest.approx(float(naive_eer(targets, nontargets)), abs=1e-12)
    assert rate == pytest.approx(eer_of(targets, nontargets), abs=1e-9)
    gaps = {}
    for score in sorted({*targets, *nontargets}):
        miss, alarm = rates(targets, nontargets, score)
        gaps[score] = abs(miss - alarm)
    assert threshold == min(gaps, key=gaps.__getitem__)


@given(TIED, TIED)
def test_only_the_order_of_scores_counts(targets, nontargets):
    rate, threshold = equal_error_rate(targets, nontargets)
    cost, cost_threshold = min_dcf(targets, nontargets, p_target=0.3)
    # A power of two leaves no two scores equal that were not.
    mapped = [np.exp2(values) - 100 for values in (targets, nontargets)]
    assert equal_error_rate(*mapped) == (rate, 2**threshold - 100)
    assert min_dcf(*mapped, p_target=0.3) == (cost, 2**cost_threshold - 100)
    assert equal_error_rate(targets[::-1], nontargets[::-1]) == (rate, threshold)


@given(TIED, TIED, PRIORS, COSTS, COSTS)
def test_kinds_and_signs_may_be_swapped_together(targets, nontargets, prior, miss, fa):
    swapped = [-score for score in nontargets], [-score for score in targets]
    rate, _ = equal_error_rate(targets, nontargets)
    assert equal_error_rate(*swapped)[0] == pytest.approx(rate, abs=1e-12)
    cost, _ = min_dcf(targets, nontargets, p_target=prior, c_miss=miss, c_fa=fa)
    other, _ = min_dcf(*swapped, p_target=1 - prior, c_miss=fa, c_fa=miss)
    assert other == pytest.approx(cost, rel=1e-9)


# ---- detection cost ----------------------------------------------------------------


@given(TIED, TIED, PRIORS, COSTS, COSTS)
def test_dcf_is_that_of_a_loop(targets, nontargets, prior, miss, fa):
    options = VerificationOptions(prior, miss, fa)
    cost, threshold = min_dcf(targets, nontargets, p_target=prior, c_miss=miss, c_fa=fa)
    assert cost == pytest.approx(naive_dcf(targets, nontargets, options), rel=1e-12)
    assert cost <= 1 + 1e-12
    # The threshold costs what it is said to.
    lost, alarm = map(float, rates(targets, nontargets, threshold))
    paid = miss * prior * lost + fa * (1 - prior) * alarm
    assert paid / min(miss * prior, fa * (1 - prior)) == pytest.approx(cost, rel=1e-9)


def test_dcf_is_that_of_scikit_learns_curve(rng):
    targets, nontargets = rng.standard_normal(500) + 3, rng.standard_normal(8000)
    alarms, detections, thresholds = roc_of(targets, nontargets)
    costs = 0.01 * (1 - detections) + 0.99 * alarms
    cost, threshold = min_dcf(targets, nontargets)
    assert cost == pytest.approx(costs.min() / 0.01, abs=1e-12)
    assert threshold == thresholds[costs.argmin()]
    assert 0.1 < cost < 0.9


def test_it_may_be_best_to_accept_all_or_nothing():
    assert min_dcf([0.0], [1.0], p_target=0.01) == (1, inf)
    assert min_dcf([0.0], [1.0], p_target=0.99) == (pytest.approx(1), 0)


def test_all_figures_together(rng):
    targets = (rng.standard_normal(50) + 1).astype(np.float32)
    nontargets = rng.standard_normal(200).astype(np.float32)
    found = ssahc.verify(targets, nontargets, VerificationOptions(0.1, 2, 3))
    assert (found.num_target, found.num_nontarget) == (50, 200)
    expected = equal_error_rate(targets, nontargets)
    assert (found.eer, found.eer_threshold) == expected
    expected = min_dcf(targets, nontargets, p_target=0.1, c_miss=2, c_fa=3)
    assert (found.min_dcf, found.min_dcf_threshold) == expected
    assert verify(targets, nontargets) != found


@pytest.mark.parametrize(
    ("targets", "nontargets", "message"),
    [
        ([], [1.0], "no target trials"),
        ([1.0], [], "no nontarget trials"),
        ([1.0, nan], [1.0], "target scores must be finite, found nan at position 1"),
        ([1.0], [0, inf, inf], r"inf at position 1 \(2 such of 3\)"),
        ([[1.0]], [1.0], "found 2 axes"),
        (["a"], [1.0], "must be an array of numbers"),
        (np.ma.masked_less([1.0, -99], 0), [1.0], "found masked values"),
        ([1j], [1.0], "found complex numbers"),
    ],
)
def test_unusable_scores_are_named(targets, nontargets, message):
    for measure in (equal_error_rate, min_dcf, verify):
        with pytest.raises(DataError, match=message):
            measure(targets, nontargets)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"p_target": 0}, "p-target must be .* below 1, found 0"),
        ({"p_target": nan}, "p-target"),
        ({"c_miss": 0}, "c-miss must be between 1e-30 and"),
        ({"c_miss": 1e-200}, "c-miss must be between 1e-30 and 1e[+]30, found 1e-200"),
        ({"p_target": 1e-200}, "p-target must be 1e-30 or more"),
        ({"c_fa": 1e200}, "c-fa must be between 1e-30 and 1e[+]30"),
        ({"c_fa": inf}, "c-fa must be between"),
    ],
)
def test_costs_out_of_range_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        min_dcf([1], [0], **values)


# ---- scores of trials --------------------------------------------------------------


def test_scores_of_many_utterances_equal_kaldis(golden):
    """Speakers of 20 utterances against another set's utterances, nothing whitened."""
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


def test_ratio_is_that_of_the_joint_density(rng):
    """log p(mean, x | one speaker) - log p(mean) - log p(x), from joint Gaussians."""
    dim, counts = 3, np.array([1, 2, 5, 100])
    plda = Plda(
        rng.standard_normal(dim), rng.standard_normal((dim, dim)), np.array([4, 1, 0.1])
    )
    enrolled, tests = rng.standard_normal((4, dim)), rng.standard_normal((5, dim))
    trials = [(i, j) for i in range(4) for j in range(5)]
    scores = score_trials(enrolled, counts, tests, trials, plda)
    for score, (i, j) in zip(scores, trials, strict=True):
        n, psi = counts[i], plda.psi
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


def test_one_utterance_scores_as_a_window_does(model, recording):
    vectors = embed(recording.xvectors, model)
    count = len(vectors)
    trials = np.indices((count, count)).reshape(2, -1).T
    scores = score_trials(vectors, np.ones(count), vectors, trials, model.plda)
    expected = plda_affinity(vectors, model.plda, PldaOptions(target_energy=1)).dense()
    np.testing.assert_allclose(scores.reshape(count, -1), expected, atol=1e-3)
    # More than one block of them.
    assert len(scores) > 2048


def test_cosine_is_that_of_scipy(rng):
    enrolled, tests = rng.standard_normal((40, 6)), rng.standard_normal((60, 6))
    trials = rng.integers(0, 40, (5000, 2))
    scores = score_trials(enrolled, np.full(40, 3), tests, trials)
    expected = 1 - cdist(enrolled, tests, "cosine")
    np.testing.assert_allclose(scores, expected[tuple(trials.T)], atol=1e-12)


def test_vectors_without_length_have_no_cosine_and_no_nan(model):
    zero, dim = np.zeros((1, 24)), 24
    assert score_trials(zero, [1], np.ones((1, dim)), [[0, 0]]) == [0]
    score = score_trials(model.plda.mean[None], [1], np.ones((1, dim)), [[0, 0]])
    assert np.isfinite(score).all()


def test_no_trial_has_no_score():
    scores = score_trials(
        np.ones((1, 2)), [1], np.ones((1, 2)), np.zeros((0, 2), np.int64)
    )
    assert scores.shape == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tests": np.ones((3, 5))}, "speakers have 4 dimensions, test utterances 5"),
        ({"counts": [1]}, "needs a number of x-vectors"),
        ({"counts": [1, 0]}, "1 or more"),
        ({"trials": [[0, 3]]}, r"found \[0 3\] to \[0 3\]"),
        ({"trials": [[-1, 0]]}, "counted from 0"),
        ({"trials": [[0.0, 0.0]]}, "whole numbers"),
        ({"trials": [0, 1]}, "pairs"),
        ({"enrolled": np.ones(4)}, "enrolled speakers must"),
        ({"plda": Plda(np.zeros(3), np.eye(3), np.ones(3))}, "the PLDA has 3"),
    ],
)
def test_trials_that_do_not_fit_are_refused(changes, message):
    values = {
        "enrolled": np.ones((2, 4)),
        "counts": [1, 2],
        "tests": np.ones((3, 4)),
        "trials": [[0, 0]],
    }
    with pytest.raises(DataError, match=message):
        score_trials(**(values | changes))


# ---- embeddings --------------------------------------------------------------------


def test_embeddings_are_centred_whitened_and_of_one_length(rng):
    xvectors = rng.standard_normal((30, 4)) + 5
    mean, transform = rng.standard_normal(4), rng.standard_normal((4, 4))
    expected = (xvectors - mean) @ transform.T
    expected *= 2 / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(xvectors, Model(mean, transform)), expected)
    own = xvectors - xvectors.mean(axis=0)
    own *= 2 / np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(xvectors, Model()), own)


def test_a_calibrated_plda_needs_no_threshold(rng):
    """Ratios of data drawn from the model itself: accepted above the prior's odds."""
    plda = Plda(np.zeros(40), np.eye(40), np.linspace(2, 0.2, 40))
    voices = rng.standard_normal((200, 1, 40)) * np.sqrt(plda.psi)
    spoken = voices + rng.standard_normal((200, 4, 40))
    enrolled, tests = spoken[:, :3].mean(axis=1), spoken[:, 3]
    trials = np.indices((200, 200)).reshape(2, -1).T
    scores = score_trials(enrolled, np.full(200, 3), tests, trials, plda)
    is_target = trials[:, 0] == trials[:, 1]
    found = verify(scores[is_target], scores[~is_target], VerificationOptions(0.1))
    assert found.eer < 0.06
    miss = np.mean(scores[is_target] < log(9))
    alarm = np.mean(scores[~is_target] >= log(9))
    assert (0.1 * miss + 0.9 * alarm) / 0.1 == pytest.approx(found.min_dcf, abs=0.06)
