"""Windows of a stream: which can be taken (`check_windows`), and which are kept.

A bounded number of windows is kept (`KeptWindows`): the latest ones, and of earlier
ones some of each speaker.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ssahc.core.errors import DataError
from ssahc.core.model import input_dims
from ssahc.core.types import (
    BriefRepr,
    FloatArray,
    IntArray,
    Model,
    Recording,
    as_matrix,
)

# Latest windows that are kept, and earlier ones.
_LATEST, _EARLIER = 300, 200
# A number that is not known yet.
UNKNOWN = -1
# So many latest windows tell when the next one is to be expected.
_RECENT = 10
# Seconds; extractors take one or two.
LONGEST_WINDOW = 60.0


@dataclass(frozen=True, eq=False, repr=False)
class KeptWindows(BriefRepr):
    """Windows of a stream that are clustered again, in order of time.

    `numbers` (N,) count all windows of the stream from 0; segments (N, 2) are in
    seconds, x-vectors (N, D) as extracted. `names` (N,) are the numbers of the speakers
    first announced, and `clusters` (N,) those of the last clustering; both are UNKNOWN
    where there is none yet.
    """

    numbers: IntArray
    segments: FloatArray
    xvectors: FloatArray
    names: IntArray
    clusters: IntArray

    @classmethod
    def none(cls, dim: int) -> "KeptWindows":
        """Return no windows of x-vectors of this dimension."""
        numbers = np.zeros(0, np.int64)
        return cls(numbers, np.zeros((0, 2)), np.zeros((0, dim)), numbers, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def followed_by(
        self, number: int, segment: FloatArray, xvector: FloatArray
    ) -> "KeptWindows":
        """Return the windows with one more, which has no name yet."""
        return KeptWindows(
            np.append(self.numbers, number),
            np.concatenate([self.segments, segment[None]]),
            np.concatenate([self.xvectors, xvector[None]]),
            np.append(self.names, UNKNOWN),
            np.append(self.clusters, UNKNOWN),
        )

    def thinned(self, latest: int = _LATEST, earlier: int = _EARLIER) -> "KeptWindows":
        """Return at most so many windows before the latest ones.

        Of the speaker with the most of them every second one is left out, until they
        are few enough; those that have no name yet all stay.
        """
        kept = np.ones(len(self), bool)
        old = np.flatnonzero(self.names[:-latest] != UNKNOWN)
        while kept[old].sum() > earlier:
            rest = old[kept[old]]
            largest = np.bincount(self.names[rest]).argmax()
            kept[rest[self.names[rest] == largest][::2]] = False
        if kept.all():
            return self
        return KeptWindows(
            self.numbers[kept],
            self.segments[kept],
            self.xvectors[kept],
            self.names[kept],
            self.clusters[kept],
        )

    def spacing(self) -> float:
        """Return after how many seconds the next window is to be expected."""
        recent = self.segments[-_RECENT:]
        if len(recent) == 1:
            return float(recent[0, 1] - recent[0, 0])
        return float(np.median(np.diff(recent[:, 1])))


def check_windows(
    xvectors: ArrayLike,
    segments: ArrayLike,
    number: int,
    kept: KeptWindows | None,
    model: Model,
) -> tuple[FloatArray, FloatArray]:
    """Return x-vectors, rounded to float32, and times of windows that follow `kept`.

    `number` is that of the first one in the stream. Raises a DataError if they cannot
    be used.
    """
    matrix = as_matrix(xvectors, "x-vectors")
    names = [f"window {row}" for row in range(number, number + len(matrix))]
    checked = Recording.from_arrays("stream", matrix, segments, names)
    dim, before = matrix.shape[1], np.zeros((0, 2))
    if kept is not None:
        before = kept.segments[-1:]
        _check_dim(dim, "those before", kept.xvectors.shape[1])
    for part, expected in input_dims(model, dim).items():
        _check_dim(dim, f"the model's {part}", expected)
    _check_times(np.concatenate([before, checked.segments]))
    return matrix.astype(np.float32).astype(np.float64), checked.segments


def _check_dim(found: int, what: str, expected: int) -> None:
    if found != expected:
        raise DataError(
            f"x-vectors have {found} dimensions, {what} {expected}; use one "
            "extractor, and the model of its x-vectors"
        )


def _check_times(segments: FloatArray) -> None:
    late = np.flatnonzero((np.diff(segments, axis=0) < 0).any(axis=1))
    if len(late):
        first, second = segments[late[0]], segments[late[0] + 1]
        raise DataError(
            f"windows must come in order of time: the one of {_span(second)} s comes "
            f"after that of {_span(first)} s; sort them"
        )
    # If one of these were taken, all that follow would seem to come too late.
    for segment in segments[np.ptp(segments, axis=1) > LONGEST_WINDOW]:
        raise DataError(
            f"a window has {LONGEST_WINDOW:g} seconds at most, found one of "
            f"{_span(segment)} s; are these samples or milliseconds?"
        )


def _span(segment: FloatArray) -> str:
    start, end = segment
    return f"{start:.15g} to {end:.15g}"
