"""From audio to the local speakers of overlapping chunks, and how many speak when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

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
from ssahc.frontend.segmentation.powerset import BoolArray, to_multilabel

# Chunks whose filters are computed together, and that the network sees at once.
_BATCH = 16
# Frames that the network needs, to normalise over them.
_FEWEST_FRAMES = 2
_FULL_SCALE = np.float32(32768)


@dataclass(frozen=True)
class SegmentationOptions(Options, group="Audio"):
    """Options of segmentation.

    Parameters
    ----------
    segmentation_step : float
        Seconds from the start of a chunk to that of the next.
    """

    segmentation_step: Annotated[float, Interval(ge=0.1, le=10)] = 2.5


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation(BriefRepr):
    """Who of the local speakers of each chunk is active in which frames.

    Parameters
    ----------
    first : (B,) array
        Frame of the recording that is the first of each chunk.
    active : (B, T, K) bool array
    edges : (F + 1,) array
        Seconds at which the frames of the recording start, and the last one ends.
    """

    first: IntArray
    active: BoolArray
    edges: FloatArray

    @property
    def num_frames(self) -> int:
        """Number of frames of the recording."""
        return len(self.edges) - 1

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
        grow with the recording, decisions aside (3 bytes a frame and chunk).
    segmenter : Segmenter
    options : SegmentationOptions

    Raises
    ------
    DataError
        If a sample is NaN or infinite.
    """
    shift = segmenter.frame_shift
    step = options.segmentation_step * segmenter.sample_rate
    # Whole frames, so that those of all chunks are the same.
    step = max(round(step / shift), 1) * shift
    first: list[int] = []
    active: list[BoolArray] = []
    lengths: list[int] = []
    blocks = _check(samples, lengths)
    for start, stretch, size in _stretches(blocks, segmenter, step):
        outputs = segmenter.run(stretch / _FULL_SCALE, size, step)
        classes = outputs.argmax(axis=-1)
        first += [start // shift + row * step // shift for row in range(len(classes))]
        active.append(to_multilabel(classes, segmenter.sets))
    together = np.concatenate(active) if active else np.zeros((0, 0, 0), bool)
    count = first[-1] + together.shape[1] if first else 0
    return Segmentation(
        np.array(first, np.int64), together, _edges(count, sum(lengths), segmenter)
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


# ---- together ----------------------------------------------------------------------


def count_speakers(segmentation: Segmentation) -> IntArray:
    """Return how many speakers are active in each frame (F,) of the recording.

    It is the mean over the chunks that have the frame, rounded.
    """
    frames = segmentation.frames().ravel()
    numbers = segmentation.active.sum(axis=-1, dtype=np.float64).ravel()
    length = segmentation.num_frames
    sums = np.bincount(frames, numbers, minlength=length)
    chunks = np.bincount(frames, minlength=length)
    return np.rint(sums / np.maximum(chunks, 1)).astype(np.int64)


def find_regions(is_inside: BoolArray, edges: FloatArray) -> FloatArray:
    """Return regions (N, 2), in seconds, of frames (F,) that start at edges (F + 1,).

    Of a `Segmentation`, ``find_regions(count_speakers(...) >= 1, ...)`` is speech, and
    2 or more are overlap.
    """
    changes = np.diff(is_inside.astype(np.int8), prepend=0, append=0)
    return edges[np.flatnonzero(changes).reshape(-1, 2)]
