"""Changes from one speaker to the next, at the time that chunks of the audio hear.

Windows are labelled every 0.75 s or so, so the turns made of them end up to half of
that too early or too late. A segmentation network hears a change to 20 ms, whoever the
speakers are: in the chunks that hold both turns it is where one local speaker before
and another one after explain the audio best (Bredin and Laurent, End-to-end speaker
segmentation for overlap-aware resegmentation, Interspeech 2021, do so frame by frame).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ssahc.core.types import FloatArray, Turn
from ssahc.frontend.segmentation.chunks import Segmentation

# Seconds that a change is moved by at most, and of the turns around it that count.
_REACH, _AROUND = 0.5, 2.5
# Seconds that each of both turns keeps.
_KEPT = 0.1
# Seconds by which two speakers must explain the audio better than one.
_GAIN = 0.2
# Turns that are further apart, in seconds, have a pause between them.
_PAUSE = 0.02


def move_changes(turns: Sequence[Turn], segmentation: Segmentation) -> list[Turn]:
    """Return turns whose changes of speaker are where the chunks hear them.

    Parameters
    ----------
    turns : sequence of Turn
        In order of time, one speaker at a time.
    segmentation : Segmentation
        Of the same recording.
    """
    moved = list(turns)
    for after in range(1, len(moved)):
        left, right = moved[after - 1], moved[after]
        if left.speaker == right.speaker or right.start - left.end > _PAUSE:
            continue
        time = _find_change(left, right, segmentation)
        if time is not None:
            moved[after - 1] = replace(left, end=time)
            moved[after] = replace(right, start=time)
    return moved


def _find_change(left: Turn, right: Turn, segmentation: Segmentation) -> float | None:
    """Return the time at which chunks hear a change, if any does."""
    edges = segmentation.edges
    time = (left.end + right.start) / 2
    earliest = max(time - _REACH, left.start + _KEPT)
    latest = min(time + _REACH, right.end - _KEPT)
    # Frames in which the change may be, and those that speak for it.
    first, last = np.searchsorted(edges, [earliest, latest])
    around = max(left.start, time - _AROUND), min(right.end, time + _AROUND)
    begin, end = np.minimum(np.searchsorted(edges, around), len(edges) - 1)
    first, last = max(first, begin), min(last, end)
    num_frames = segmentation.probabilities.shape[1]
    holds = (segmentation.first <= begin) & (segmentation.first + num_frames >= end)
    if first >= last or not holds.any():
        return None
    gains = [
        _gain_of_change(chunk[begin - start : end - start], first - begin, last - begin)
        for start, chunk in zip(
            segmentation.first[holds].tolist(),
            segmentation.probabilities[holds],
            strict=True,
        )
    ]
    gain = np.mean(gains, axis=0)
    best = int(np.argmax(gain))
    frame = (edges[end] - edges[begin]) / (end - begin)
    return float(edges[first + best]) if gain[best] * frame >= _GAIN else None


def _gain_of_change(probabilities: FloatArray, first: int, last: int) -> FloatArray:
    """Return by how many frames two speakers explain some (T, K) better than one.

    One speaks before and the other from frame `first`, ..., `last` - 1 on.
    """
    sums = np.zeros((len(probabilities) + 1, probabilities.shape[1]))
    np.cumsum(probabilities, axis=0, dtype=np.float64, out=sums[1:])
    total, before = sums[-1], sums[first:last]
    pairs = before[:, :, None] + (total - before)[:, None, :]
    each = np.arange(len(total))
    pairs[:, each, each] = 0
    return pairs.max(axis=(1, 2)) - total.max()
