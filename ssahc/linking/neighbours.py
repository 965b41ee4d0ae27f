"""Searching for pairs of voices by an index of neighbours, which faiss builds.

The log-likelihood ratio of two voices is nearly an inner product of their directions,
each dimension in proportion to how well its voice is known there: positions all have
the length that the model expects, so that the other terms hardly vary. The index is a
graph of neighbours (HNSW, Malkov and Yashunin 2018); it finds most of the nearest
voices, not all of them, in a time that grows little faster than their number.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from ssahc.core.types import Float32Array, IntArray
from ssahc.linking.voices import Pairs, Rows, Voices

PACKAGE = "faiss"
INSTALL = "pip install 'ssahc[neighbours]'"
# Edges of a voice in the graph, and how many are looked at to find them; more find more
# and take longer.
_EDGES, _CONSTRUCTION = 16, 40
# At least so many voices are looked at in a search, and so many more than are wanted.
_SEARCH, _MORE = 64, 14
# Voices that are added or looked up at once.
_AT_ONCE = 16384


def has_index() -> bool:
    """Whether the package that builds the index is installed."""
    return find_spec(PACKAGE) is not None


def search_index(voices: Voices, fresh: IntArray, neighbours: int) -> Iterator[Pairs]:
    """Yield pairs (K, 2) of voices in rows `fresh` with those that are most like them.

    Each pair is there once.
    """
    count = len(voices)
    nearest = _find_nearest(_directions(voices), fresh, min(neighbours + 1, count))
    place_of = np.full(count, -1, np.int32)
    place_of[fresh] = np.arange(len(fresh))
    for start in range(0, len(fresh), _AT_ONCE):
        rows = fresh[start : start + _AT_ONCE].astype(np.int32)
        others = nearest[start : start + _AT_ONCE]
        i = np.repeat(rows, others.shape[1])
        j = others.ravel()
        found = (j >= 0) & (j != i)
        i, j = i[found], j[found]
        # Of a pair that both have found, the one with the lower number tells.
        places = place_of[j]
        told = (j < i) & (places >= 0)
        told[told] = (nearest[places[told]] == i[told, None]).any(axis=1)
        yield np.column_stack([i, j])[~told]


def _directions(voices: Voices) -> Float32Array:
    """Return unit vectors (M, d), whose inner products rank the log ratios."""
    directions = np.empty(voices.sums.shape, np.float32)
    for start in range(0, len(voices), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(voices)))
        part = voices[rows]
        # Of unit variance, times the share of people in the variance.
        weighted = part.positions() * np.sqrt(voices.psi) / part.variances()
        lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
        directions[rows] = weighted / np.where(lengths > 0, lengths, 1)
    return directions


def _find_nearest(directions: Float32Array, fresh: IntArray, wanted: int) -> Rows:
    """Return the voices (F, wanted) near those in rows `fresh`; -1 stands for none."""
    import faiss
    from threadpoolctl import threadpool_limits

    index: Any = faiss.IndexHNSWFlat(directions.shape[1], _EDGES)
    index.hnsw.efConstruction = _CONSTRUCTION
    index.hnsw.efSearch = max(_SEARCH, wanted + _MORE)
    # Threads would build another graph in every run.
    with threadpool_limits(1, "openmp"):
        for start in range(0, len(directions), _AT_ONCE):
            index.add(directions[start : start + _AT_ONCE])
    nearest = np.empty((len(fresh), wanted), np.int32)
    for start in range(0, len(fresh), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        nearest[rows] = index.search(directions[fresh[rows]], wanted)[1]
    return nearest
