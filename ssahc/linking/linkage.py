"""Joining the most likely pair first, until none is likely enough.

After each merge the cluster is compared again with those that either of its parts was
compared with: a voice that was heard in more recordings is known better.
"""

from heapq import heappop, heappush
from itertools import count
from math import inf

import numpy as np

from ssahc.core.types import FloatArray, IntArray
from ssahc.linking.voices import Pairs, Rows, Voices, ratios_of


def link_voices(
    voices: Voices,
    recordings: list[set[int]],
    pairs: Pairs,
    ratios: FloatArray,
    threshold: float,
    floor: float = -inf,
) -> IntArray:
    """Cluster voices, never two that were heard in one recording.

    Parameters
    ----------
    voices : Voices
        Of M speakers; they are changed, since a copy may take much memory.
    recordings : list of M set of int
        Where each of them was heard; they are changed, too.
    pairs : (K, 2) array
        Pairs that may be one person.
    ratios : (K,) array
        Their log-likelihood ratios.
    threshold : float
        Pairs are joined as long as the ratio is above it.
    floor : float
        Clusters are not compared again once their ratio is below it.

    Returns
    -------
    (M,) array
        Labels, 0 and up in order of first appearance.
    """
    clusters = _Clusters(voices, recordings, pairs, floor)
    waiting = _Waiting(pairs, ratios, threshold)
    while (pair := waiting.pop(clusters.stamps)) is not None:
        first, second = pair
        if not clusters.may_join(first, second):
            continue
        others, found = clusters.join(first, second)
        waiting.push(first, others, found, clusters.stamps)
    return clusters.labels()


class _Waiting:
    """Pairs above the threshold, the best of which come first.

    What has changed since a pair was compared is told by the stamps of clusters: how
    often each has grown, or -1 if it is part of another.
    """

    def __init__(self, pairs: Pairs, ratios: FloatArray, threshold: float) -> None:
        self.threshold = threshold
        # The first pairs are sorted once; a heap of all of them would be larger.
        above = np.flatnonzero(ratios > threshold)
        self.order = above[np.argsort(-ratios[above], kind="stable")]
        self.pairs, self.ratios = pairs, ratios
        self.next = 0
        self.heap: list[tuple[float, int, int, int, int, int]] = []
        self.number = count()

    def pop(self, stamps: IntArray) -> tuple[int, int] | None:
        """Return the best pair of clusters that have not changed; None at the end."""
        while self.next < len(self.order) or self.heap:
            place = self.order[self.next] if self.next < len(self.order) else None
            first = -np.inf if place is None else self.ratios[place]
            if self.heap and -self.heap[0][0] > first:
                _, _, i, j, *seen = heappop(self.heap)
            else:
                self.next += 1
                i, j = self.pairs[place].tolist()
                seen = [0, 0]
            if stamps[i] == seen[0] and stamps[j] == seen[1]:
                return i, j
        return None

    def push(
        self, first: int, others: IntArray, ratios: FloatArray, stamps: IntArray
    ) -> None:
        """Add the pairs of a cluster that are above the threshold."""
        above = ratios > self.threshold
        own = int(stamps[first])
        for other, ratio in zip(
            others[above].tolist(), ratios[above].tolist(), strict=True
        ):
            entry = (-ratio, next(self.number), first, other, own, int(stamps[other]))
            heappush(self.heap, entry)


class _Clusters:
    """Clusters of voices; each is in the place of one of its members."""

    def __init__(
        self, voices: Voices, recordings: list[set[int]], pairs: Pairs, floor: float
    ) -> None:
        self.psi, self.floor = voices.psi, floor
        self.precisions, self.sums = voices.precisions, voices.sums
        self.variances, self.positions = voices.variances(), voices.positions()
        self.recordings = recordings
        self.stamps = np.zeros(len(voices), np.int64)
        self.parents = np.arange(len(voices))
        self.neighbours = _list_neighbours(len(voices), pairs)

    def may_join(self, first: int, second: int) -> bool:
        """Whether two clusters have no recording in common."""
        return self.recordings[first].isdisjoint(self.recordings[second])

    def join(self, first: int, second: int) -> tuple[IntArray, FloatArray]:
        """Join two clusters in the place of the first.

        Returns the clusters that it may be joined with, and their log ratios.
        """
        self.parents[second] = first
        self.stamps[first] += 1
        self.stamps[second] = -1
        for sums in (self.precisions, self.sums):
            sums[first] += sums[second]
        merged = Voices(self.psi, self.precisions[[first]], self.sums[[first]])
        self.variances[first] = merged.variances()[0]
        self.positions[first] = merged.positions()[0]
        self.recordings[first] |= self.recordings[second]
        self.recordings[second] = set()
        return self._compare(first, second)

    def _compare(self, first: int, second: int) -> tuple[IntArray, FloatArray]:
        both = np.concatenate([self.neighbours[first], self.neighbours[second]])
        others = np.unique(self._find(both))
        others = others[others != first]
        allowed = [self.may_join(first, other) for other in others.tolist()]
        others = others[np.array(allowed, bool)]
        ratios = ratios_of(
            self.psi,
            self.variances[first],
            self.positions[first],
            self.variances[others],
            self.positions[others],
        )
        near = ratios > self.floor
        others, ratios = others[near], ratios[near]
        self.neighbours[first], self.neighbours[second] = others, others[:0]
        return others, ratios

    def _find(self, rows: IntArray) -> IntArray:
        """Return the places of the clusters that voices are in now."""
        roots = self.parents[rows]
        while (self.parents[roots] != roots).any():
            roots = self.parents[roots]
        self.parents[rows] = roots
        return roots

    def labels(self) -> IntArray:
        """Return the cluster of every voice, in order of first appearance."""
        roots = self._find(np.arange(len(self.parents)))
        _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
        ranks = np.argsort(np.argsort(first))
        labels: IntArray = ranks[inverse]
        return labels


def _list_neighbours(count: int, pairs: Pairs) -> list[Rows]:
    """Return the voices that each one is compared with."""
    from scipy.sparse import coo_array

    ends = pairs[:, 0], pairs[:, 1]
    table = coo_array((np.ones(len(pairs), bool), ends), (count, count)).tocsr()
    table += table.T
    return np.split(table.indices, table.indptr[1:-1]) if count else []
