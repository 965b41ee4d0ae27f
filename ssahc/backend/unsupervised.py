"""Training of a model (mean, whitening, PLDA) on recordings without speaker labels.

Consecutive windows within one stretch of speech that do not overlap are mostly of one
speaker, so half the covariance of their differences estimates the within-speaker
covariance. The rest of the total covariance is attributed to speakers. This holds for
windows slid over speech, not for segments that are whole turns; a test refuses those.
"""

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ssahc.backend.plda import diagonalize
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.backend.training import estimate_whitening
from ssahc.core.errors import DataError
from ssahc.core.types import Fault, FloatArray, Model, Plda, Recording

# Windows with a gap of at most this many seconds touch: times in files are rounded.
_TOUCHING = 0.02
# Required number of neighbouring pairs per dimension.
_PAIRS_PER_DIM = 2
# Neighbours must be closer than other windows by this many standard errors.
_CERTAINTY = 3.0
# Share of the between-speaker variances that may be clipped to 0 without a warning.
_MOST_LOST = 0.25

_logger = logging.getLogger(__name__)


def fit_unlabelled(recordings: Iterable[Recording | Fault]) -> Model:
    """Estimate mean, whitening and PLDA from recordings without speaker labels.

    Parameters
    ----------
    recordings : iterable of Recording
        Their segments must be windows slid over speech, shorter than turns. A Fault, as
        yielded by `read_recordings`, is refused.

    Returns
    -------
    Model
        Mean and whitening are estimated on all x-vectors.

    Raises
    ------
    DataError
        If there are too few neighbouring windows, if these are no closer to each other
        than to other windows of their recording, if dimensions disagree, or if an item
        is not a Recording.
    """
    usable = [_checked(item) for item in recordings]
    if not usable:
        raise DataError("there is no recording; give some to learn from")
    dim = _common_dim(usable)
    xvectors = np.concatenate([recording.xvectors for recording in usable])
    mean = xvectors.mean(axis=0)
    model = Model(mean, estimate_whitening(xvectors))
    vectors = whiten_and_normalize(center(xvectors, mean), model)
    earlier, later, other = _pair_windows(usable)
    if len(earlier) < _PAIRS_PER_DIM * dim:
        raise DataError(
            f"found {len(earlier)} pairs of neighbouring windows within one stretch of "
            f"speech; to learn {dim} dimensions without labels at least "
            f"{_PAIRS_PER_DIM * dim} are needed. Give more recordings, cut into "
            "windows shorter than turns that overlap or touch"
        )
    differences = vectors[earlier] - vectors[later]
    _check_closer(differences, vectors[earlier] - vectors[other])
    within = differences.T @ differences / (2 * len(differences))
    centroid = vectors.mean(axis=0)
    total = (vectors - centroid).T @ (vectors - centroid) / len(vectors)
    # `diagonalize` clips negative between-speaker variances to 0.
    plda = diagonalize(centroid, within, total - within)
    _log_quality(len(differences), plda)
    return Model(mean, model.transform, plda)


def _checked(item: Recording | Fault) -> Recording:
    if isinstance(item, Fault):
        raise DataError(
            f"recording {item.recording!r} cannot be used: {item.reason}; mend it or "
            "leave it out"
        )
    if not isinstance(item, Recording):
        raise DataError(f"expected recordings to learn from, found {item!r}")
    return item


def _common_dim(recordings: list[Recording]) -> int:
    first = recordings[0]
    dim = first.xvectors.shape[1]
    for recording in recordings:
        if recording.xvectors.shape[1] != dim:
            raise DataError(
                f"recording {recording.id!r} has x-vectors of "
                f"{recording.xvectors.shape[1]} dimensions, {first.id!r} of {dim}; "
                "extract both with one network"
            )
    return dim


def _pair_windows(recordings: list[Recording]) -> list[NDArray[np.intp]]:
    """Return what `_pair_within` does, with rows counted through all recordings."""
    begin, pairs = 0, []
    for recording in recordings:
        pairs.append([rows + begin for rows in _pair_within(recording.segments)])
        begin += len(recording)
    return [np.concatenate(rows) for rows in zip(*pairs, strict=True)]


def _pair_within(segments: FloatArray) -> tuple[NDArray[np.intp], ...]:
    """Return rows of windows, their neighbours, and other windows, of one recording.

    The neighbour is the first window of the same stretch of speech that begins after
    the end of a window; the other one is the neighbour of a window half a list away.
    """
    order = np.argsort(segments[:, 0], kind="stable")
    starts, ends = segments[order].T
    reached = np.maximum.accumulate(ends)
    stretch = np.append(0, np.cumsum(starts[1:] > reached[:-1] + _TOUCHING))
    after = np.searchsorted(starts, ends - _TOUCHING)
    within = after < len(starts)
    within[within] = stretch[after[within]] == stretch[within]
    windows, neighbours = order[within], order[after[within]]
    return windows, neighbours, np.roll(neighbours, len(neighbours) // 2)


def _check_closer(neighbours: FloatArray, others: FloatArray) -> None:
    """Raise a DataError unless neighbours are clearly closer than other windows."""
    near, far = (neighbours**2).sum(axis=1), (others**2).sum(axis=1)
    gain = far - near
    if gain.mean() <= _CERTAINTY * gain.std() / np.sqrt(len(gain)):
        raise DataError(
            "neighbouring windows are no closer to each other than to other windows of "
            f"their recording (squared distance {near.mean() / far.mean():.2f} of "
            "theirs): the segments seem to be whole turns, where the neighbour is "
            "another speaker, or every recording has one speaker. Give windows slid "
            "over speech, or train on labelled x-vectors"
        )


def _log_quality(num_pairs: int, plda: Plda) -> None:
    """Log the amount of training data; warn if it seems to be too little."""
    _logger.info("learned from %d pairs of neighbouring windows", num_pairs)
    lost = int((plda.psi == 0).sum())
    if lost > _MOST_LOST * len(plda.psi):
        _logger.warning(
            f"{lost} of {len(plda.psi)} variances between speakers came out as 0: more "
            "recordings would help"
        )
