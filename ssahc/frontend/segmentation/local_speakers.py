"""How long the local speakers of chunks speak."""

import numpy as np

from ssahc.core.types import FloatArray
from ssahc.frontend.segmentation.chunks import Segmentation
from ssahc.frontend.segmentation.powerset import BoolArray


def seconds_alone(
    segmentation: Segmentation, speech: FloatArray | None = None
) -> FloatArray:
    """Return for how long (B, K) local speakers speak while the others are silent.

    Regions of speech (N, 2), in seconds and in order, leave out what is beyond them.
    """
    active = segmentation.active
    if speech is not None:
        active = active & _is_within(segmentation, speech)[..., None]
    alone = active & (active.sum(axis=-1, keepdims=True) == 1)
    lengths = np.diff(segmentation.edges)[segmentation.frames()]
    return np.einsum("btk,bt->bk", alone, lengths)


def _is_within(segmentation: Segmentation, speech: FloatArray) -> BoolArray:
    """Return which frames (B, T) of the chunks have their centre in a region."""
    edges = segmentation.edges
    centres = (edges[1:] + edges[:-1]) / 2
    row = np.searchsorted(speech[:, 0], centres, side="right") - 1
    is_inside = (row >= 0) & (centres < speech[np.maximum(row, 0), 1])
    return is_inside[segmentation.frames()]
