"""Windows of different speakers: those of different local speakers of a chunk.

The speakers of a chunk are heard side by side, by a network that was trained to tell
who speaks when (Plaquet & Bredin, Interspeech 2023); it knows things that embeddings of
single windows do not tell.
"""

from collections.abc import Iterator

import numpy as np

from ssahc.core.constraints import CannotLink
from ssahc.core.types import FloatArray, IntArray
from ssahc.frontend.segmentation.chunks import Segmentation

# A window is a local speaker's if the probability that only this one is active is at
# least this, on the average over the window,
_PROBABILITY = 0.5
# and if the speaker is alone for so many seconds of the chunk.
_SECONDS = 1.0
# Chunks that must agree. Of such pairs 85 to 98 % are different on semi-real recordings
# (docs/results/audio.md).
_CHUNKS = 2


def find_different_windows(
    segmentation: Segmentation, segments: FloatArray
) -> CannotLink:
    """Return the windows (N, 2), in seconds, that are of different speakers.

    They are of different local speakers in two chunks or more, and of the same in none.
    """
    count = len(segments)
    found: list[IntArray] = []
    for windows, speakers in _clear_windows(segmentation, segments):
        low, high = np.triu_indices(len(windows), 1)
        is_same = speakers[low] == speakers[high]
        pairs = np.sort(np.column_stack([windows[low], windows[high]]), axis=1)
        found.append(np.column_stack([pairs, is_same]))
    if not found:
        return CannotLink(np.zeros((0, 2), np.int64))
    rows = np.concatenate(found)
    keys = rows[:, 0] * count + rows[:, 1]
    often, chunks = np.unique(keys[rows[:, 2] == 0], return_counts=True)
    different = np.setdiff1d(often[chunks >= _CHUNKS], keys[rows[:, 2] == 1])
    return CannotLink(np.column_stack(np.divmod(different, count)))


def _clear_windows(
    segmentation: Segmentation, segments: FloatArray
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the windows of each chunk that are one local speaker's, and which."""
    edges = segmentation.edges
    centres = (edges[1:] + edges[:-1]) / 2
    begins, ends = np.searchsorted(centres, segments).T
    length = segmentation.active.shape[1]
    for first, own, active in zip(
        segmentation.first.tolist(),
        segmentation.probabilities,
        segmentation.active,
        strict=True,
    ):
        inside = (begins >= first) & (ends <= first + length) & (ends > begins)
        windows = np.flatnonzero(inside)
        probabilities = _alone(own.astype(np.float64))
        sums = np.vstack([0 * probabilities[:1], probabilities.cumsum(axis=0)])
        last, start = ends[windows] - first, begins[windows] - first
        means = (sums[last] - sums[start]) / (last - start)[:, None]
        alone = active & (active.sum(axis=1, keepdims=True) == 1)
        frames = np.diff(edges[first : first + length + 1])
        seconds = frames @ alone
        speakers = means.argmax(axis=1)
        is_clear = means.max(axis=1, initial=0) >= _PROBABILITY
        is_clear &= seconds[speakers] >= _SECONDS
        yield windows[is_clear], speakers[is_clear]


def _alone(probabilities: FloatArray) -> FloatArray:
    """Return the probabilities (T, K) that only that speaker is active."""
    others = 1 - probabilities
    alone = probabilities.copy()
    for speaker in range(probabilities.shape[1]):
        alone[:, speaker] *= np.delete(others, speaker, axis=1).prod(axis=1)
    return alone
