"""Detection errors of speaker verification: equal error rate and detection cost.

A trial asks whether a test utterance is of an enrolled speaker. It is accepted if its
score is at or above a threshold. Misses are rejected targets, false alarms are accepted
nontargets.
"""

from dataclasses import asdict, dataclass
from math import inf
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.types import LARGEST, FloatArray, IntArray, as_numbers
from ssahc.core.validation import Interval


@dataclass(frozen=True)
class VerificationOptions(Options, group="Scoring"):
    """Costs of errors, as in NIST's speaker recognition evaluations.

    Parameters
    ----------
    p_target : float
        Prior probability of a target trial.
    c_miss : float
        Cost of rejecting a target.
    c_fa : float
        Cost of accepting a nontarget.
    """

    # Products of these, and shares of them, must be numbers above 0.
    p_target: Annotated[float, Interval(ge=1 / LARGEST, lt=1)] = 0.01
    c_miss: Annotated[float, Interval(ge=1 / LARGEST, le=LARGEST)] = 1.0
    c_fa: Annotated[float, Interval(ge=1 / LARGEST, le=LARGEST)] = 1.0


@dataclass(frozen=True)
class Verification:
    """How well scores separate targets from nontargets.

    Attributes
    ----------
    num_target, num_nontarget : int
        Number of trials of each kind.
    eer : float
        Equal error rate, 0 to 1.
    eer_threshold : float
        See `equal_error_rate`.
    min_dcf : float
        Minimum normalised detection cost, 0 to 1.
    min_dcf_threshold : float
        See `min_dcf`.
    """

    num_target: int
    num_nontarget: int
    eer: float
    eer_threshold: float
    min_dcf: float
    min_dcf_threshold: float


def verify(
    targets: ArrayLike,
    nontargets: ArrayLike,
    options: VerificationOptions = VerificationOptions(),
) -> Verification:
    """Measure how well scores separate targets from nontargets.

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores; higher means more alike.
    options : VerificationOptions

    Raises
    ------
    DataError
        If there are no targets or no nontargets, or a score is not finite.
    """
    cost, cost_threshold = min_dcf(targets, nontargets, **asdict(options))
    rate, rate_threshold = equal_error_rate(targets, nontargets)
    return Verification(
        num_target=np.size(targets),
        num_nontarget=np.size(nontargets),
        eer=rate,
        eer_threshold=rate_threshold,
        min_dcf=cost,
        min_dcf_threshold=cost_threshold,
    )


@dataclass(frozen=True)
class ErrorCounts:
    """Errors at one threshold.

    Attributes
    ----------
    threshold : float
        Trials with this score or more are accepted.
    misses : int
        Rejected targets.
    false_alarms : int
        Accepted nontargets.
    """

    threshold: float
    misses: int
    false_alarms: int


def count_errors(
    targets: ArrayLike, nontargets: ArrayLike, threshold: float
) -> ErrorCounts:
    """Count the errors of scores at a threshold.

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores; higher means more alike.
    threshold : float
    """
    accepted = [
        int((np.asarray(scores) >= threshold).sum()) for scores in (targets, nontargets)
    ]
    return ErrorCounts(threshold, np.size(targets) - accepted[0], accepted[1])


def equal_error_rate(targets: ArrayLike, nontargets: ArrayLike) -> tuple[float, float]:
    """Return the rate at which misses and false alarms are equally frequent.

    This is where the two rates cross on the ROC, whose vertices are the rates at every
    distinct score, joined by straight lines.

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores; higher means more alike.

    Returns
    -------
    rate : float
        0 to 1.
    threshold : float
        The score at which the two rates are closest, the lower one of a tie.

    Raises
    ------
    DataError
        If there are no targets or no nontargets, or a score is not finite.
    """
    roc = _trace_roc(targets, nontargets)
    # Compared as whole numbers, so that equal rates compare equal. The difference
    # increases from vertex to vertex.
    excess = roc.misses * roc.num_nontarget - roc.alarms * roc.num_target
    after = int(np.searchsorted(excess, 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    misses = roc.misses[before] + share * (roc.misses[after] - roc.misses[before])
    nearest = before if -excess[before] <= excess[after] else after
    return float(misses / roc.num_target), float(roc.thresholds[nearest])


def min_dcf(
    targets: ArrayLike,
    nontargets: ArrayLike,
    *,
    p_target: float = VerificationOptions.p_target,
    c_miss: float = VerificationOptions.c_miss,
    c_fa: float = VerificationOptions.c_fa,
) -> tuple[float, float]:
    """Return the minimum detection cost over all thresholds.

    The cost is ``c_miss p_target P_miss + c_fa (1 - p_target) P_fa``, divided by the
    cost of accepting all or rejecting all, whichever is lower (NIST).

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores; higher means more alike.
    p_target, c_miss, c_fa : float
        See `VerificationOptions`.

    Returns
    -------
    cost : float
        0 to 1.
    threshold : float
        Trials with this score or more are accepted; the lowest one of a tie, inf if it
        is best to reject all.

    Raises
    ------
    DataError
        If there are no targets or no nontargets, or a score is not finite.
    UsageError
        If the prior or a cost is out of range.
    """
    options = VerificationOptions(p_target, c_miss, c_fa)
    roc = _trace_roc(targets, nontargets)
    miss_cost = options.c_miss * options.p_target
    alarm_cost = options.c_fa * (1 - options.p_target)
    costs = miss_cost * (roc.misses / roc.num_target)
    costs += alarm_cost * (roc.alarms / roc.num_nontarget)
    best = int(np.argmin(costs))
    return float(costs[best] / min(miss_cost, alarm_cost)), float(roc.thresholds[best])


@dataclass(frozen=True, eq=False)
class _Roc:
    """Error counts at every distinct threshold, in ascending order."""

    # The distinct scores, then infinity: the first accepts all, the last rejects all.
    thresholds: FloatArray
    # Targets below each threshold, and nontargets at or above it.
    misses: IntArray
    alarms: IntArray
    num_target: int
    num_nontarget: int


def _trace_roc(targets: ArrayLike, nontargets: ArrayLike) -> _Roc:
    targets = _sort_scores(targets, "target")
    nontargets = _sort_scores(nontargets, "nontarget")
    thresholds = np.append(np.unique(np.concatenate([targets, nontargets])), inf)
    return _Roc(
        thresholds,
        np.searchsorted(targets, thresholds),
        len(nontargets) - np.searchsorted(nontargets, thresholds),
        len(targets),
        len(nontargets),
    )


def _sort_scores(values: ArrayLike, kind: str) -> FloatArray:
    scores = as_numbers(values, f"{kind} scores")
    if scores.ndim != 1:
        raise DataError(
            f"{kind} scores must be a list of numbers, found {scores.ndim} axes"
        )
    if len(scores) == 0:
        raise DataError(
            f"there are no {kind} trials; errors need both targets and nontargets"
        )
    unusable = ~np.isfinite(scores)
    if unusable.any():
        row = int(np.argmax(unusable))
        raise DataError(
            f"{kind} scores must be finite, found {scores[row]} at position {row} "
            f"({unusable.sum()} of {len(scores)} are not finite); score these trials "
            "again or leave them out"
        )
    return np.sort(scores)
