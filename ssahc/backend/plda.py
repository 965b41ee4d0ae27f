"""PLDA: its diagonal form, and scores of the windows of one recording.

Scores are those of Kaldi's ``ivector-plda-scoring-dense``.
"""

import logging
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from ssahc.backend.affinity import FactoredAffinity
from ssahc.backend.preprocess import (
    energy_dim,
    leading_pca,
    length_normalize,
    recording_pca,
)
from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.types import FloatArray, Model, Plda
from ssahc.core.validation import Interval

# Share of the variance of whitened, length-normalised x-vectors that is between
# speakers: that of the public PLDA of CALLHOME x-vectors.
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


def project_plda(plda: Plda, directions: FloatArray) -> Plda:
    """Return the model of ``directions @ x``.

    Parameters
    ----------
    plda : Plda
        With a square transform.
    directions : (d, D) array

    Raises
    ------
    DataError
        If the projected within-class covariance is singular.
    """
    try:
        loading = np.linalg.solve(plda.transform.T, directions.T).T
    except np.linalg.LinAlgError as error:
        raise _singular() from error
    within, between = loading @ loading.T, (loading * plda.psi) @ loading.T
    return diagonalize(directions @ plda.mean, within, between)


def diagonalize(mean: FloatArray, within: FloatArray, between: FloatArray) -> Plda:
    """Return the model with these covariances in the space where both are diagonal.

    Parameters
    ----------
    mean : (D,) array
    within, between : (D, D) array
        Covariance of the vectors of one speaker, and of speakers.

    Raises
    ------
    DataError
        If the within-class covariance is singular.
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


def plda_affinity(
    vectors: FloatArray, plda: Plda, options: PldaOptions = PldaOptions()
) -> FactoredAffinity:
    """Log-likelihood ratios of all pairs of windows of one recording.

    Parameters
    ----------
    vectors : (N, D) array
        Centred, whitened, length-normalised (`ssahc.backend.preprocess`).
    plda : Plda
    options : PldaOptions

    Returns
    -------
    FactoredAffinity
        Entry (i, j) is the log-likelihood ratio of "same speaker" against "different
        speakers"; the diagonal holds each window's score with itself.

    Raises
    ------
    DataError
        If the dimensions of vectors and model disagree.
    """
    _check_dim(vectors, plda)
    # Kaldi's ApproxEqual(target_energy, 1): so close to 1 there is no PCA.
    if abs(options.target_energy - 1) > 0.001 * (options.target_energy + 1):
        energies, directions = leading_pca(vectors)
        kept = energy_dim(energies, options.target_energy)
        if kept > len(directions):
            directions = recording_pca(vectors)[1]
        if kept > vectors.shape[1]:
            _logger.warning(
                "target energy %g keeps all %d dimensions (here Kaldi aborts)",
                options.target_energy,
                vectors.shape[1],
            )
        directions = directions[:kept]
        vectors = vectors @ directions.T
        plda = project_plda(plda, directions)
    latent = project_to_latent(vectors, plda)
    if options.length_norm == "plda":
        latent = normalize_latent(latent, plda.psi, np.ones(1))
    elif options.length_norm == "simple":
        latent = length_normalize(latent)
    # Kaldi stores the projected vectors in float32. Rounding before that too, as its
    # programs do between them, brings scores no closer to Kaldi's (measured).
    return log_likelihood_ratios(latent.astype(np.float32).astype(np.float64), plda.psi)


def project_to_latent(vectors: FloatArray, plda: Plda) -> FloatArray:
    """Return vectors in the space where a PLDA is diagonal.

    Parameters
    ----------
    vectors : (N, D) array
        Centred, whitened, length-normalised (`ssahc.backend.preprocess`).
    plda : Plda

    Returns
    -------
    (N, d) array

    Raises
    ------
    DataError
        If the dimensions of vectors and model disagree.
    """
    _check_dim(vectors, plda)
    return (vectors - plda.mean) @ plda.transform.T


def normalize_latent(
    latent: FloatArray, psi: FloatArray, counts: FloatArray
) -> FloatArray:
    """Scale each row to the length that the model expects; rows of zeros stay zero.

    Source: Kaldi's ``Plda::GetNormalizationFactor``.

    Parameters
    ----------
    latent : (N, d) array
        Within-class covariance I, between-class covariance diag(psi).
    psi : (d,) array
    counts : (N,) or (1,) array
        Of how many vectors of one speaker each row is the mean.

    Returns
    -------
    (N, d) array
    """
    dim = len(psi)
    energy = (latent**2 / (psi + 1 / counts[:, None])).sum(axis=1, keepdims=True)
    scaled: FloatArray = latent * np.sqrt(dim / np.where(energy > 0, energy, dim))
    return scaled


def _check_dim(vectors: FloatArray, plda: Plda) -> None:
    if vectors.shape[1] != len(plda.mean):
        raise DataError(
            f"x-vectors have {vectors.shape[1]} dimensions, the PLDA has "
            f"{len(plda.mean)}; use the model that belongs to the extractor"
        )


def isotropic_plda(dim: int) -> Plda:
    """Return what is known of whitened x-vectors where no PLDA was trained.

    Along every dimension, speakers have the same share of the variance, which whitening
    has made 1.

    Parameters
    ----------
    dim : int
        D, that of the x-vectors.
    """
    within = 1 - _SPEAKER_SHARE
    psi = np.full(dim, _SPEAKER_SHARE / within)
    return Plda(np.zeros(dim), np.eye(dim) / np.sqrt(within), psi)


def speaker_space(vectors: FloatArray, model: Model) -> tuple[FloatArray, FloatArray]:
    """Return vectors where the variance within speakers is 1 in all directions.

    Parameters
    ----------
    vectors : (N, D) array
        Centred, whitened, length-normalised (`ssahc.backend.preprocess`).
    model : Model
        Without a PLDA, `isotropic_plda` takes its place.

    Returns
    -------
    latent : (N, d) array
    psi : (d,) array
        Variance between speakers along each dimension.

    Raises
    ------
    DataError
        If the dimensions of vectors and model disagree.
    """
    plda = model.plda or isotropic_plda(vectors.shape[1])
    return project_to_latent(vectors, plda), plda.psi


def log_likelihood_ratios(latent: FloatArray, psi: FloatArray) -> FactoredAffinity:
    """PLDA log-likelihood ratios of vectors in the model's latent space.

    With one enrolment vector the ratio is, a dimension,
    ``log((1+psi)^2 / (1+2 psi)) / 2 + psi/(1+2 psi) x y
    - psi^2 / (2 (1+psi) (1+2 psi)) (x^2 + y^2)``.

    Parameters
    ----------
    latent : (N, d) array
        Within-class covariance I, between-class covariance diag(psi).
    psi : (d,) array
    """
    cross = psi / (1 + 2 * psi)
    square = -0.5 * psi**2 / ((1 + psi) * (1 + 2 * psi))
    constant = 0.5 * np.log((1 + psi) ** 2 / (1 + 2 * psi)).sum()
    features = latent * np.sqrt(cross)
    return FactoredAffinity(features, latent**2 @ square, float(constant))
