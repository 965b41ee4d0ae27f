"""A lower bound of run time on this machine: bytes to read, operations to do.

Only what no implementation can leave out is counted, at the rates of one long read and
of one large float32 matrix product. No program keeps up these rates: the ratio to the
limit is an upper bound of what can still be gained.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssahc.io.xvectors import open_xvector_dir
from ssahc.learning.options import LearningOptions

# Of the product and of the file that are timed.
SIDE, BYTES = 2048, 1 << 26
# Dimensions of the factors of an affinity.
_FACTORS = 10
# First clusters of resegmentation, iterations there, and where speakers are merged one
# by one.
_CLUSTERS, _ITERATIONS, _ONE_BY_ONE = 40, 3, 15


@dataclass(frozen=True)
class Machine:
    """Rates a second of CPU time.

    Attributes
    ----------
    bytes_read : float
        Of files that the system has in memory.
    flops : float
        Of a product of matrices in float32, a multiplication and an addition being two.
    """

    bytes_read: float
    flops: float

    @classmethod
    def measured(cls, folder: Path) -> "Machine":
        """Measure this machine; a file in this folder is written and read."""
        file = folder / "zeros"
        file.write_bytes(bytes(BYTES))
        left, right = np.ones((2, SIDE, SIDE), np.float32)
        return cls(
            BYTES / _fastest(file.read_bytes),
            2 * SIDE**3 / _fastest(lambda: left @ right),
        )

    def limit(self, read: float, flops: float) -> float:
        """Return the CPU seconds that so many bytes and flops take at least."""
        return read / self.bytes_read + flops / self.flops


def _fastest(work: Callable[[], object]) -> float:
    """Return the least CPU time of several runs."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return max(min(times), 1e-6)


def count_bytes(folder: Path) -> int:
    """Return how much is to be read of an x-vector folder."""
    return sum(file.stat().st_size for file in open_xvector_dir(folder).files)


def count_flops(windows: Iterable[int], dim: int, *, learns: bool) -> float:
    """Return what is to be computed for recordings of so many windows each.

    Parameters
    ----------
    windows : iterable of int
    dim : int
        D, that of the x-vectors.
    learns : bool
        Whether the system is ssahc+plda with its defaults, or plda.
    """
    total = 0.0
    for count in windows:
        few = min(count, dim)
        mapped = 2 * count * dim**2
        # Products of vectors, then the eigenvectors of these.
        directions = 2 * count * dim * few + 10 / 3 * few**3
        # Each pair of windows once.
        linked = _FACTORS * count**2
        total += mapped + directions + linked
        if learns:
            # A map forth and its gradient back, each step; the clusters before and
            # after it.
            steps = LearningOptions().max_steps
            total += mapped + directions + (2 * steps + 1) * mapped + 2 * linked
            # Windows to speakers and back.
            speakers = _CLUSTERS * _ITERATIONS + _ONE_BY_ONE * (_ONE_BY_ONE + 1) // 2
            total += 4 * count * dim * speakers
    return total
