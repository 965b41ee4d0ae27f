"""Windows of constant length over regions of speech, and the frames in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ssahc.core.errors import DataError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import FloatArray, IntArray
from ssahc.core.validation import Interval

# Seconds by which speech may be said to end after the audio, as in Kaldi's
# extract-segments.
OVERSHOOT = 0.5


@dataclass(frozen=True)
class WindowOptions(Options, group="Audio"):
    """Options of sub-segmentation, named as in ``extract_xvectors.sh``, in seconds.

    Parameters
    ----------
    window : float
        Length of a window.
    period : float
        Distance between the starts of windows; more than --window only with
        --hard-min, for training data.
    min_segment : float
        If less than this is left at the end of a region, the last window is moved back
        to full length.
    hard_min : bool
        Skip regions shorter than --min-segment.
    constant_duration : bool
        No window is longer than --window; else the last one is, by --min-segment at
        most.
    """

    window: Annotated[float, Interval(ge=0.01, le=1e6)] = 1.5
    period: Annotated[float, Interval(ge=0.01, le=1e6)] = 0.75
    min_segment: Annotated[float, Interval(ge=0, le=1e6)] = 0.5
    hard_min: bool = False
    constant_duration: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        # Kaldi's recipes thin out training data so, by windows of 3 s every 10 s.
        if self.period > self.window and not self.hard_min:
            raise UsageError(
                f"--period {self.period:g} is more than --window {self.window:g}: "
                "speech between windows would be lost; give at most the window (or "
                "--hard-min as well, to leave it out of training data)"
            )


def uniform_windows(
    start: float, end: float, options: WindowOptions = WindowOptions()
) -> FloatArray:
    """Return windows (N, 2) that cover a region, in seconds, to the millisecond.

    Kaldi's ``get_uniform_subsegments.py`` and ``subsegment_data_dir.sh``.

    Raises
    ------
    DataError
        Unless 0 <= start <= end.
    """
    times = [
        (round(start + first, 3), round(start + last, 3))
        for first, last, _ in _cut(start, end, options)
    ]
    return np.array(times, np.float64).reshape(-1, 2)


def window_names(
    region: str, start: float, end: float, options: WindowOptions = WindowOptions()
) -> list[str]:
    """Return Kaldi's ids of the windows of a region: its name and the times in it."""
    return [f"{region}-{times}" for _, _, times in _cut(start, end, options)]


def _cut(
    start: float, end: float, options: WindowOptions
) -> Iterator[tuple[float, float, str]]:
    """Yield start and end of windows, counted from `start`, and the times in their ids.

    Times are those that Kaldi writes, to the millisecond; in ids, those of all but the
    last window are cut to hundredths, as there.
    """
    if not 0 <= start <= end < np.inf:
        raise DataError(
            f"expected 0 <= start <= end in seconds, found start {start:g} and end "
            f"{end:g} of a region"
        )
    left = end - start
    if options.hard_min and left < options.min_segment:
        return
    # The overlap is an option of Kaldi's script, in decimals.
    step = options.window - round(options.window - options.period, 6)
    longest = options.window
    if not options.constant_duration:
        longest += options.min_segment
    at = start
    while left > longest:
        first, last = at - start, at + options.window - start
        times = f"{int(100 * first):08d}-{int(100 * last):08d}"
        yield round(first, 3), round(first + options.window, 3), times
        at += step
        left -= step
    if options.constant_duration:
        if left < 0:
            return
        if left < options.min_segment:
            at = max(end - options.window, start)
        end = min(at + options.window, end)
    first, last = round(at - start, 3), round(end - start, 3)
    if first < last:
        times = f"{round(100 * (at - start)):08d}-{round(100 * (end - start)):08d}"
        yield first, last, times


def frame_ranges(
    windows: FloatArray, frame_shift: float, num_frames: int | None = None
) -> IntArray:
    """Return ranges [first, end) of the frames in windows (N, 2), in seconds.

    Kaldi's ``subsegment_data_dir.sh`` and ``fix_subsegment_feats.pl``. A window that
    starts behind the last frame has an empty range, if it is known how many there are.
    """
    first = (windows[:, 0] / frame_shift + 0.5).astype(np.int64)
    end = (windows[:, 1] / frame_shift - 0.5).astype(np.int64) + 1
    if num_frames is not None:
        end = np.minimum(end, num_frames)
    return np.column_stack([np.minimum(first, end), end])
