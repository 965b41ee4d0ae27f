"""Sliding-window mean and variance normalisation of features."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ssahc.core.options import Options
from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.core.validation import Interval
from ssahc.frontend.features import check_features

# As Kaldi's, for features that do not vary within a window.
_LEAST_VARIANCE = 1e-10
# Frames normalised together, to bound memory.
_BLOCK = 8192


@dataclass(frozen=True)
class SlidingCmvnOptions(Options):
    """Options of sliding-window normalisation, named as in Kaldi.

    The defaults are those of Kaldi's diarization recipes, not of its program, which are
    a window of 600 frames to the left.

    Parameters
    ----------
    cmn_window : int
        Length of the window, in frames.
    center : bool
        Centre the window on the frame it normalises; else it ends there. At the ends of
        a recording a centred window is shifted.
    min_cmn_window : int
        Length of the window at the start of a recording, if not centred.
    norm_vars : bool
        Normalise the variance as well.
    """

    cmn_window: Annotated[int, Interval(ge=1, le=1_000_000)] = 300
    center: bool = True
    min_cmn_window: Annotated[int, Interval(ge=1, le=1_000_000)] = 100
    norm_vars: bool = False

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its normalisation needs."""
        if self.center:
            return self.cmn_window - self.cmn_window // 2
        return self.min_cmn_window


def sliding_cmvn(
    features: Float32Array, options: SlidingCmvnOptions = SlidingCmvnOptions()
) -> Float32Array:
    """Return features (T, D) normalised as by Kaldi's ``apply-cmvn-sliding``.

    Raises
    ------
    DataError
        If features are NaN or infinite: one such frame would spoil all of its windows.
    """
    check_features(features)
    normalised = np.empty_like(features)
    for first in range(0, len(features), _BLOCK):
        last = min(first + _BLOCK, len(features))
        normalised[first:last] = _normalise(features, first, last, options)
    return normalised


def _normalise(
    features: Float32Array, first: int, last: int, options: SlidingCmvnOptions
) -> FloatArray:
    """Return frames `first` to `last`, normalised."""
    starts, ends = _windows(np.arange(first, last), len(features), options)
    origin = int(starts[0])
    context = features[origin : ends[-1]].astype(np.float64)
    # Of the sums from the first frame on, those over windows are differences.
    counts = (ends - starts)[:, None]
    means = _sums(context, starts - origin, ends - origin) / counts
    normalised = context[first - origin : last - origin] - means
    if options.norm_vars:
        squares = _sums(context**2, starts - origin, ends - origin) / counts
        normalised /= np.sqrt(np.maximum(squares - means**2, _LEAST_VARIANCE))
        # The variance of a single frame is not known.
        normalised[counts[:, 0] == 1] = 0
    return normalised


def _windows(
    frames: IntArray, total: int, options: SlidingCmvnOptions
) -> tuple[IntArray, IntArray]:
    """Return the first frames of the windows of `frames`, and those behind the last."""
    if options.center:
        starts = frames - options.cmn_window // 2
        ends = starts + options.cmn_window
        ends -= np.minimum(starts, 0)
    else:
        starts = frames - options.cmn_window
        ends = np.maximum(frames + 1, options.min_cmn_window)
    starts = np.maximum(starts, 0)
    beyond = np.maximum(ends - total, 0)
    return np.maximum(starts - beyond, 0), ends - beyond


def _sums(values: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    totals = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=totals[1:])
    return totals[ends] - totals[starts]
