"""Local diarization error: that of chunks by themselves.

Each chunk has its best permutation of speakers, so that the errors are those of the
segmentation network alone. There is no collar, and overlap is scored.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from ssahc.core.types import Float32Array, FloatArray
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.powerset import BoolArray, to_multilabel
from ssahc.learning.segmentation.annotated import AnnotatedAudio, Frames

_FULL_SCALE = np.float32(32768)
# Chunks that are computed together.
_BATCH = 16
# Candidates for the threshold of a multi-label network.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 19))


@dataclass(frozen=True)
class LocalErrors:
    """Speaker time in frames: what is missed, false, confused, and all of it."""

    missed: int = 0
    false: int = 0
    confused: int = 0
    total: int = 0

    @property
    def der(self) -> float:
        """All errors relative to the time of the reference's speakers; nan of none."""
        return self._share(self.missed + self.false + self.confused)

    def rates(self) -> tuple[float, float, float, float]:
        """Return the DER, and its parts: missed, false, confused."""
        missed, false, confused = self.missed, self.false, self.confused
        return (
            self.der,
            self._share(missed),
            self._share(false),
            self._share(confused),
        )

    def _share(self, frames: int) -> float:
        return frames / self.total if self.total else nan

    def __add__(self, other: "LocalErrors") -> "LocalErrors":
        return LocalErrors(
            self.missed + other.missed,
            self.false + other.false,
            self.confused + other.confused,
            self.total + other.total,
        )


@dataclass(frozen=True, eq=False)
class LocalOutput:
    """Log-probabilities (T, C) of a chunk's sets, and who is active (T, N) in truth."""

    log_probabilities: Float32Array
    reference: BoolArray


def run_chunks(
    recordings: Iterable[AnnotatedAudio], segmenter: Segmenter
) -> Iterator[LocalOutput]:
    """Yield the outputs for chunks side by side of what is annotated.

    What is left at the end of a part is not scored, but parts that are shorter than a
    chunk are.
    """
    rate, shift = segmenter.sample_rate, segmenter.frame_shift
    frames = Frames(rate, segmenter.chunk, shift, segmenter.receptive_field)
    # Whole frames: chunks overlap by less than one.
    step = segmenter.chunk // shift * shift
    for recording in recordings:
        for start, end in recording.spans.tolist():
            first, last = round(start * rate), round(end * rate)
            part = recording.samples[first:last].astype(np.float32) / _FULL_SCALE
            if len(part) < segmenter.receptive_field + shift:
                continue
            size = min(segmenter.chunk, len(part))
            times = frames.times(size)
            for begin in range(0, len(part) - size + 1, _BATCH * step):
                stretch = part[begin : begin + (_BATCH - 1) * step + size]
                outputs = segmenter.run(stretch, size, step)
                for number, output in enumerate(outputs):
                    offset = (first + begin + number * step) / rate
                    yield LocalOutput(output, recording.active(times + offset))


def decide(
    log_probabilities: Float32Array, sets: BoolArray, threshold: float | None = None
) -> BoolArray:
    """Return who is active (T, K): the most probable set, or all above a threshold."""
    if threshold is None:
        return to_multilabel(log_probabilities.argmax(axis=-1), sets)
    return np.exp(log_probabilities) @ sets.astype(np.float32) >= threshold


def count_errors(reference: BoolArray, found: BoolArray) -> LocalErrors:
    """Return the errors of a chunk, (T, N) and (T, K), with the best permutation."""
    from scipy.optimize import linear_sum_assignment

    shared = reference.T.astype(np.float64) @ found
    correct = int(shared[linear_sum_assignment(shared, maximize=True)].sum())
    of_reference, of_found = reference.sum(axis=1), found.sum(axis=1)
    return LocalErrors(
        int(np.maximum(of_reference - of_found, 0).sum()),
        int(np.maximum(of_found - of_reference, 0).sum()),
        int(np.minimum(of_reference, of_found).sum()) - correct,
        int(of_reference.sum()),
    )


def local_errors(
    outputs: Iterable[LocalOutput], sets: BoolArray, threshold: float | None = None
) -> LocalErrors:
    """Return the errors of all chunks."""
    total = LocalErrors()
    for output in outputs:
        found = decide(output.log_probabilities, sets, threshold)
        total += count_errors(output.reference, found)
    return total


def best_threshold(
    outputs: Sequence[LocalOutput], sets: BoolArray
) -> tuple[float, LocalErrors]:
    """Return the threshold with the fewest errors, and these; the first of several."""
    ders: FloatArray = np.empty(len(THRESHOLDS))
    errors = []
    for place, threshold in enumerate(THRESHOLDS):
        errors.append(local_errors(outputs, sets, threshold))
        ders[place] = errors[-1].der
    best = int(np.argmin(ders))
    return THRESHOLDS[best], errors[best]
