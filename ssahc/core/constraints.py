"""What is known for certain about the speakers of windows."""

from dataclasses import dataclass

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.types import BriefRepr, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class CannotLink(BriefRepr):
    """Pairs of windows of one recording that are of different speakers.

    Parameters
    ----------
    pairs : (M, 2) int array
        Rows of windows in the recording, from 0; each pair once, the lower row first.

    Raises
    ------
    DataError
        If a window is paired with itself, a row is negative, or the shape another.
    """

    pairs: IntArray

    def __post_init__(self) -> None:
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2:
            raise DataError(f"expected pairs (M, 2), found shape {self.pairs.shape}")
        low, high = self.pairs.T
        if not ((low >= 0) & (low < high)).all():
            raise DataError("pairs of windows must be two rows, the lower one first")

    def __len__(self) -> int:
        return len(self.pairs)

    def reordered(self, order: IntArray) -> "CannotLink":
        """Return the pairs of the windows in another order (N,), such as that of time.

        Raises a DataError for a pair of other windows.
        """
        self.check(len(order))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return CannotLink(np.sort(place[self.pairs], axis=1))

    def check(self, count: int) -> None:
        """Raise a DataError for a pair of windows beyond the first N."""
        if self.pairs.max(initial=-1) >= count:
            raise DataError(
                f"a pair of windows has row {self.pairs.max()}, of {count} windows; "
                "take both from one recording"
            )
