"""Equal error rate and detection cost, each against an independent oracle."""

from fractions import Fraction
from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

import ssahc
from ssahc.core.errors import DataError, UsageError
from ssahc.scoring.detection import (
    VerificationOptions,
    count_errors,
    equal_error_rate,
    min_dcf,
    verify,
)

# Few values, so that there are ties within and between the kinds.
TIED = st.lists(st.integers(-3, 3), min_size=1, max_size=12)
PRIORS = st.floats(0.001, 0.999)
COSTS = st.floats(0.01, 100)


def scipy_eer(targets, nontargets):
    """The crossing of scikit-learn's ROC, found by SciPy."""
    labels = np.r_[np.ones(len(targets)), np.zeros(len(nontargets))]
    scores = np.r_[targets, nontargets]
    alarms, detections, _ = roc_curve(labels, scores, drop_intermediate=False)
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
    raise AssertionError("rejecting everything misses everything")


def naive_dcf(targets, nontargets, options):
    """The lowest detection cost over all thresholds, both ends included."""
    lowest = inf
    for threshold in (-inf, *targets, *nontargets, inf):
        miss, alarm = map(float, rates(targets, nontargets, threshold))
        cost = options.c_miss * options.p_target * miss
        cost += options.c_fa * (1 - options.p_target) * alarm
        lowest = min(lowest, cost)
    accept_all = options.c_fa * (1 - options.p_target)
    return lowest / min(options.c_miss * options.p_target, accept_all)


# ---- equal error rate --------------------------------------------------------------


@pytest.mark.parametrize(("shift", "digits"), [(0.5, 12), (2, 1)])
def test_eer_of_many_scores_equals_scipy(rng, shift, digits):
    targets = np.round(rng.standard_normal(700) + shift, digits)
    nontargets = np.round(2 * rng.standard_normal(9000), digits)
    rate, threshold = equal_error_rate(targets, nontargets)
    assert rate == pytest.approx(scipy_eer(targets, nontargets), abs=1e-9)
    miss, alarm = np.mean(targets < threshold), np.mean(nontargets >= threshold)
    # With one digit, a step of the curve is as long as a score is frequent.
    assert abs(miss - alarm) < (0.04 if digits == 1 else 0.002)


@settings(max_examples=30)
@given(TIED, TIED)
def test_eer_of_tied_scores_equals_the_naive_one(targets, nontargets):
    rate, threshold = equal_error_rate(targets, nontargets)
    assert rate == pytest.approx(float(naive_eer(targets, nontargets)), abs=1e-12)
    gaps = {}
    for score in sorted({*targets, *nontargets}):
        miss, alarm = rates(targets, nontargets, score)
        gaps[score] = abs(miss - alarm)
    assert threshold == min(gaps, key=gaps.__getitem__)


# ---- detection cost ----------------------------------------------------------------


@settings(max_examples=30)
@given(TIED, TIED, PRIORS, COSTS, COSTS)
def test_dcf_equals_a_naive_loop(targets, nontargets, prior, miss, fa):
    options = VerificationOptions(prior, miss, fa)
    cost, threshold = min_dcf(targets, nontargets, p_target=prior, c_miss=miss, c_fa=fa)
    assert cost == pytest.approx(naive_dcf(targets, nontargets, options), rel=1e-12)
    assert cost <= 1 + 1e-12
    # The returned threshold has the returned cost.
    lost, alarm = map(float, rates(targets, nontargets, threshold))
    paid = miss * prior * lost + fa * (1 - prior) * alarm
    assert paid / min(miss * prior, fa * (1 - prior)) == pytest.approx(cost, rel=1e-9)


def test_accepting_or_rejecting_everything_may_cost_least():
    assert min_dcf([0.0], [1.0], p_target=0.01) == (1, inf)
    assert min_dcf([0.0], [1.0], p_target=0.99) == (pytest.approx(1), 0)


def test_verify_collects_all_figures(rng):
    targets = (rng.standard_normal(50) + 1).astype(np.float32)
    nontargets = rng.standard_normal(200).astype(np.float32)
    found = ssahc.verify(targets, nontargets, VerificationOptions(0.1, 2, 3))
    assert (found.num_target, found.num_nontarget) == (50, 200)
    expected = equal_error_rate(targets, nontargets)
    assert (found.eer, found.eer_threshold) == expected
    expected = min_dcf(targets, nontargets, p_target=0.1, c_miss=2, c_fa=3)
    assert (found.min_dcf, found.min_dcf_threshold) == expected
    assert verify(targets, nontargets) != found


def test_unusable_scores_are_named():
    masked = np.ma.masked_less([1.0, -99], 0)
    for targets, nontargets, message in (
        ([], [1.0], "no target trials"),
        ([1.0], [], "no nontarget trials"),
        ([1.0, nan], [1.0], "target scores must be finite, found nan at position 1"),
        ([1.0], [0, inf, inf], r"inf at position 1 \(2 of 3"),
        ([[1.0]], [1.0], "found 2 axes"),
        (["a"], [1.0], "must be an array of numbers"),
        (masked, [1.0], "found masked values"),
    ):
        for measure in (equal_error_rate, min_dcf, verify):
            with pytest.raises(DataError, match=message):
                measure(targets, nontargets)


def test_costs_out_of_range_are_rejected():
    for values, message in (
        ({"p_target": 0}, "p-target must be .* below 1, found 0"),
        ({"p_target": nan}, "p-target"),
        ({"c_miss": 1e-200}, "c-miss must be between 1e-30 and 1e[+]30, found 1e-200"),
        ({"c_fa": inf}, "c-fa must be between"),
    ):
        with pytest.raises(UsageError, match=message):
            min_dcf([1], [0], **values)


def test_errors_are_counted_at_a_threshold():
    found = count_errors([1.0, 2.0, 3.0], [0.0, 2.0], 2.0)
    assert (found.misses, found.false_alarms) == (1, 1)
