"""Training, smoothing and adaptation of a PLDA, as Kaldi's programs do it.

Sources: ``ivector-compute-plda``, ``ivector-copy-plda --smoothing`` and
``ivector-adapt-plda``. Everything is computed in float64; Kaldi rounds vectors to
float32.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssahc.backend.plda import diagonalize
from ssahc.core.errors import DataError, counted
from ssahc.core.types import FloatArray, Plda

# A variance below this share of the largest is rounding noise of float32 vectors.
_NO_VARIANCE = 1e-12
# Constant dimensions that an error names.
_SHOWN = 10


def train_plda(
    vectors: FloatArray, speakers: Sequence[str], iterations: int = 10
) -> Plda:
    """Train a two-covariance PLDA by expectation maximisation.

    Source: ``ivector-compute-plda``. Vectors (N, D) are centred, whitened and
    length-normalised. Raises a DataError unless there is a speaker for each, there are
    two speakers or more, and the vectors vary within and between them.
    """
    check_one_each(vectors, speakers)
    total = principal_variances(vectors, "a PLDA")[0].sum()
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
    means = _sum_by_speaker(member, vectors, len(counts)) / counts[:, None]
    rest = vectors - means[member]
    scatter = rest.T @ rest
    if np.trace(scatter) <= _NO_VARIANCE * total * len(vectors):
        raise DataError(
            "the x-vectors of each speaker are all equal; give different ones"
        )
    # Kaldi's mean weights all speakers equally, however many vectors they have.
    mean = means.mean(axis=0)
    within = between = np.eye(len(mean))
    for _ in range(iterations):
        within, between = _em_step(within, between, means - mean, counts, scatter)
    return diagonalize(mean, within, between)


def check_one_each(vectors: FloatArray, speakers: Sequence[str]) -> None:
    """Raise a DataError unless there is one speaker for each vector."""
    if len(speakers) != len(vectors):
        raise DataError(
            f"every x-vector needs one speaker: found {len(vectors)} x-vectors and "
            f"{len(speakers)} speakers"
        )


def _sum_by_speaker(
    member: NDArray[np.intp], vectors: FloatArray, num_speakers: int
) -> FloatArray:
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(num_speakers))
    sums: FloatArray = np.add.reduceat(vectors[order], starts, axis=0)
    return sums


def _em_step(
    within: FloatArray,
    between: FloatArray,
    offsets: FloatArray,
    counts: NDArray[np.intp],
    scatter: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the covariances after one EM iteration.

    The posterior of a speaker with n vectors of mean z has mean ``B (B + W/n)^-1 z``
    and variance ``B (B + W/n)^-1 W/n``. W is not inverted, since it may be nearly
    singular. Offsets (K, D) are those of the speakers' means from the mean.
    """
    new_within, new_between = scatter.copy(), np.zeros_like(between)
    for count in np.unique(counts):
        noise = within / count
        z = offsets[counts == count]
        gain = np.linalg.solve(between + noise, noise)
        variance = between @ gain
        # What the posterior mean leaves of z is computed directly, which is more exact
        # than a difference of the two.
        left = z @ gain
        voices = z @ np.linalg.solve(between + noise, between)
        new_between += len(z) * variance + voices.T @ voices
        new_within += count * (len(z) * variance + left.T @ left)
    new_within /= counts.sum()
    new_between /= len(counts)
    return (new_within + new_within.T) / 2, (new_between + new_between.T) / 2


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
    """Adapt a PLDA to unlabelled vectors whose variance exceeds what it expects.

    Source: ``ivector-adapt-plda``. The mean becomes that of the vectors (N, D), which
    are preprocessed like those to be scored; the scales are the shares of the excess
    variance added to either covariance. Raises a DataError if vectors are too few or of
    another dimension.
    """
    if vectors.shape[1] != len(plda.mean):
        raise DataError(
            f"expected x-vectors of {len(plda.mean)} dimensions to adapt to, found a "
            f"matrix of shape {vectors.shape}; use those of the same extractor"
        )
    _check_enough(
        vectors, "adapting a PLDA, which needs their spread in every direction"
    )
    mean = vectors.mean(axis=0)
    centered = vectors - mean
    shift = mean - plda.mean
    spread = centered.T @ centered / len(vectors) + np.outer(shift, shift)
    # In this space the total covariance of the model is I.
    total = plda.transform / np.sqrt(1 + plda.psi)[:, None]
    variances, columns = np.linalg.eigh(total @ spread @ total.T)
    excess = np.maximum(variances - 1, 0.0)
    within = (columns.T / (1 + plda.psi)) @ columns + np.diag(within_scale * excess)
    between = (columns.T * (plda.psi / (1 + plda.psi))) @ columns
    between += np.diag(between_scale * excess)
    adapted = diagonalize(mean, within, between)
    return Plda(mean, adapted.transform @ columns.T @ total, adapted.psi)


def principal_variances(
    vectors: FloatArray, purpose: str
) -> tuple[FloatArray, FloatArray]:
    """Return the variances (1/N, decreasing) along principal directions, one per row.

    A DataError names the purpose if the vectors do not vary in all of them.
    """
    _check_enough(vectors, purpose)
    count, dim = vectors.shape
    centered = vectors - vectors.mean(axis=0)
    if len(constant := np.flatnonzero((vectors == vectors[0]).all(axis=0))):
        shown = ", ".join(map(str, constant[:_SHOWN]))
        more = f" and {len(constant) - _SHOWN} more" if len(constant) > _SHOWN else ""
        raise DataError(
            f"{counted(len(constant), 'dimension')} of {dim} (counted from 0: {shown}"
            f"{more}) never change in {counted(count, 'x-vector')}, as behind a ReLU: "
            f"no {purpose}. Leave them out, or extract x-vectors before the ReLU"
        )
    variances, columns = np.linalg.eigh(centered.T @ centered / count)
    rank = int((variances > _NO_VARIANCE * variances[-1]).sum())
    if rank < dim:
        raise DataError(
            f"{count} x-vectors of {dim} dimensions vary in {rank} directions only, "
            f"too few for {purpose}; are some of them copies? Give different ones"
        )
    return variances[::-1], columns.T[::-1]


def _check_enough(vectors: FloatArray, purpose: str) -> None:
    """Raise a DataError unless there are more vectors than dimensions."""
    count, dim = vectors.shape
    if count <= dim:
        raise DataError(
            f"{count} x-vectors of {dim} dimensions are too few for {purpose}; give "
            f"more than {dim}"
        )
