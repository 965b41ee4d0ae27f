"""PLDA scoring of the windows of one recording, as ``ivector-plda-scoring-dense``.

The two-covariance model is used in its latent space, where the within-class covariance
is I and the between-class covariance diag(psi) (`ssahc.core.types.Plda`).
"""

import logging
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from ssahc.backend.affinity import FactoredAffinity
from ssahc.backend.preprocess import (
    check_dim,
    energy_dim,
    leading_pca,
    length_normalize,
    recording_pca,
)
from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.types import FloatArray, Model, Plda
from ssahc.core.validation import Interval

# X-vectors have the length that a PLDA expects up to this factor: adapted PLDAs expect
# up to 1.11 times that of their training data, and a factor of 1.5 costs accuracy.
_SAME_LENGTH = 1.2
# Where the variance between speakers is the wide prior of `fit_unlabelled`.
_SAME_LENGTH_OF_PRIOR = 2.0
# Between-speaker share of the variance of whitened, length-normalised x-vectors, as in
# the public PLDA of CALLHOME x-vectors.
_SPEAKER_SHARE = 0.3

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PldaOptions(Options, group="PLDA and fusion"):
    """How PLDA scores are computed.

    The length norms "simple" and "none" are Kaldi's --simple-length-normalization and
    --normalize-length=false.

    Parameters
    ----------
    target_energy : float
        Share of a recording's energy that its PCA keeps; 1 disables the PCA.
    length_norm : {"plda", "simple", "none"}
        Length normalization of projected vectors: by their length under the model
        (plda, Kaldi's default), by their Euclidean length (simple), or none.
    """

    target_energy: Annotated[float, Interval(ge=0, le=1)] = 0.1
    length_norm: Literal["plda", "simple", "none"] = "plda"


def plda_affinity(
    vectors: FloatArray, plda: Plda, options: PldaOptions = PldaOptions()
) -> FactoredAffinity:
    """Return the log-likelihood ratios of all pairs of windows of one recording.

    Vectors (N, D) are centred, whitened and length-normalised
    (`ssahc.backend.preprocess`). Entry (i, j) is the log-likelihood ratio of "same
    speaker" to "different speakers"; the diagonal holds each window's score with
    itself. A DataError is raised if the dimensions of vectors and model disagree.
    """
    check_dim(vectors, len(plda.mean), "the PLDA")
    # Kaldi's ApproxEqual(target_energy, 1): this close to 1 there is no PCA.
    if abs(options.target_energy - 1) > 0.001 * (options.target_energy + 1):
        energies, directions = leading_pca(vectors)
        kept = energy_dim(energies, options.target_energy)
        if kept > len(directions):
            directions = recording_pca(vectors)[1]
        if kept > vectors.shape[1]:
            _logger.warning(
                f"target energy {options.target_energy:g} keeps all {vectors.shape[1]} "
                "dimensions (Kaldi would abort)"
            )
        directions = directions[:kept]
        vectors = vectors @ directions.T
        plda = project_plda(plda, directions)
    latent = project_to_latent(vectors, plda)
    if options.length_norm == "plda":
        latent = normalize_latent(latent, plda.psi, np.ones(1))
    elif options.length_norm == "simple":
        latent = length_normalize(latent)
    # Kaldi stores the projected vectors in float32. Also rounding the earlier steps, as
    # its programs do, brings scores no closer to Kaldi's (measured).
    return log_likelihood_ratios(latent.astype(np.float32).astype(np.float64), plda.psi)


def project_plda(plda: Plda, directions: FloatArray) -> Plda:
    """Return the model of ``directions @ x``, as Kaldi's ``Plda::ApplyTransform``.

    Raises a DataError if the within-class covariance is singular.
    """
    try:
        loading = np.linalg.solve(plda.transform.T, directions.T).T
    except np.linalg.LinAlgError as error:
        raise _singular() from error
    within, between = loading @ loading.T, (loading * plda.psi) @ loading.T
    return diagonalize(directions @ plda.mean, within, between)


def diagonalize(mean: FloatArray, within: FloatArray, between: FloatArray) -> Plda:
    """Return the model of these covariances (Kaldi's ``PldaEstimator::GetOutput``).

    Raises a DataError if the within-class covariance is singular.
    """
    try:
        inverse_root = np.linalg.inv(np.linalg.cholesky(within))
    except np.linalg.LinAlgError as error:
        raise _singular() from error
    psi, columns = np.linalg.eigh(inverse_root @ between @ inverse_root.T)
    return Plda(mean, columns.T[::-1] @ inverse_root, np.maximum(psi[::-1], 0.0))


def _singular() -> DataError:
    return DataError(
        "the PLDA's within-class covariance is singular; train it on more data"
    )


def project_to_latent(vectors: FloatArray, plda: Plda) -> FloatArray:
    """Project whitened, normalised vectors (N, D) to the latent space of a PLDA.

    Raises a DataError if the PLDA is of another dimension.
    """
    check_dim(vectors, len(plda.mean), "the PLDA")
    return (vectors - plda.mean) @ plda.transform.T


def normalize_latent(
    latent: FloatArray, psi: FloatArray, counts: FloatArray
) -> FloatArray:
    """Scale each row (N, d) to the length that the model expects; zero rows stay zero.

    Each row is the mean of `counts` (N,) or (1,) vectors of one speaker. Source:
    Kaldi's ``Plda::GetNormalizationFactor``.
    """
    dim = len(psi)
    energy = (latent**2 / (psi + 1 / counts[:, None])).sum(axis=1, keepdims=True)
    scaled: FloatArray = latent * np.sqrt(dim / np.where(energy > 0, energy, dim))
    return scaled


def log_likelihood_ratios(latent: FloatArray, psi: FloatArray) -> FactoredAffinity:
    """Return the PLDA log-likelihood ratios of vectors (N, d) in the latent space.

    With one enrolment vector, the ratio of x and y is the sum over dimensions of
    ``log((1+psi)^2 / (1+2 psi)) / 2 + psi/(1+2 psi) x y
    - psi^2 / (2 (1+psi) (1+2 psi)) (x^2 + y^2)`` (Kaldi's
    ``Plda::LogLikelihoodRatio``).
    """
    cross = psi / (1 + 2 * psi)
    square = -0.5 * psi**2 / ((1 + psi) * (1 + 2 * psi))
    constant = 0.5 * np.log((1 + psi) ** 2 / (1 + 2 * psi)).sum()
    features = latent * np.sqrt(cross)
    return FactoredAffinity(features, latent**2 @ square, float(constant))


def speaker_space(vectors: FloatArray, model: Model) -> tuple[FloatArray, FloatArray]:
    """Return whitened x-vectors (N, D) in the latent space, and its variances psi (d,).

    The space is that of the model's PLDA, or of `isotropic_plda`. X-vectors of length
    sqrt(D) get the `fitting_length` of the PLDA.
    """
    if model.plda is None:
        plda = isotropic_plda(vectors.shape[1])
        return project_to_latent(vectors, plda), plda.psi
    latent = project_to_latent(match_length(vectors, model.plda), model.plda)
    return latent, model.plda.psi


def speaker_variances(model: Model) -> FloatArray:
    """Return the variances psi (d,) of the `speaker_space` of a model with a mean."""
    if model.plda is not None:
        return model.plda.psi
    if model.mean is None:
        raise AssertionError("the dimension of a model is that of its parts")
    dim = len(model.mean) if model.transform is None else len(model.transform)
    return isotropic_plda(dim).psi


def match_length(vectors: FloatArray, plda: Plda) -> FloatArray:
    """Scale x-vectors (N, D) of length sqrt(D) to the `fitting_length` of a PLDA."""
    usual, length = float(np.sqrt(vectors.shape[1])), fitting_length(plda)
    return vectors if length == usual else vectors * (length / usual)


def relative_energy(vectors: FloatArray, plda: Plda) -> FloatArray:
    """Return the energy (N,) of rows in the latent space, over what a PLDA expects.

    Its mean is about 1 for vectors like those that the PLDA was trained on.
    """
    latent = project_to_latent(vectors, plda)
    return np.asarray((latent**2 / (1 + plda.psi)).mean(axis=1))


def fitting_length(plda: Plda) -> float:
    """Return the length of the x-vectors that a PLDA was trained on.

    That is sqrt(D), as in Kaldi's recipes, or 1, as in VBx, if the PLDA expects either
    up to a factor of 1.2, or of 2 if it is the same in all directions: then it may be
    of `fit_unlabelled`, with a wide prior in place of speakers. Otherwise it is what it
    expects: the root of the trace of its covariances and the square of its mean. Raises
    a DataError if the PLDA is singular.
    """
    try:
        loading = np.linalg.inv(plda.transform)
    except np.linalg.LinAlgError as error:
        raise _singular() from error
    variance = (loading**2 @ (1 + plda.psi)).sum()
    expected = float(np.sqrt(variance + plda.mean @ plda.mean))
    same = _SAME_LENGTH_OF_PRIOR if is_isotropic(plda) else _SAME_LENGTH
    for length in (float(np.sqrt(len(plda.mean))), 1.0):
        if length / same < expected < length * same:
            return length
    return expected


def isotropic_plda(dim: int) -> Plda:
    """Return a generic PLDA of whitened x-vectors, the same in all directions."""
    within = 1 - _SPEAKER_SHARE
    psi = np.full(dim, _SPEAKER_SHARE / within)
    return Plda(np.zeros(dim), np.eye(dim) / np.sqrt(within), psi)


def is_isotropic(plda: Plda) -> bool:
    """Whether a PLDA is the same in all directions.

    Its scores of x-vectors of one length rise with their cosine, so that it says no
    more about speakers than the cosine does.
    """
    gram = plda.transform @ plda.transform.T
    is_equal = np.allclose(gram, gram[0, 0] * np.eye(len(gram)), rtol=1e-6)
    return bool(is_equal and np.ptp(plda.psi) <= 1e-6 * plda.psi.max())
