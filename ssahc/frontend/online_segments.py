"""Windows of a stream, as soon as it is certain that they are those of the recording.

What comes next may lengthen the last region of speech, or join it to another one. What
it cannot change is the same whether only silence or only speech follows.
"""

import numpy as np

from ssahc.core.types import FloatArray
from ssahc.frontend.vad import (
    BoolArray,
    RegionOptions,
    close_gaps,
    drop_short,
    smooth_regions,
)
from ssahc.frontend.windows import WindowOptions, uniform_windows
from ssahc.io.speech import unite_spans

# Seconds; times of regions and windows are in milliseconds.
_TOLERANCE = 1e-3


class OnlineSegments:
    """Cut speech that is decided on frame by frame into windows.

    All together they are the `uniform_windows` of the `speech_regions` of the whole.

    Parameters
    ----------
    frame_shift : float
        In seconds; frame t stands for the time from t to t + 1 times that.
    regions : RegionOptions
    windows : WindowOptions
    """

    def __init__(
        self, frame_shift: float, regions: RegionOptions, windows: WindowOptions
    ) -> None:
        self._shift = frame_shift
        self._regions, self._windows = regions, windows
        self._num_frames = 0
        # Speech (N, 2) whose windows are not all certain; those that are of its first
        # region are counted.
        self._speech = np.zeros((0, 2))
        self._num_cut = 0
        self._earliest = 0.0

    @property
    def earliest(self) -> float:
        """A time, in seconds, before which none of the windows to come starts."""
        return self._earliest

    def add(self, is_speech: BoolArray) -> FloatArray:
        """Take decisions on further frames (t,); return windows (N, 2) in seconds."""
        edges = np.flatnonzero(np.diff(is_speech, prepend=False, append=False))
        new = (self._num_frames + edges.reshape(-1, 2)).astype(np.float64) * self._shift
        self._num_frames += len(is_speech)
        speech = np.concatenate([self._speech, new])
        going_on = np.concatenate([speech, [[self._end, np.inf]]])
        going_on = close_gaps(going_on, self._regions.min_silence)
        going_on = drop_short(going_on, self._regions.min_speech)
        self._speech = going_on[going_on[:, 0] < self._end]
        if np.isinf(self._speech[-1:, 1]).any():
            self._speech[-1, 1] = speech[-1, 1]
        return self._cut(self._smooth(going_on, np.inf))

    def finish(self) -> FloatArray:
        """Return the windows (N, 2) that are left when no more frames come."""
        return self._cut(self._smooth(self._speech, self._end))

    @property
    def _end(self) -> float:
        return self._num_frames * self._shift

    def _smooth(self, speech: FloatArray, end: float) -> list[tuple[float, float]]:
        regions = smooth_regions(speech, end, self._regions)
        spans = unite_spans("", map(tuple, regions.tolist()))
        return [(span.start, span.end) for span in spans]

    def _cut(self, others: list[tuple[float, float]]) -> FloatArray:
        """Return windows (N, 2) of regions that are over, and some of one that is not.

        Regions are those if only silence follows; `others` if only speech does.
        """
        found = np.zeros((0, 2))
        earliest = None
        for start, end in self._smooth(self._speech, self._end):
            is_over = (start, end) in others
            windows = self._find_windows(start, end, is_over=is_over)
            found = np.concatenate([found, windows])
            if is_over:
                self._num_cut = 0
                # Half a frame, since times are rounded.
                self._speech = self._speech[self._speech[:, 1] > end + self._shift / 2]
                continue
            self._num_cut += len(windows)
            if len(windows):
                earliest = float(windows[-1, 0])
            else:
                earliest = self._earliest if self._num_cut else start
        if earliest is None:
            first = self._speech[0, 0] if len(self._speech) else self._end
            earliest = float(first) - self._regions.speech_padding - _TOLERANCE
            earliest = max(earliest, 0.0)
        self._earliest = earliest
        return found

    def _find_windows(self, start: float, end: float, *, is_over: bool) -> FloatArray:
        """Return the windows (N, 2) of a region that are certain and new."""
        options = self._windows
        if is_over:
            return uniform_windows(start, end, options)[self._num_cut :]
        reach = self._num_cut * options.period + options.window
        if end - start < reach - _TOLERANCE:
            return np.zeros((0, 2))
        # How the last one is cut depends on where the region ends.
        return uniform_windows(start, end, options)[self._num_cut : -1]
