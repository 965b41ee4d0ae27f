"""The local speakers of chunks, and the speech to embed them by."""

from dataclasses import dataclass

import numpy as np

from ssahc.core.types import BriefRepr, FloatArray, IntArray
from ssahc.frontend.segmentation.chunks import Segmentation, find_regions
from ssahc.frontend.segmentation.powerset import BoolArray

# Seconds of speech without overlap that are enough for an embedding by themselves.
_ENOUGH = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class LocalSpeakers(BriefRepr):
    """Who is active in a chunk, for all chunks of a recording.

    Parameters
    ----------
    chunks, indices : (N,) arrays
        Chunk of each local speaker, and which of its speakers that is. Local speakers
        of one chunk are different people.
    spans : tuple of N (M, 2) arrays
        The speech to embed, in seconds: what does not overlap with other speakers of
        the chunk where that is at least 0.5 s, else all.
    seconds : (N,) array
        Length of the speech that does not overlap.
    """

    chunks: IntArray
    indices: IntArray
    spans: tuple[FloatArray, ...]
    seconds: FloatArray

    def __len__(self) -> int:
        return len(self.spans)

    def cannot_link(self) -> BoolArray:
        """Return which pairs (N, N) are different people for certain."""
        together = self.chunks[:, None] == self.chunks
        np.fill_diagonal(together, False)
        return together


def list_speakers(
    segmentation: Segmentation, speech: FloatArray | None = None
) -> LocalSpeakers:
    """Return the local speakers that are active in at least one frame.

    Regions of speech (N, 2), in seconds and in order, leave out what is beyond them.
    """
    active = segmentation.active
    if speech is not None:
        active = active & _is_within(segmentation, speech)[..., None]
    chunks, indices = np.nonzero(active.any(axis=1))
    alone = active & (active.sum(axis=-1, keepdims=True) == 1)
    spans, seconds = [], []
    for chunk, index in zip(chunks.tolist(), indices.tolist(), strict=True):
        first = segmentation.first[chunk]
        edges = segmentation.edges[first : first + active.shape[1] + 1]
        regions = find_regions(alone[chunk, :, index], edges)
        seconds.append(float((regions[:, 1] - regions[:, 0]).sum()))
        if seconds[-1] < _ENOUGH:
            regions = find_regions(active[chunk, :, index], edges)
        spans.append(regions)
    return LocalSpeakers(chunks, indices, tuple(spans), np.array(seconds))


def _is_within(segmentation: Segmentation, speech: FloatArray) -> BoolArray:
    """Return which frames (B, T) of the chunks have their centre in a region."""
    edges = segmentation.edges
    centres = (edges[1:] + edges[:-1]) / 2
    row = np.searchsorted(speech[:, 0], centres, side="right") - 1
    is_inside = (row >= 0) & (centres < speech[np.maximum(row, 0), 1])
    return is_inside[segmentation.frames()]
