"""Preprocessing of x-vectors: centring, whitening, length normalisation, PCA.

Sources: Kaldi's ``ivector-subtract-global-mean``, ``transform-vec``,
``ivector-normalize-length`` and the PCA inside ``ivector-plda-scoring-dense``.
Everything is computed in float64; Kaldi rounds each step to float32.
"""

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.model import transform_dim
from ssahc.core.types import FloatArray, Model

# Centred vectors shorter than this share of the raw ones are rounding noise.
_NO_SPREAD = 1e-6
# Rows shorter than this are not scaled to unit length by networks and samplers.
SHORTEST = 1e-12
# Eigenvalues below this share of the largest one may be rounding noise.
_RANK = 1e-9


def check_dim(vectors: FloatArray, expected: int, part: str) -> None:
    """Raise a DataError unless x-vectors have the dimension of a part of the model."""
    if vectors.shape[1] != expected:
        raise DataError(
            f"x-vectors have {vectors.shape[1]} dimensions, {part} has {expected}; "
            "use the model that belongs to the extractor"
        )


def center(xvectors: FloatArray, mean: FloatArray | None) -> FloatArray:
    """Subtract the global mean (D,) from rows (N, D), or their own mean if it is None.

    Without a global mean, vectors that are all equal are returned unchanged: centring
    would leave nothing but rounding noise. Raises a DataError for a mean of another
    dimension.
    """
    if mean is not None:
        check_dim(xvectors, len(mean), "the model's mean")
        return xvectors - mean
    centered = xvectors - xvectors.mean(axis=0)
    if np.abs(centered).max() <= _NO_SPREAD * np.abs(xvectors).max():
        return xvectors
    return centered


def apply_transform(vectors: FloatArray, transform: FloatArray | None) -> FloatArray:
    """Apply a linear (d, D) or affine (d, D + 1) transform, if any, to each row.

    The last column of an affine transform is the offset. With d = D it is a whitening,
    with less a projection such as LDA. Raises a DataError for another dimension.
    """
    if transform is None:
        return vectors
    dim = vectors.shape[1]
    check_dim(vectors, transform_dim(transform, dim), "the model's transform")
    return vectors @ transform[:, :dim].T + transform[:, dim:].sum(axis=1)


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Scale each row to length 1; rows of zeros stay zero."""
    return vectors / _nonzero_lengths(vectors)


def length_normalize(vectors: FloatArray) -> FloatArray:
    """Scale each row to length sqrt(D); rows of zeros stay zero.

    Source: Kaldi's ``ivector-normalize-length``. This is not ``sqrt(D) * unit_rows``,
    which differs in the last bits.
    """
    return vectors * (np.sqrt(vectors.shape[1]) / _nonzero_lengths(vectors))


def _nonzero_lengths(vectors: FloatArray) -> FloatArray:
    """Return the lengths of the rows as a column, 1 for rows of zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 0, lengths, 1.0)


def whiten_and_normalize(centered: FloatArray, model: Model) -> FloatArray:
    """Return centred x-vectors (N, D) as (N, d): transformed, rows of length sqrt(d).

    Without a transform, d is D. Raises a DataError for one of another dimension.
    """
    return length_normalize(apply_transform(centered, model.transform))


def recording_pca(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return energies (D,), decreasing, and principal directions (D, D), one per row.

    The covariance is that of the centred vectors, divided by N. The directions are
    meant to be applied without centring, as Kaldi's ``EstPca`` and ``ApplyPca`` do.
    """
    centered = vectors - vectors.mean(axis=0)
    energies, columns = np.linalg.eigh(centered.T @ centered / len(vectors))
    return energies[::-1], columns.T[::-1]


def leading_pca(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the directions of `recording_pca` that have energy, faster for small N.

    For N <= D, the N x N Gram matrix has the same eigenvalues as the covariance. One
    of them is 0, since the vectors are centred.
    """
    count, dim = vectors.shape
    if 1 < count <= dim:
        centered = vectors - vectors.mean(axis=0)
        energies, columns = np.linalg.eigh(centered @ centered.T / count)
        energies, rows = energies[:0:-1], columns.T[:0:-1]
        if energies[-1] > _RANK * energies[0]:
            return energies, rows @ centered / np.sqrt(count * energies)[:, None]
    return recording_pca(vectors)


def principal_directions(vectors: FloatArray, dim: int) -> FloatArray:
    """Return the first min(dim, N, D) principal directions (d, D) of one recording."""
    pca = leading_pca if dim < len(vectors) else recording_pca
    return pca(vectors)[1][: min(dim, len(vectors))]


def energy_dim(energies: FloatArray, target_energy: float) -> int:
    """Return how many directions Kaldi keeps for a share of the energy.

    The loop of ``ivector-plda-scoring-dense`` counts one direction more than it needs.
    The result can therefore exceed D by one, where Kaldi aborts; the caller then keeps
    all directions. A recording without energy (one vector, or equal ones) keeps one.
    Energies (D,) are decreasing.
    """
    total = energies.sum()
    if total <= 0:
        return 1
    needed = int(np.searchsorted(np.cumsum(energies) / total, target_energy, "right"))
    return needed + 2
