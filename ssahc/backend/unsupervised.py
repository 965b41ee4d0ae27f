"""A model (mean, whitening, PLDA) from recordings without speaker labels.

What no recording can tell alone is learned from all there are, in one pass:

- the mean, to which every recording counts the same, however long it is: the mean of
  one recording is mostly that of the voice that speaks most in it;
- the within-speaker covariance, from neighbouring windows: windows of one stretch of
  speech that follow each other without overlap are mostly of one speaker, so half the
  covariance of their differences is that within speakers. It is shrunk towards equal
  variances by a prior worth some pairs for each dimension, so that few recordings
  whiten a little, many fully.

The between-speaker covariance is not learned: what is left of the total covariance
follows the accidents of a few dozen voices. The PLDA is the same in all directions.
"""

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssahc.backend.preprocess import check_dim
from ssahc.core.errors import DataError, counted
from ssahc.core.model import find_mean_fault
from ssahc.core.types import Fault, FloatArray, Model, Plda, Recording, as_numbers

# Windows with a gap of at most this many seconds touch: times in files are rounded.
_TOUCHING = 0.02
# The prior of the within-speaker covariance counts as this many pairs per dimension.
_PRIOR_PAIRS = 30
# Between-speaker variance in each direction, where that between neighbouring windows of
# a speaker is 1, and what is added to it for one recording, half of it for two, and so
# on. Speakers of a recording were measured at 0.15 to 0.5; a wider prior asks more
# evidence for each of them, since windows of a speaker differ more than neighbours do,
# and few recordings have a mean that is mostly one voice.
_SPEAKER_VARIANCE, _FEW_RECORDINGS = 1.0, 0.5
# Share of the variance of x-vectors that is within speakers, if neighbours do not tell.
_WITHIN_SHARE = 0.5
# Dimensions with less than this share of the largest variance are constant.
_CONSTANT = 1e-10
# Neighbours must be closer than other windows by this many standard errors.
_CERTAINTY = 3.0

_logger = logging.getLogger(__name__)


def estimate_mean(recordings: Iterable[Recording]) -> FloatArray:
    """Return the mean of the means of recordings (D,).

    Parameters
    ----------
    recordings : iterable of Recording

    Returns
    -------
    (D,) array

    Raises
    ------
    DataError
        If there is no recording, dimensions disagree, or an item is not a Recording.
    """
    return _accumulate(recordings, strict=True).mean


def fit_unlabelled(
    recordings: Iterable[Recording | Fault],
    *,
    mean: ArrayLike | None = None,
    strict: bool = True,
) -> Model:
    """Estimate mean, whitening and PLDA from recordings without speaker labels.

    The recordings are read once, and none is kept.

    Parameters
    ----------
    recordings : iterable of Recording
        Their segments should be windows slid over speech, shorter than turns. A Fault,
        as yielded by `read_recordings`, is refused.
    mean : (D,) array, optional
        A mean to use instead of that of the recordings.
    strict : bool
        Refuse recordings whose neighbouring windows do not show what is within a
        speaker, or that disagree in their dimension; otherwise a general value takes
        its place, and those of the most frequent dimension are learned from.

    Returns
    -------
    Model
        Rounded to what a binary model folder holds. The transform (d, D) leaves out
        dimensions that are constant.

    Raises
    ------
    DataError
        If there is no recording, an item is not a Recording, or the mean does not fit;
        if strict, also if dimensions disagree, or if neighbouring windows are no closer
        to each other than to other windows of their recording.
    """
    sums = _accumulate(recordings, strict=strict)
    center = sums.mean
    if mean is not None:
        center = np.atleast_1d(as_numbers(mean, "the mean"))
        if fault := find_mean_fault(center):
            raise DataError(f"the mean {fault}")
        check_dim(sums.origin[None], len(center), "the mean")
    reason = sums.doubt()
    if reason is not None and strict:
        raise DataError(
            f"{reason}. Give windows slid over speech, shorter than turns, or train on "
            "labelled x-vectors"
        )
    if reason is not None:
        _logger.info(f"{reason}; a general within-speaker variance is assumed")
    else:
        pairs = counted(sums.num_pairs, "pair")
        level = logging.INFO if strict else logging.DEBUG
        _logger.log(level, f"learned from {pairs} of neighbouring windows")
    return _make_model(sums, center, has_pairs=reason is None)


def _accumulate(recordings: Iterable[Recording | Fault], *, strict: bool) -> "_Sums":
    """Return the sums of the recordings; of the most that agree in their dimension.

    If strict, a DataError is raised where they do not agree.
    """
    found: dict[int, _Sums] = {}
    for item in recordings:
        recording = _checked(item)
        dim = recording.xvectors.shape[1]
        if strict and found and dim not in found:
            (other,) = found.values()
            raise DataError(
                f"recording {recording.id!r} has x-vectors of {dim} dimensions, "
                f"{other.first_id!r} of {len(other.origin)}; extract both with one "
                "network"
            )
        if dim not in found:
            found[dim] = _Sums(recording)
        found[dim].add(recording)
    if not found:
        raise DataError("there is no recording; give some to learn from")
    return max(found.values(), key=lambda sums: sums.num_recordings)


def _checked(item: Recording | Fault) -> Recording:
    if isinstance(item, Fault):
        raise DataError(
            f"recording {item.recording!r} cannot be used: {item.reason}; mend it or "
            "leave it out"
        )
    if not isinstance(item, Recording):
        kind = type(item).__name__
        raise DataError(f"expected recordings to learn from, found {kind}")
    return item


class _Sums:
    """Sums over recordings, from which their model follows."""

    def __init__(self, first: Recording) -> None:
        self.first_id, dim = first.id, first.xvectors.shape[1]
        # Relative to a vector of the first recording, so that a large common mean does
        # not cost digits.
        self.origin: FloatArray = first.xvectors[0].astype(np.float64)
        self.num_recordings = self.num_windows = self.num_sliding = 0
        self.means, self.sum = np.zeros(dim), np.zeros(dim)
        self.products = np.zeros((dim, dim))
        # Of the differences between neighbours, and of their lack of distance to other
        # windows.
        self.num_pairs = 0
        self.differences = np.zeros((dim, dim))
        self.near = self.far = self.gain = self.squared_gain = 0.0

    def add(self, recording: Recording) -> None:
        """Add the x-vectors of a recording."""
        vectors = recording.xvectors - self.origin
        self.num_recordings += 1
        self.num_windows += len(vectors)
        self.means += vectors.mean(axis=0)
        self.sum += vectors.sum(axis=0)
        self.products += vectors.T @ vectors
        starts, ends = recording.segments[np.lexsort(recording.segments.T[::-1])].T
        self.num_sliding += int((starts[1:] < ends[:-1] - _TOUCHING).sum())
        earlier, later, other = _pair_within(recording.segments)
        difference = vectors[earlier] - vectors[later]
        self.num_pairs += len(difference)
        self.differences += difference.T @ difference
        near = (difference**2).sum(axis=1)
        far = ((vectors[earlier] - vectors[other]) ** 2).sum(axis=1)
        self.near += near.sum()
        self.far += far.sum()
        self.gain += (far - near).sum()
        self.squared_gain += ((far - near) ** 2).sum()

    @property
    def mean(self) -> FloatArray:
        """The mean of the means of recordings (D,)."""
        mean: FloatArray = self.origin + self.means / self.num_recordings
        return mean

    def scatter(self, mean: FloatArray) -> FloatArray:
        """Return the second moment of x-vectors around a mean (D, D)."""
        offset, average = mean - self.origin, self.sum / self.num_windows
        cross = np.outer(average, offset)
        scatter: FloatArray = self.products / self.num_windows
        return scatter - cross - cross.T + np.outer(offset, offset)

    def doubt(self) -> str | None:
        """Return why neighbouring windows do not show what is within a speaker.

        None if they do: because windows overlap, so that turns are longer than two of
        them, or because neighbours are clearly closer than other windows.
        """
        if self.num_pairs == 0:
            return "no two windows follow each other within a stretch of speech"
        if 2 * self.num_sliding >= self.num_windows - self.num_recordings:
            return None
        gain = self.gain / self.num_pairs
        variance = self.squared_gain / self.num_pairs - gain**2
        if gain > _CERTAINTY * np.sqrt(max(variance, 0.0) / self.num_pairs):
            return None
        share = self.near / self.far if self.far > 0 else 1.0
        return (
            "neighbouring windows are no closer to each other than to other windows of "
            f"their recording (squared distance {share:.2f} of theirs): the segments "
            "seem to be whole turns, where the neighbour is another speaker"
        )


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
    # A window without length begins where it ends; it is not its own neighbour.
    within = (after < len(starts)) & (after > np.arange(len(starts)))
    within[within] = stretch[after[within]] == stretch[within]
    windows, neighbours = order[within], order[after[within]]
    return windows, neighbours, np.roll(neighbours, len(neighbours) // 2)


def _make_model(sums: _Sums, mean: FloatArray, *, has_pairs: bool) -> Model:
    """Return the model of sums, as files hold it."""
    scatter = sums.scatter(mean)
    variances = np.diag(scatter)
    alive = np.flatnonzero(variances > _CONSTANT * variances.max())
    if len(alive) == 0:
        # All x-vectors are equal: any model says so.
        alive = np.arange(len(mean))
    scatter, dim = scatter[np.ix_(alive, alive)], len(alive)
    share, whitening = _WITHIN_SHARE, np.eye(dim)
    if has_pairs:
        within = sums.differences[np.ix_(alive, alive)] / (2 * sums.num_pairs)
        prior = _PRIOR_PAIRS * dim
        weight = prior / (prior + sums.num_pairs)
        typical = np.trace(within) / dim
        shrunk = (1 - weight) * within + weight * typical * np.eye(dim)
        energies, directions = np.linalg.eigh(shrunk)
        if energies[0] > 0:
            whitening = directions.T / np.sqrt(energies)[:, None]
            total = np.trace(whitening @ scatter @ whitening.T)
            share = np.trace(whitening @ within @ whitening.T) / total
    transform = np.zeros((dim, len(mean)))
    transform[:, alive] = whitening
    # Vectors are scaled to length sqrt(d), which makes their variance 1.
    scale = np.eye(dim) / np.sqrt(share)
    speakers = _SPEAKER_VARIANCE + _FEW_RECORDINGS / sums.num_recordings
    plda = Plda(np.zeros(dim), scale, np.full(dim, speakers))
    return Model(_as_stored(mean), _as_stored(transform), plda)


def _as_stored(values: FloatArray) -> FloatArray:
    """Round to what the files of a model hold."""
    return values.astype(np.float32).astype(np.float64)
