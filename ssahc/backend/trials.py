"""Speaker verification: scores of trials, equal error rate, detection cost.

A trial asks whether a test utterance is of an enrolled speaker. It is accepted if its
score is not below a threshold. Misses are targets that are rejected, false alarms
nontargets that are accepted.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from ssahc.backend.embedding_net import apply_metric
from ssahc.backend.plda import normalize_latent, project_to_latent
from ssahc.backend.preprocess import center, unit_rows, whiten_and_normalize
from ssahc.core.errors import DataError, UsageError
from ssahc.core.model import check_model
from ssahc.core.types import (
    LARGEST,
    FloatArray,
    IntArray,
    Model,
    Plda,
    as_matrix,
    as_numbers,
)
from ssahc.core.validation import check_fields

# Trials that are scored at once: their vectors should fit into the processor's cache.
_BLOCK = 1024


@dataclass(frozen=True)
class VerificationOptions:
    """What errors cost, as in NIST's speaker recognition evaluations.

    Parameters
    ----------
    p_target : float
        Prior probability that a trial is a target.
    c_miss : float
        Cost of rejecting a target.
    c_fa : float
        Cost of accepting a nontarget.
    """

    p_target: float = 0.01
    c_miss: float = 1.0
    c_fa: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.p_target < 1:
            raise UsageError(
                f"p-target must be between 0 and 1, found {self.p_target:g}"
            )
        for name in ("c_miss", "c_fa"):
            if not 0 < getattr(self, name) < inf:
                raise UsageError(
                    f"{name.replace('_', '-')} must be finite and above 0, found "
                    f"{getattr(self, name):g}"
                )
        # Products of these, and shares of them, must be numbers above 0.
        values = self.p_target, self.c_miss, self.c_fa
        if not (1 / LARGEST <= min(values) and max(values) <= LARGEST):
            raise UsageError(
                f"p-target, c-miss and c-fa must be from {1 / LARGEST:g} to "
                f"{LARGEST:g}, found {', '.join(format(v, 'g') for v in values)}"
            )


@dataclass(frozen=True)
class Verification:
    """How well scores tell targets from nontargets.

    Attributes
    ----------
    num_target, num_nontarget : int
        Trials of each kind.
    eer : float
        Equal error rate, 0 to 1.
    eer_threshold : float
        See `equal_error_rate`.
    min_dcf : float
        Smallest normalised detection cost, 0 to 1.
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
    """Say how well scores tell targets from nontargets.

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores, the higher the more alike.
    options : VerificationOptions

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        If there are no targets or no nontargets, or a score is not finite.
    """
    cost, cost_threshold = min_dcf(
        targets,
        nontargets,
        p_target=options.p_target,
        c_miss=options.c_miss,
        c_fa=options.c_fa,
    )
    rate, rate_threshold = equal_error_rate(targets, nontargets)
    return Verification(
        num_target=np.size(targets),
        num_nontarget=np.size(nontargets),
        eer=rate,
        eer_threshold=rate_threshold,
        min_dcf=cost,
        min_dcf_threshold=cost_threshold,
    )


def equal_error_rate(targets: ArrayLike, nontargets: ArrayLike) -> tuple[float, float]:
    """Return the rate at which misses and false alarms are equally frequent.

    That is where the two rates cross on the ROC, whose vertices are the rates at every
    distinct score, joined by straight lines.

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores, the higher the more alike.

    Returns
    -------
    rate : float
        0 to 1.
    threshold : float
        The score at which, accepted from there on, both rates are closest to each
        other; the lower one of two such.

    Raises
    ------
    DataError
        If there are no targets or no nontargets, or a score is not finite.
    """
    roc = _trace_roc(targets, nontargets)
    # Whole numbers, so that rates that are equal are found to be. The difference grows
    # from vertex to vertex.
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
    """Return the smallest detection cost over all thresholds.

    The cost is ``c_miss p_target P_miss + c_fa (1 - p_target) P_fa``, over that of the
    better one of accepting all and rejecting all (NIST).

    Parameters
    ----------
    targets, nontargets : (K,) array
        Scores, the higher the more alike.
    p_target, c_miss, c_fa : float
        See `VerificationOptions`.

    Returns
    -------
    cost : float
        0 to 1.
    threshold : float
        The score from which on trials are accepted, the lowest of several; inf if it
        is best to reject all.

    Raises
    ------
    DataError
        If there are no targets or no nontargets, or a score is not finite.
    UsageError
        If the prior is not between 0 and 1, or a cost is not above 0.
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
    """Errors at every threshold that makes a difference, the lowest first.

    Attributes
    ----------
    thresholds : (V,) array
        The distinct scores, then infinity. The first accepts all, the last nothing.
    misses, alarms : (V,) array of int
        Targets below each threshold, and nontargets that are not.
    num_target, num_nontarget : int
    """

    thresholds: FloatArray
    misses: IntArray
    alarms: IntArray
    num_target: int
    num_nontarget: int


def _trace_roc(targets: ArrayLike, nontargets: ArrayLike) -> _Roc:
    wanted = _sort_scores(targets, "target")
    others = _sort_scores(nontargets, "nontarget")
    thresholds = np.append(np.unique(np.concatenate([wanted, others])), inf)
    return _Roc(
        thresholds,
        np.searchsorted(wanted, thresholds),
        len(others) - np.searchsorted(others, thresholds),
        len(wanted),
        len(others),
    )


def _sort_scores(values: ArrayLike, what: str) -> FloatArray:
    scores = as_numbers(values, f"{what} scores")
    if scores.ndim != 1:
        raise DataError(
            f"{what} scores must be a list of numbers, found {scores.ndim} axes"
        )
    if len(scores) == 0:
        raise DataError(
            f"there are no {what} trials; errors need both targets and nontargets"
        )
    unusable = ~np.isfinite(scores)
    if unusable.any():
        row = int(np.argmax(unusable))
        raise DataError(
            f"{what} scores must be finite, found {scores[row]} at position {row} "
            f"({unusable.sum()} such of {len(scores)}); score these trials again or "
            "leave them out"
        )
    return np.sort(scores)


def embed(xvectors: FloatArray, model: Model) -> FloatArray:
    """Return x-vectors as cosines compare them.

    That is as the model's metric embeds them, or without one centred, whitened and
    length-normalised (which is what a PLDA takes).

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted, or means of those of one speaker.
    model : Model
        Without a mean, that of `xvectors` is subtracted.

    Returns
    -------
    (N, d) array

    Raises
    ------
    DataError
        If dimensions disagree, or nothing can be computed with the model.
    """
    check_model(model)
    centered = center(as_matrix(xvectors, "x-vectors"), model.mean)
    if model.metric is not None:
        return apply_metric(centered, model.metric)
    return whiten_and_normalize(centered, model)


def score_trials(
    enrolled: ArrayLike,
    counts: ArrayLike,
    tests: ArrayLike,
    trials: ArrayLike,
    plda: Plda | None = None,
) -> FloatArray:
    """Score trials: by PLDA log-likelihood ratio, or without one by cosine.

    Parameters
    ----------
    enrolled : (E, D) array
        Of each enrolled speaker, what `embed` makes of the mean of the x-vectors.
    counts : (E,) array of int
        Of how many x-vectors each is the mean; the cosine does not depend on it.
    tests : (T, D) array
        What `embed` makes of the test utterances' x-vectors.
    trials : (K, 2) array of int
        Row of `enrolled`, row of `tests`.
    plda : Plda, optional

    Returns
    -------
    (K,) array
        With a PLDA those of ``ivector-plda-scoring --num-utts``.

    Raises
    ------
    DataError
        If dimensions disagree, a count is below 1 or a trial points nowhere.
    """
    check_model(Model(plda=plda))
    speakers = as_matrix(enrolled, "enrolled speakers")
    utterances = as_matrix(tests, "test utterances")
    numbers, pairs = np.asarray(counts), np.asarray(trials)
    if speakers.shape[1] != utterances.shape[1]:
        raise DataError(
            f"enrolled speakers have {speakers.shape[1]} dimensions, test utterances "
            f"{utterances.shape[1]}; extract both with one network"
        )
    if numbers.shape != speakers.shape[:1] or not (numbers >= 1).all():
        raise DataError(
            f"every enrolled speaker needs a number of x-vectors, 1 or more: found "
            f"{len(speakers)} speakers and counts {numbers}"
        )
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise DataError(
            "trials must be pairs of whole numbers, found an array of shape "
            f"{pairs.shape} of {pairs.dtype}"
        )
    if ((pairs < 0) | (pairs >= (len(speakers), len(utterances)))).any():
        raise DataError(
            f"trials must be of {len(speakers)} enrolled speakers and "
            f"{len(utterances)} test utterances, counted from 0, found "
            f"{pairs.min(axis=0)} to {pairs.max(axis=0)}"
        )
    if plda is None:
        left, right = unit_rows(speakers), unit_rows(utterances)
        scores = np.zeros(len(pairs))
    else:
        left, right, constants = _factor(speakers, numbers, utterances, plda)
        scores = constants[pairs[:, 0]]
    for start in range(0, len(pairs), _BLOCK):
        block = slice(start, start + _BLOCK)
        first, second = pairs[block].T
        scores[block] += np.einsum("kd,kd->k", left[first], right[second])
    return scores


def _factor(
    speakers: FloatArray, counts: FloatArray, utterances: FloatArray, plda: Plda
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what gives a trial's log-likelihood ratio: inner product plus constant.

    Given the mean y of n vectors, a test vector x of the same speaker has, a dimension,
    mean ``m = n psi / (1 + n psi) y`` and variance ``v = 1 + psi / (1 + n psi)``; of
    any speaker it has mean 0 and variance ``1 + psi``. The ratio of the two densities
    is, in powers of x, ``x m / v + x^2 (1 / (1 + psi) - 1 / v) / 2
    - m^2 / (2 v) + log((1 + psi) / v) / 2``.
    """
    # Kaldi passes the projected vectors on in float32.
    enrolled, tests = (
        normalize_latent(project_to_latent(vectors, plda), plda.psi, numbers)
        .astype(np.float32)
        .astype(np.float64)
        for vectors, numbers in ((speakers, counts), (utterances, np.ones(1)))
    )
    known = 1 + counts[:, None] * plda.psi
    mean = enrolled * (1 - 1 / known)
    variance = 1 + plda.psi / known
    total = 1 + plda.psi
    constants = 0.5 * (np.log(total / variance) - mean**2 / variance).sum(axis=1)
    left = np.hstack([mean / variance, 0.5 * (1 / total - 1 / variance)])
    return left, np.hstack([tests, tests**2]), constants
