"""Stopping criterion of agglomerative clustering."""

from dataclasses import dataclass

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.types import LARGEST
from ssahc.core.validation import check_fields

# Default for the maximum number of speakers of clusterings without a threshold.
MOST_SPEAKERS = 10


@dataclass(frozen=True)
class Stop:
    """When merging stops.

    Exactly one of `num_speakers` and `threshold` is set.

    Parameters
    ----------
    num_speakers : int, optional
        Known number of speakers; if it exceeds the number of windows, each window is a
        cluster.
    threshold : float, optional
        Merge while the largest average affinity is at least this.
    min_speakers, max_speakers : int, optional
        Bounds on the number that the threshold decides.
    """

    num_speakers: int | None = None
    threshold: float | None = None
    min_speakers: int = 1
    max_speakers: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.num_speakers is None) == (self.threshold is None):
            raise UsageError(
                "give either a number of speakers or a threshold, not "
                + ("both" if self.threshold is not None else "neither")
            )
        if self.num_speakers is not None and self.num_speakers < 1:
            raise UsageError(
                f"the number of speakers must be 1 or more, found {self.num_speakers}"
            )
        if self.threshold is not None and np.isnan(self.threshold):
            raise UsageError("the threshold is NaN")
        if self.threshold is not None and LARGEST < abs(self.threshold) < np.inf:
            raise UsageError(
                f"the threshold must be within {LARGEST:g} or infinite, found "
                f"{self.threshold:g}"
            )
        if self.num_speakers is not None and (
            self.min_speakers != 1 or self.max_speakers is not None
        ):
            raise UsageError(
                "bounds on the number of speakers have no place beside an exact number"
            )
        most = self.min_speakers if self.max_speakers is None else self.max_speakers
        if not 1 <= self.min_speakers <= most:
            raise UsageError(
                "bounds on the number of speakers must satisfy 1 <= min <= max, found "
                f"min {self.min_speakers} and max {self.max_speakers}"
            )

    def allows_merge(self, left: int, best: np.float32) -> bool:
        """Whether another merge is made.

        Parameters
        ----------
        left : int
            Number of clusters.
        best : float
            Largest average affinity of two of them; minus infinity if none may merge.
        """
        fewest = self.num_speakers or self.min_speakers
        if left <= fewest or best == -np.inf:
            return False
        if self.threshold is None or best >= np.float32(self.threshold):
            return True
        return self.max_speakers is not None and left > self.max_speakers
