"""From audio to the local speakers of overlapping chunks, and how many speak when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.types import (
    BriefRepr,
    Float32Array,
    FloatArray,
    IntArray,
)
from ssahc.core.validation import Interval
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.powerset import BoolArray

# Chunks whose filters are computed together, and that the network sees at once.
_BATCH = 16
# Frames that the network needs, to normalise over them.
_FEWEST_FRAMES = 2
_FULL_SCALE = np.float32(32768)
# Probability at which a frame has overlapping speech.
_OVERLAP = 0.5


@dataclass(frozen=True)
class SegmentationOptions(Options, group="Audio"):
    """Options of segmentation.

    Parameters
    ----------
    segmentation_step : float
        Seconds from the start of a chunk to that of the next.
    segmentation_threshold : float
        Probability, averaged over chunks, at which a frame is speech. Less finds more
        distant voices, and more noise. Frames have overlapping speech at 0.5.
    """

    segmentation_step: Annotated[float, Interval(ge=0.1, le=9)] = 2.5
    segmentation_threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation(BriefRepr):
    """Who of the local speakers of each chunk is active in which frames.

    Parameters
    ----------
    first : (B,) array
        Frame of the recording that is the first of each chunk.
    probabilities : (B, T, K) float16 array
        That a local speaker is active.
    active : (B, T, K) bool array
        Those that are: as many as speak in the frame, the most probable ones.
    counts : (F,) array
        How many speakers are active in each frame of the recording, on the average of
        the chunks that have the frame.
    edges : (F + 1,) array
        Seconds at which the frames of the recording start, and the last one ends.
    """

    first: IntArray
    probabilities: NDArray[np.float16]
    active: BoolArray
    counts: IntArray
    edges: FloatArray

    def frames(self) -> IntArray:
        """Return the frames of the recording (B, T) that the chunks have."""
        return self.first[:, None] + np.arange(self.active.shape[1])


def segment(
    samples: Iterable[Float32Array],
    segmenter: Segmenter,
    options: SegmentationOptions = SegmentationOptions(),
) -> Segmentation:
    """Find the local speakers of the chunks of a recording.

    The last chunk ends where the audio does; audio shorter than a chunk is one by
    itself.

    Parameters
    ----------
    samples : iterable of (n,) arrays
        Blocks, at the rate of the model, on the scale of 16-bit audio. Memory does not
        grow with the recording, decisions aside (9 bytes a frame and chunk).
    segmenter : Segmenter
    options : SegmentationOptions

    Raises
    ------
    DataError
        If a sample is NaN or infinite.
    """
    shift = segmenter.frame_shift
    step = options.segmentation_step * segmenter.sample_rate
    # Whole frames, so that those of all chunks are the same; no more than a chunk has.
    most = (segmenter.chunk - segmenter.receptive_field) // shift + 1
    step = min(max(round(step / shift), 1), most) * shift
    first: list[int] = []
    blocks: list[NDArray[np.float16]] = []
    together = _Average(int(segmenter.sets.sum(axis=1).max()))
    active: list[BoolArray] = []
    threshold = options.segmentation_threshold
    lengths: list[int] = []
    checked = _check(samples, lengths)
    for start, stretch, size in _stretches(checked, segmenter, step):
        classes = np.exp(segmenter.run(stretch / _FULL_SCALE, size, step))
        speakers = classes @ segmenter.sets.astype(np.float32)
        at_least = _at_least(classes, segmenter.sets)
        active.append(_most_probable(speakers, _count(at_least, threshold)))
        blocks.append(speakers.astype(np.float16))
        begins = [(start + row * step) // shift for row in range(len(classes))]
        together.add(begins, at_least)
        first += begins
    counts = _count(together.mean(), threshold)
    empty = (0, 0, segmenter.sets.shape[1])
    return Segmentation(
        np.array(first, np.int64),
        np.concatenate(blocks) if blocks else np.zeros(empty, np.float16),
        np.concatenate(active) if active else np.zeros(empty, bool),
        counts,
        _edges(len(counts), sum(lengths), segmenter),
    )


def _check(
    samples: Iterable[Float32Array], lengths: list[int]
) -> Iterator[Float32Array]:
    """Yield the blocks, and add their lengths to a list."""
    for block in samples:
        if not np.isfinite(block).all():
            raise DataError("a sample is NaN or infinite; convert the audio again")
        lengths.append(len(block))
        yield block


def _stretches(
    samples: Iterable[Float32Array], segmenter: Segmenter, step: int
) -> Iterator[tuple[int, Float32Array, int]]:
    """Yield the first sample of some chunks, their samples, and their size."""
    size, shift = segmenter.chunk, segmenter.frame_shift
    # The samples held start with those of the chunk before the next, `start`.
    held, begin, start = np.zeros(0, np.float32), 0, 0
    for block in samples:
        held = np.concatenate([held, block])
        while len(held) >= (end := start - begin + size + (_BATCH - 1) * step):
            yield start, held[start - begin : end], size
            start += _BATCH * step
            held, begin = held[start - step - begin :].copy(), start - step
    total = begin + len(held)
    if total >= start + size:
        yield start, held[start - begin :], size
        start += ((total - start - size) // step + 1) * step
    last = (total - size) // shift * shift
    if total >= size and last > start - step:
        yield last, held[last - begin :], size
    elif 0 < total < size:
        shortest = segmenter.receptive_field + (_FEWEST_FRAMES - 1) * shift
        padded = np.pad(held, (0, max(shortest - total, 0)))
        yield 0, padded, len(padded)


def _edges(num_frames: int, num_samples: int, segmenter: Segmenter) -> FloatArray:
    """Return where frames start and end, half way between their centres.

    The first one starts with the audio, and the last one ends with it.
    """
    if num_frames == 0:
        return np.zeros(1)
    shift = segmenter.frame_shift
    edges = np.arange(num_frames + 1) * float(shift)
    edges += (segmenter.receptive_field - shift) / 2
    edges[0] = 0
    # Less audio than frames may have been padded.
    edges = np.minimum(edges, num_samples)
    edges[-1] = num_samples
    return edges / segmenter.sample_rate


# ---- how many speak ----------------------------------------------------------------


def _at_least(classes: Float32Array, sets: BoolArray) -> Float32Array:
    """Return the probabilities (..., M) that at least 1, ..., M speakers are active."""
    sizes = sets.sum(axis=1)
    reached = sizes[:, None] >= np.arange(1, sizes.max() + 1)
    return classes @ reached.astype(np.float32)


def _count(at_least: Float32Array | FloatArray, threshold: float) -> IntArray:
    """Return how many speakers (...) are active, of probabilities (..., M)."""
    limits = np.full(at_least.shape[-1], _OVERLAP)
    limits[:1] = threshold
    # Overlap is speech, whatever the threshold.
    limits = np.maximum(limits, threshold)
    return (at_least >= limits).sum(axis=-1)


def _most_probable(probabilities: Float32Array, counts: IntArray) -> BoolArray:
    """Return which of the speakers (..., K) are the `counts` (...) most probable."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1)
    return ranks < counts[..., None]


class _Average:
    """The mean over chunks of what they say of the frames of the recording."""

    def __init__(self, size: int) -> None:
        """Start an average of values (F, `size`)."""
        self._sums = np.zeros((0, size))
        self._chunks = np.zeros(0)

    def add(self, first: list[int], values: Float32Array) -> None:
        """Add values (B, T, M) of chunks that start at frames `first` (B,)."""
        length = max(first) + values.shape[1]
        if length > len(self._sums):
            longer = np.zeros((2 * length, values.shape[2]))
            longer[: len(self._sums)] = self._sums
            self._sums = longer
            self._chunks = np.pad(self._chunks, (0, 2 * length - len(self._chunks)))
        for start, own in zip(first, values, strict=True):
            self._sums[start : start + len(own)] += own
            self._chunks[start : start + len(own)] += 1

    def mean(self) -> FloatArray:
        """Return the means (F, M) of the frames that chunks have."""
        known = self._chunks > 0
        return self._sums[known] / self._chunks[known, None]


def find_regions(is_inside: BoolArray, edges: FloatArray) -> FloatArray:
    """Return regions (N, 2), in seconds, of frames (F,) that start at edges (F + 1,).

    Of a `Segmentation`, frames with ``counts >= 1`` are speech, and those with
    ``counts >= 2`` are overlap.
    """
    changes = np.diff(is_inside.astype(np.int8), prepend=0, append=0)
    return edges[np.flatnonzero(changes).reshape(-1, 2)]
