"""Scores of speaker verification trials, by cosine or PLDA.

A trial asks whether a test utterance is of an enrolled speaker.
"""

import numpy as np
from numpy.typing import ArrayLike

from ssahc.backend.embedding_net import apply_embedding_net
from ssahc.backend.plda import normalize_latent, project_to_latent
from ssahc.backend.preprocess import center, unit_rows, whiten_and_normalize
from ssahc.core.errors import DataError
from ssahc.core.model import check_model
from ssahc.core.types import FloatArray, Model, Plda, as_matrix

# Trials scored at once: their vectors should fit into the processor's cache.
_BLOCK = 1024


def embed(xvectors: FloatArray, model: Model) -> FloatArray:
    """Return the embeddings of x-vectors, whose cosines are scores.

    These are the outputs of the model's embedding network; without one, x-vectors are
    centred, whitened and length-normalised, which is also the input of a PLDA.

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted, or means over the utterances of a speaker.
    model : Model
        Without a mean, that of `xvectors` is subtracted.

    Returns
    -------
    (N, d) array

    Raises
    ------
    DataError
        If dimensions disagree, or the model is unusable.
    """
    check_model(model)
    centered = center(as_matrix(xvectors, "x-vectors"), model.mean)
    if model.metric is not None:
        return apply_embedding_net(centered, model.metric)
    return whiten_and_normalize(centered, model)


def score_trials(
    enrolled: ArrayLike,
    counts: ArrayLike,
    tests: ArrayLike,
    trials: ArrayLike,
    plda: Plda | None = None,
) -> FloatArray:
    """Score trials by PLDA log-likelihood ratio, or without a PLDA by cosine.

    Parameters
    ----------
    enrolled : (E, D) array
        From `embed`: the mean x-vector of each enrolled speaker.
    counts : (E,) array of int
        Number of x-vectors in each mean; the cosine does not depend on it.
    tests : (T, D) array
        From `embed`: the x-vectors of the test utterances.
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
        If dimensions disagree, a count is below 1 or a row is out of range.
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
        left, right, constants = _factor_ratios(speakers, numbers, utterances, plda)
        scores = constants[pairs[:, 0]]
    for start in range(0, len(pairs), _BLOCK):
        block = slice(start, start + _BLOCK)
        first, second = pairs[block].T
        scores[block] += np.einsum("kd,kd->k", left[first], right[second])
    return scores


def _factor_ratios(
    speakers: FloatArray, counts: FloatArray, utterances: FloatArray, plda: Plda
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Write log-likelihood ratios as inner products plus a constant per speaker.

    Given the mean y of n vectors, a test vector x of the same speaker has, in each
    dimension, mean ``m = n psi / (1 + n psi) y`` and variance
    ``v = 1 + psi / (1 + n psi)``; of any speaker it has mean 0 and variance
    ``1 + psi``. In powers of x, the log ratio of the two densities is ``x m / v
    + x^2 (1 / (1 + psi) - 1 / v) / 2 - m^2 / (2 v) + log((1 + psi) / v) / 2``.
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
