"""A model from recordings of which nobody has said who speaks when.

Within one stretch of speech, windows that follow each other without overlap are mostly
of one speaker: half the covariance of their differences is that of one voice. What
x-vectors vary beyond it is due to speakers. That holds for windows slid over speech,
not where segments are whole turns, so it is tested first.
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

# Windows closer in time than this, in seconds, touch: files round times.
_TOUCHING = 0.02
# Pairs of neighbours wanted for every dimension.
_PAIRS_PER_DIM = 2
# By how many standard errors neighbours must be closer than other windows.
_CERTAINTY = 3.0
# Share of the variances between speakers that may come out as 0 without a warning.
_MOST_LOST = 0.25

_logger = logging.getLogger(__name__)


def fit_unlabelled(recordings: Iterable[Recording | Fault]) -> Model:
    """Estimate mean, whitening and PLDA from recordings without speaker labels.

    Parameters
    ----------
    recordings : iterable of Recording
        Their segments are windows slid over speech, each shorter than a turn. A Fault
        among them, as `read_recordings` yields, is refused.

    Returns
    -------
    Model
        Mean and whitening are those of all x-vectors.

    Raises
    ------
    DataError
        If there are too few windows that follow each other in one stretch of speech,
        if these are no closer to each other than to other windows of their recording,
        if dimensions disagree, or if one is no recording.
    """
    usable = [_checked(item) for item in recordings]
    if not usable:
        raise DataError("there is no recording; give some to learn from")
    first = usable[0]
    dim = first.xvectors.shape[1]
    for recording in usable:
        if recording.xvectors.shape[1] != dim:
            raise DataError(
                f"recording {recording.id!r} has x-vectors of "
                f"{recording.xvectors.shape[1]} dimensions, {first.id!r} of {dim}; "
                "extract both with one network"
            )
    xvectors = np.concatenate([recording.xvectors for recording in usable])
    mean = xvectors.mean(axis=0)
    model = Model(mean, estimate_whitening(xvectors))
    vectors = whiten_and_normalize(center(xvectors, mean), model)
    ends = np.cumsum([len(recording) for recording in usable])
    earlier, later, other = (
        np.concatenate(rows)
        for rows in zip(
            *(
                _pair(recording.segments, int(end) - len(recording))
                for recording, end in zip(usable, ends, strict=True)
            ),
            strict=True,
        )
    )
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
    middle = vectors.mean(axis=0)
    total = (vectors - middle).T @ (vectors - middle) / len(vectors)
    # Negative variances between speakers become 0.
    plda = diagonalize(middle, within, total - within)
    _report(len(differences), plda)
    return Model(mean, model.transform, plda)


def _report(num_pairs: int, plda: Plda) -> None:
    """Log how much was learned from, and warn if it seems to be too little."""
    _logger.info("learned from %d pairs of neighbouring windows", num_pairs)
    lost = int((plda.psi == 0).sum())
    if lost > _MOST_LOST * len(plda.psi):
        _logger.warning(
            "%d of %d variances between speakers came out as 0: more recordings would "
            "help",
            *(lost, len(plda.psi)),
        )


def _checked(item: Recording | Fault) -> Recording:
    if isinstance(item, Fault):
        raise DataError(
            f"recording {item.recording!r} cannot be used: {item.reason}; mend it or "
            "leave it out"
        )
    if not isinstance(item, Recording):
        raise DataError(f"expected recordings to learn from, found {item!r}")
    return item


def _pair(segments: FloatArray, offset: int) -> tuple[NDArray[np.intp], ...]:
    """Return windows, their neighbours, and windows from elsewhere in the recording.

    Parameters
    ----------
    segments : (N, 2) array
        Of one recording, in seconds.
    offset : int
        Row of its first window.

    Returns
    -------
    three (n,) int arrays
        Rows of windows; of the first that begins after each of them ends, in the same
        stretch of speech; of what is another's neighbour, half of the pairs further on.
    """
    order = np.argsort(segments[:, 0], kind="stable")
    starts, ends = segments[order].T
    reached = np.maximum.accumulate(ends)
    stretch = np.append(0, np.cumsum(starts[1:] > reached[:-1] + _TOUCHING))
    after = np.searchsorted(starts, ends - _TOUCHING)
    within = after < len(starts)
    within[within] = stretch[after[within]] == stretch[within]
    earlier, later = order[within] + offset, order[after[within]] + offset
    return earlier, later, np.roll(later, len(later) // 2)


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
