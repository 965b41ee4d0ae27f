"""Searching for pairs of voices in blocks, without a matrix of all pairs.

Variances in a block are taken as equal: the log-likelihood ratio is then an inner
product. All pairs are compared, so that the time grows with the square of the voices.
"""

from collections.abc import Iterator

import numpy as np

from ssahc.core.types import Float32Array, IntArray
from ssahc.linking.voices import Pairs, Rows, Voices

# Voices in a block.
_BLOCK = 2048
# Variances of measurements in a block differ by less than this factor.
_STEP = 1.4
# Of pairs in hand, so many a speaker, only the best are kept.
_HELD = 2


def search_blocks(
    voices: Voices, fresh: IntArray, floor: float, neighbours: int
) -> Pairs:
    """Return pairs whose log ratio is about `floor` or more, the best of each voice."""
    blocks = _Blocks(voices)
    known = np.setdiff1d(np.arange(len(voices)), fresh)
    rows, columns = blocks.cut(fresh), blocks.cut(known)
    found = _Best(len(voices), neighbours)
    for place, row in enumerate(rows):
        for column in (*rows[place:], *columns):
            ratios = blocks.score(row, column)
            if column is row:
                ratios[np.tril_indices(len(row))] = -np.inf
            i, j = np.nonzero(ratios > floor)
            found.add(row[i], column[j], ratios[i, j])
    return found.pairs()


class _Blocks:
    """Voices in blocks of about equal variances."""

    def __init__(self, voices: Voices) -> None:
        self.psi = voices.psi
        self.variances = voices.variances()
        self.positions = voices.positions().astype(np.float32)
        spread = np.log((1 / voices.precisions).mean(axis=1))
        self.classes = np.floor(spread / np.log(_STEP)).astype(np.int64)

    def cut(self, rows: IntArray) -> list[Rows]:
        """Return blocks of rows."""
        return [
            block
            for one in np.unique(self.classes[rows])
            for block in _split(rows[self.classes[rows] == one].astype(np.int32))
        ]

    def score(self, row: Rows, column: Rows) -> Float32Array:
        """Return the log ratios of a block with another one."""
        a, b = (self.variances[rows].mean(axis=0) for rows in (row, column))
        x, y = self.positions[row], self.positions[column]
        rest = a * b - self.psi**2
        square = self.psi**2 / (2 * rest)
        ratios: Float32Array = (x * (self.psi / rest).astype(np.float32)) @ y.T
        ratios -= (x**2 @ (square / a).astype(np.float32))[:, None]
        ratios -= y**2 @ (square / b).astype(np.float32)
        ratios += np.float32(np.log(a * b / rest).sum() / 2)
        return ratios


def _split(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


class _Best:
    """The best pairs of each voice so far."""

    def __init__(self, count: int, neighbours: int) -> None:
        self.neighbours = neighbours
        self.most = _HELD * neighbours * count
        none = np.empty(0, np.int32)
        self.parts: list[tuple[Rows, Rows, Float32Array]] = []
        self.parts.append((none, none, np.empty(0, np.float32)))
        self.held = 0

    def add(self, i: Rows, j: Rows, ratios: Float32Array) -> None:
        """Take pairs, and drop those that are not among the best of a voice."""
        self.parts.append((i, j, ratios))
        self.held += len(i)
        if self.held > self.most:
            self._prune()

    def pairs(self) -> Pairs:
        """Return the pairs (K, 2)."""
        self._prune()
        i, j, _ = self.parts[0]
        return np.column_stack([i, j])

    def _prune(self) -> None:
        i, j, ratios = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        # Each pair is one of both of its voices.
        places = np.arange(len(i), dtype=np.int32)
        ends, pairs = np.concatenate([i, j]), np.tile(places, 2)
        order = np.lexsort([-ratios[pairs], ends])
        ends, pairs = ends[order], pairs[order]
        firsts = np.flatnonzero(np.append(True, ends[1:] != ends[:-1]))
        rank = np.arange(len(ends)) - np.repeat(
            firsts, np.diff(np.append(firsts, len(ends)))
        )
        kept = np.zeros(len(i), bool)
        kept[pairs[rank < self.neighbours]] = True
        self.parts = [(i[kept], j[kept], ratios[kept])]
        self.held = len(self.parts[0][0])
