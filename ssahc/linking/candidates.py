"""Which pairs of speakers may be one person.

Up to a number of speakers these are all pairs. Beyond it they are searched for in
blocks, in which variances are taken as equal: the log-likelihood ratio is then an inner
product, and no matrix of all pairs is ever held.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.linking.voices import Voices, ratios_of

# Numbers of voices, in 32 bits where there are many of them.
_Rows = NDArray[np.signedinteger[Any]]

# Up to so many speakers, all pairs are compared.
MOST_EXACT = 1000
# Voices in a block.
_BLOCK = 2048
# Variances of measurements in a block differ by less than this factor.
_STEP = 1.4
# Nats by which pairs may be below the threshold: clusters that they become part of may
# be above it.
_MARGIN = 5.0
# Pairs that are scored at once.
_AT_ONCE = 4096
# Of pairs in hand, so many a speaker, only the best are kept.
_HELD = 2


def find_candidates(
    voices: Voices,
    fresh: IntArray,
    threshold: float,
    neighbours: int,
    *,
    most_exact: int = MOST_EXACT,
) -> tuple[IntArray, FloatArray]:
    """Return pairs (K, 2) of voices that may be one person, and their log ratios (K,).

    Each pair is there once, with at least one of the voices in rows `fresh`, which are
    sorted. Of more than `most_exact` voices, only pairs that are near the threshold or
    above it are found, and of each voice those with its best `neighbours`.
    """
    if len(voices) <= most_exact:
        pairs = _list_pairs(len(voices), fresh)
    else:
        pairs = _search(voices, fresh, threshold - _MARGIN, neighbours)
    return pairs, score_pairs(voices, pairs)


def score_pairs(voices: Voices, pairs: IntArray) -> FloatArray:
    """Return the log-likelihood ratios (K,) of pairs (K, 2)."""
    variances, positions = voices.variances(), voices.positions()
    ratios = np.empty(len(pairs))
    for start in range(0, len(pairs), _AT_ONCE):
        i, j = pairs[start : start + _AT_ONCE].T
        ratios[start : start + _AT_ONCE] = ratios_of(
            voices.psi, variances[i], positions[i], variances[j], positions[j]
        )
    return ratios


def _list_pairs(count: int, fresh: IntArray) -> IntArray:
    """Return all pairs with a fresh voice."""
    is_fresh = np.zeros(count, bool)
    is_fresh[fresh] = True
    pairs = np.column_stack(np.triu_indices(count, 1))
    return pairs[is_fresh[pairs].any(axis=1)]


def _search(voices: Voices, fresh: IntArray, floor: float, neighbours: int) -> IntArray:
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

    def cut(self, rows: IntArray) -> list[_Rows]:
        """Return blocks of rows."""
        return [
            block
            for one in np.unique(self.classes[rows])
            for block in _split(rows[self.classes[rows] == one].astype(np.int32))
        ]

    def score(self, row: _Rows, column: _Rows) -> Float32Array:
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


def _split(rows: _Rows) -> Iterator[_Rows]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


class _Best:
    """The best pairs of each voice so far."""

    def __init__(self, count: int, neighbours: int) -> None:
        self.neighbours = neighbours
        self.most = _HELD * neighbours * count
        none = np.empty(0, np.int32)
        self.parts: list[tuple[_Rows, _Rows, Float32Array]] = []
        self.parts.append((none, none, np.empty(0, np.float32)))
        self.held = 0

    def add(self, i: _Rows, j: _Rows, ratios: Float32Array) -> None:
        """Take pairs, and drop those that are not among the best of a voice."""
        self.parts.append((i, j, ratios))
        self.held += len(i)
        if self.held > self.most:
            self._prune()

    def pairs(self) -> IntArray:
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
