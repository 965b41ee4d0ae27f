"""Recordings of which it is known who speaks when, and the frames of their chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import BriefRepr, FloatArray, IntArray, Turn
from ssahc.frontend.segmentation.powerset import BoolArray


@dataclass(frozen=True, eq=False, repr=False)
class AnnotatedAudio(BriefRepr):
    """A recording and its speaker turns.

    Parameters
    ----------
    id : str
    samples : (S,) int16 array
        At the rate of the network: 115 MB an hour at 16 kHz.
    turns : sequence of Turn
    spans : (N, 2) array
        What is annotated, in seconds: beyond these it is not known who speaks.
    """

    id: str
    samples: NDArray[np.int16]
    turns: Sequence[Turn]
    spans: FloatArray

    @cached_property
    def _turns(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Starts, ends and speakers of the turns."""
        speakers = [turn.speaker for turn in self.turns]
        _, numbers = np.unique(speakers, return_inverse=True)
        starts = np.array([turn.start for turn in self.turns], np.float64)
        ends = np.array([turn.end for turn in self.turns], np.float64)
        return starts, ends, numbers

    def active(self, times: FloatArray) -> BoolArray:
        """Return who speaks (T, N) at times (T,), of those who do at one of them."""
        starts, ends, numbers = self._turns
        near = np.flatnonzero((starts <= times[-1]) & (ends > times[0]))
        present, columns = np.unique(numbers[near], return_inverse=True)
        active = np.zeros((len(times), len(present)), bool)
        firsts = np.searchsorted(times, starts[near])
        lasts = np.searchsorted(times, ends[near])
        for first, last, column in zip(firsts, lasts, columns, strict=True):
            active[first:last, column] = True
        return active[:, active.any(axis=0)]


@dataclass(frozen=True)
class Frames:
    """Where the frames of a chunk of `chunk` samples are; see `Segmenter`."""

    sample_rate: int
    chunk: int
    frame_shift: int
    receptive_field: int

    def times(self, num_samples: int | None = None) -> FloatArray:
        """Return the centres of the frames, in seconds from the start of the chunk."""
        size = self.chunk if num_samples is None else num_samples
        count = (size - self.receptive_field) // self.frame_shift + 1
        centres = np.arange(count) * self.frame_shift + self.receptive_field / 2
        return centres / self.sample_rate


def keep_most_active(active: BoolArray, count: int) -> BoolArray:
    """Return the speakers (T, `count`) who speak most, of some (T, N); others are off.

    With fewer than that, the last ones are silent.
    """
    order = np.argsort(-active.sum(axis=0), kind="stable")[:count]
    kept = np.zeros((len(active), count), bool)
    kept[:, : len(order)] = active[:, order]
    return kept
