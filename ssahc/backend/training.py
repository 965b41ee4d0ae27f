"""Training of a model (mean, whitening, PLDA) on x-vectors of known speakers.

The steps are those of Kaldi's CALLHOME recipe: ``ivector-mean``, ``est-pca`` and
``ivector-compute-plda`` (`ssahc.backend.plda_training`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from ssahc.backend.plda_training import (
    adapt_plda,
    check_one_each,
    principal_variances,
    smooth_plda,
    train_plda,
)
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.core.errors import DataError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import LARGEST, FloatArray, Model, as_matrix, find_unusable
from ssahc.core.validation import Interval, changed_fields


@dataclass(frozen=True)
class TrainingOptions(Options, group="Learning"):
    """How a PLDA is trained; names and values are those of Kaldi's programs.

    Parameters
    ----------
    num_em_iters : int
        Number of EM iterations.
    smoothing : float
        Share of the between-class covariance that is added to the within-class one.
    within_covar_scale : float
        With --adapt-to: share of the excess variance of the adaptation data that is
        added to the within-class covariance.
    between_covar_scale : float
        With --adapt-to: share of the excess variance of the adaptation data that is
        added to the between-class covariance.
    """

    num_em_iters: Annotated[int, Interval(ge=0, le=10_000)] = 10
    smoothing: Annotated[float, Interval(ge=0, le=1)] = 0.0
    within_covar_scale: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.3
    between_covar_scale: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.7


def fit_model(
    xvectors: ArrayLike,
    speakers: Sequence[str],
    *,
    whiten_from: ArrayLike | None = None,
    adapt_to: ArrayLike | None = None,
    options: TrainingOptions = TrainingOptions(),
) -> Model:
    """Estimate mean, whitening and PLDA from x-vectors of known speakers.

    As in Kaldi's CALLHOME recipe, the training vectors of the PLDA are centred by their
    own mean, then whitened and length-normalised.

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted.
    speakers : sequence of N str
        Speaker of every x-vector; some speakers must have more than one.
    whiten_from : (M, D) array, optional
        Unlabelled x-vectors to estimate mean and whitening from, for example those of
        recordings like the ones to be diarized; the training vectors by default.
    adapt_to : (M, D) array, optional
        Unlabelled x-vectors to adapt the PLDA to.
    options : TrainingOptions

    Returns
    -------
    Model

    Raises
    ------
    DataError
        If values are not finite, dimensions or numbers disagree, there are too few
        vectors, or a speaker is not a str.
    UsageError
        If the options are not a TrainingOptions, or `check_adaptation` fails.
    """
    if not isinstance(options, TrainingOptions):
        raise UsageError(f"options come from TrainingOptions, found {options!r}")
    check_adaptation(options, adapts=adapt_to is not None)
    training = as_labelled(xvectors, speakers)
    dim, source = training.shape[1], training
    if whiten_from is not None:
        source = _as_xvectors(whiten_from, "x-vectors to whiten from", dim)
    mean = source.mean(axis=0)
    model = Model(mean, estimate_whitening(source))
    own = center(training, training.mean(axis=0))
    plda = train_plda(whiten_and_normalize(own, model), speakers, options.num_em_iters)
    plda = smooth_plda(plda, options.smoothing)
    if adapt_to is not None:
        target = _as_xvectors(adapt_to, "x-vectors to adapt to", dim)
        plda = adapt_plda(
            plda,
            whiten_and_normalize(center(target, mean), model),
            within_scale=options.within_covar_scale,
            between_scale=options.between_covar_scale,
        )
    return Model(mean, model.transform, plda)


def check_adaptation(options: TrainingOptions, *, adapts: bool) -> None:
    """Raise a UsageError if adaptation options are changed without `adapts`."""
    scales = {"--within-covar-scale", "--between-covar-scale"}
    given = [flag for flag in changed_fields(options) if flag in scales]
    if given and not adapts:
        raise UsageError(
            f"{' and '.join(given)} is for a PLDA that is adapted (--adapt-to); give "
            "what to adapt it to, or leave that out"
        )


def as_labelled(xvectors: ArrayLike, speakers: Sequence[str]) -> FloatArray:
    """Return x-vectors as a matrix; DataError unless each row has a speaker, a str."""
    for row, speaker in enumerate(speakers):
        if not isinstance(speaker, str):
            raise DataError(
                f"speakers must be named by str, found {speaker!r} for row {row}"
            )
    vectors = _as_xvectors(xvectors, "x-vectors")
    check_one_each(vectors, speakers)
    return vectors


def _as_xvectors(values: ArrayLike, what: str, dim: int | None = None) -> FloatArray:
    """Return x-vectors as a matrix of usable rows, with `dim` columns if given."""
    xvectors = as_matrix(values, what)
    if 0 in xvectors.shape:
        raise DataError(f"there are no {what}: found shape {xvectors.shape}")
    if dim not in (None, xvectors.shape[1]):
        raise DataError(
            f"{what} have {xvectors.shape[1]} dimensions, those to train on {dim}; "
            "extract both with one network"
        )
    for rows, fault in find_unusable(xvectors):
        raise DataError(
            f"row {rows[0]} of the {what} {fault} ({len(rows)} such of "
            f"{len(xvectors)}); extract it again or leave it out"
        )
    return xvectors


def estimate_whitening(vectors: FloatArray) -> FloatArray:
    """Return the (D, D) whitening: principal directions over standard deviations.

    Source: ``est-pca --read-vectors=true --normalize-mean=false
    --normalize-variance=true --dim=-1``. Raises a DataError if vectors (N, D) are too
    few or do not vary in every direction.
    """
    variances, directions = principal_variances(vectors, "a whitening transform")
    return directions / np.sqrt(variances)[:, None]
