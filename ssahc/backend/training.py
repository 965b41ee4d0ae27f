"""A model from x-vectors whose speakers are known, as Kaldi trains it.

Mean, whitening and PLDA are those of ``ivector-mean``, ``est-pca`` (as the CALLHOME
recipe calls it), ``ivector-compute-plda``, ``ivector-copy-plda --smoothing`` and
``ivector-adapt-plda``. Everything is float64; Kaldi rounds vectors to float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssahc.backend.plda import diagonalize
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.core.errors import DataError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import (
    LARGEST,
    FloatArray,
    Model,
    Plda,
    as_matrix,
    find_unusable,
)
from ssahc.core.validation import Interval, changed_fields

# A variance below this share of the largest is rounding noise of float32 vectors.
_NO_VARIANCE = 1e-12


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
    smoothing: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.0
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

    As in Kaldi's CALLHOME recipe, the PLDA is trained on the vectors minus their own
    mean, whitened, of length sqrt(D).

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted.
    speakers : sequence of N str
        Speaker of every x-vector; of some there must be more than one.
    whiten_from : (M, D) array, optional
        X-vectors that give mean and whitening in place of the training vectors, such
        as those of recordings like the ones to be diarized. No speakers are needed.
    adapt_to : (M, D) array, optional
        X-vectors without speakers to whose spread the PLDA is adapted.
    options : TrainingOptions

    Returns
    -------
    Model

    Raises
    ------
    DataError
        If values are not finite, dimensions or numbers disagree, there are too few
        vectors, or a speaker is no str.
    UsageError
        If the options are no TrainingOptions, or say how to adapt to nothing.
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
    """Check that options of adaptation have something to adapt to.

    Raises
    ------
    UsageError
        If there is nothing, and they are not at their defaults.
    """
    scales = {"--within-covar-scale", "--between-covar-scale"}
    given = [flag for flag in changed_fields(options) if flag in scales]
    if given and not adapts:
        raise UsageError(
            f"{' and '.join(given)} is for a PLDA that is adapted (--adapt-to); give "
            "what to adapt it to, or leave that out"
        )


def as_labelled(xvectors: ArrayLike, speakers: Sequence[str]) -> FloatArray:
    """Return x-vectors of known speakers as a matrix in which all can be used.

    Parameters
    ----------
    xvectors : (N, D) array
    speakers : sequence of N str

    Raises
    ------
    DataError
        If values are not finite, numbers disagree, or a speaker is no str.
    """
    for row, speaker in enumerate(speakers):
        if not isinstance(speaker, str):
            raise DataError(
                f"speakers must be named by str, found {speaker!r} for row {row}"
            )
    vectors = _as_xvectors(xvectors, "x-vectors")
    _require_speakers(vectors, speakers)
    return vectors


def _require_speakers(vectors: FloatArray, speakers: Sequence[str]) -> None:
    if len(speakers) != len(vectors):
        raise DataError(
            f"every x-vector needs one speaker: found {len(vectors)} x-vectors and "
            f"{len(speakers)} speakers"
        )


def _as_xvectors(values: ArrayLike, what: str, dim: int | None = None) -> FloatArray:
    """Return x-vectors as a matrix, of `dim` columns, in which all can be used."""
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
    """Return the transform after which vectors are uncorrelated, of variance 1.

    Source: ``est-pca --read-vectors=true --normalize-mean=false
    --normalize-variance=true --dim=-1``.

    Parameters
    ----------
    vectors : (N, D) array

    Returns
    -------
    (D, D) array
        Principal directions, the strongest first, over their standard deviations.

    Raises
    ------
    DataError
        If the vectors do not spread in all D directions.
    """
    variances, directions = _spread(vectors, "a whitening transform")
    return directions / np.sqrt(variances)[:, None]


def _spread(vectors: FloatArray, purpose: str) -> tuple[FloatArray, FloatArray]:
    """Return variances (1/N, decreasing) along principal directions, one a row."""
    _refuse_too_few(vectors, purpose)
    count, dim = vectors.shape
    centered = vectors - vectors.mean(axis=0)
    variances, columns = np.linalg.eigh(centered.T @ centered / count)
    rank = int((variances > _NO_VARIANCE * variances[-1]).sum())
    if rank < dim:
        raise DataError(
            f"{count} x-vectors of {dim} dimensions vary in {rank} directions only, "
            f"too few for {purpose}; are some of them copies? Give different ones"
        )
    return variances[::-1], columns.T[::-1]


def _refuse_too_few(vectors: FloatArray, purpose: str) -> None:
    """Raise a DataError unless vectors are enough to spread in all directions."""
    count, dim = vectors.shape
    if count <= dim:
        raise DataError(
            f"{count} x-vectors of {dim} dimensions are too few for {purpose}; give "
            f"more than {dim}"
        )


def train_plda(
    vectors: FloatArray, speakers: Sequence[str], iterations: int = 10
) -> Plda:
    """Train a two-covariance PLDA by expectation maximisation.

    Source: ``ivector-compute-plda``. All steps are taken in the space where the model
    of the last one is diagonal, so that no speaker needs a matrix of its own.

    Parameters
    ----------
    vectors : (N, D) array
        Centred, whitened, length-normalised.
    speakers : sequence of N str
    iterations : int

    Returns
    -------
    Plda

    Raises
    ------
    DataError
        If there are too few vectors, fewer than two speakers, or no speaker has more
        than one vector.
    """
    _require_speakers(vectors, speakers)
    total = _spread(vectors, "a PLDA")[0].sum()
    _, member, counts = np.unique(
        np.asarray(speakers), return_inverse=True, return_counts=True
    )
    if len(counts) < 2:
        raise DataError(
            f"all {len(vectors)} x-vectors are of one speaker; a PLDA needs two or "
            "more, to see how voices differ"
        )
    if counts.max() == 1:
        raise DataError(
            f"each of the {len(counts)} speakers has one x-vector; a PLDA needs "
            "speakers with several, to see how one voice varies"
        )
    means = _sum_by(member, vectors, len(counts)) / counts[:, None]
    rest = vectors - means[member]
    scatter = rest.T @ rest
    if np.trace(scatter) <= _NO_VARIANCE * total * len(vectors):
        raise DataError(
            "the x-vectors of each speaker are all equal; give different ones"
        )
    # Kaldi's mean is that of speakers, whatever number of vectors they have.
    mean = means.mean(axis=0)
    dim = len(mean)
    plda = Plda(mean, np.eye(dim), np.ones(dim))
    for _ in range(iterations):
        plda = _em_step(plda, means, counts, scatter)
    return diagonalize(mean, *covariances(plda))


def _sum_by(member: NDArray[np.intp], vectors: FloatArray, groups: int) -> FloatArray:
    """Return the sums of the rows of each group."""
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(groups))
    sums: FloatArray = np.add.reduceat(vectors[order], starts, axis=0)
    return sums


def _em_step(
    plda: Plda, means: FloatArray, counts: NDArray[np.intp], scatter: FloatArray
) -> Plda:
    """Return the model after one more iteration.

    The posterior of a speaker with n vectors of mean z has, a dimension, variance
    psi / (1 + n psi) and mean n psi / (1 + n psi) z.
    """
    latent = (means - plda.mean) @ plda.transform.T
    weight = counts[:, None]
    variance = plda.psi / (1 + weight * plda.psi)
    speaker = weight * variance * latent
    residual = np.sqrt(weight) * (latent - speaker)
    between = np.diag(variance.sum(axis=0)) + speaker.T @ speaker
    within = plda.transform @ scatter @ plda.transform.T + residual.T @ residual
    within += np.diag((weight * variance).sum(axis=0))
    step = diagonalize(plda.mean, within / counts.sum(), between / len(counts))
    return Plda(plda.mean, step.transform @ plda.transform, step.psi)


def covariances(plda: Plda) -> tuple[FloatArray, FloatArray]:
    """Return the within-class and the between-class covariance of a model."""
    loading = np.linalg.inv(plda.transform)
    return loading @ loading.T, (loading * plda.psi) @ loading.T


def smooth_plda(plda: Plda, smoothing: float) -> Plda:
    """Add a share of the between-class covariance to the within-class one.

    Source: ``ivector-copy-plda --smoothing``.
    """
    within = 1 + smoothing * plda.psi
    return Plda(plda.mean, plda.transform / np.sqrt(within)[:, None], plda.psi / within)


def adapt_plda(
    plda: Plda,
    vectors: FloatArray,
    *,
    within_scale: float = 0.3,
    between_scale: float = 0.7,
) -> Plda:
    """Widen a PLDA where vectors without speakers spread more than it expects.

    Source: ``ivector-adapt-plda``. The mean becomes that of the vectors.

    Parameters
    ----------
    plda : Plda
    vectors : (N, D) array
        Centred, whitened and length-normalised as those to be scored.
    within_scale, between_scale : float
        Share of the excess variance that each covariance takes on.

    Raises
    ------
    DataError
        If dimensions disagree or there are not more vectors than dimensions.
    """
    if vectors.shape[1] != len(plda.mean):
        raise DataError(
            f"expected x-vectors of {len(plda.mean)} dimensions to adapt to, found a "
            f"matrix of shape {vectors.shape}; use those of the same extractor"
        )
    _refuse_too_few(
        vectors, "adapting a PLDA, which needs their spread in every direction"
    )
    mean = vectors.mean(axis=0)
    centered = vectors - mean
    shift = mean - plda.mean
    spread = centered.T @ centered / len(vectors) + np.outer(shift, shift)
    # Here the model's total covariance is I.
    total = plda.transform / np.sqrt(1 + plda.psi)[:, None]
    variances, columns = np.linalg.eigh(total @ spread @ total.T)
    excess = np.maximum(variances - 1, 0.0)
    within = (columns.T / (1 + plda.psi)) @ columns + np.diag(within_scale * excess)
    between = (columns.T * (plda.psi / (1 + plda.psi))) @ columns
    between += np.diag(between_scale * excess)
    adapted = diagonalize(mean, within, between)
    return Plda(mean, adapted.transform @ columns.T @ total, adapted.psi)
