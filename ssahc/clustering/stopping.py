"""Stopping criterion of agglomerative clustering."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.types import LARGEST
from ssahc.core.validation import Interval, check_fields

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

    num_speakers: Annotated[int | None, Interval(ge=1)] = None
    threshold: float | None = None
    min_speakers: Annotated[int, Interval(ge=1)] = 1
    max_speakers: Annotated[int | None, Interval(ge=1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.num_speakers is None) == (self.threshold is None):
            raise UsageError(
                "give either a number of speakers or a threshold, not "
                + ("both" if self.threshold is not None else "neither")
            )
        if self.threshold is not None and LARGEST < abs(self.threshold) < np.inf:
            raise UsageError(
                f"--threshold must be infinite or between {-LARGEST:g} and "
                f"{LARGEST:g}, found {self.threshold:g}"
            )
        if self.num_speakers is not None and (
            self.min_speakers != 1 or self.max_speakers is not None
        ):
            raise UsageError(
                "bounds on the number of speakers conflict with an exact number"
            )
        if self.max_speakers is not None and self.max_speakers < self.min_speakers:
            raise UsageError(
                f"--max-speakers must be --min-speakers, {self.min_speakers}, or more, "
                f"found {self.max_speakers}"
            )

    def allows_merge(self, left: int, best: np.float32) -> bool:
        """Whether another merge is made with `left` clusters.

        `best` is the largest average affinity of two of them; minus infinity if none
        may merge.
        """
        fewest = self.num_speakers or self.min_speakers
        if left <= fewest or best == -np.inf:
            return False
        if self.threshold is None or best >= np.float32(self.threshold):
            return True
        return self.max_speakers is not None and left > self.max_speakers
