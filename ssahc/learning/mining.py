"""Triplets and quadruplets of rows, drawn by labels and distances.

Distances are Euclidean between rows scaled to unit length, so they lie between 0 and 2.
Among equally distant rows the first is taken.
"""

from typing import Literal

import numpy as np

from ssahc.backend.preprocess import SHORTEST
from ssahc.core.errors import UsageError
from ssahc.core.types import FloatArray, IntArray

Sampling = Literal["all", "random", "semi-hard", "hard", "distance-weighted"]
# In distance-weighted sampling, closer pairs are weighted as if this far apart, and
# pairs at this distance or beyond are not drawn (Wu et al.).
_NEAREST, _FARTHEST = 0.5, 1.4


def all_pairs(labels: IntArray) -> tuple[IntArray, np.ndarray]:
    """Return every pair of rows (T, 2), and whether it is of one class (T,).

    The first row comes before the second.
    """
    pairs = np.stack(np.triu_indices(len(labels), 1), axis=1)
    first, second = labels[pairs].T
    return pairs, first == second


def draw_ssa_triplets(labels: IntArray, generator: np.random.Generator) -> IntArray:
    """Return every pair of one cluster with one random negative, as SSA does (T, 3).

    The negative is uniform over all windows of the other clusters (the code of Singh &
    Ganapathy). In contrast to `draw_triplets`, a pair has one anchor, the one that
    comes before the positive in time, and no distances are needed. There are at least
    two clusters.
    """
    triplets = []
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        others = np.flatnonzero(labels != cluster)
        anchor, positive = np.triu_indices(len(members), 1)
        negative = generator.integers(len(others), size=len(anchor))
        triplets.append(
            np.stack([members[anchor], members[positive], others[negative]], axis=1)
        )
    return np.concatenate(triplets)


def draw_triplets(
    embeddings: FloatArray,
    labels: IntArray,
    sampling: Sampling,
    generator: np.random.Generator,
) -> IntArray:
    """Return pairs of one class, each with a negative n (T, 3), in order of their rows.

    Every ordered pair (a, p) of one class is taken, unless the sampling is "hard":

    - all: with every row of the other classes;
    - random: with one of these, uniformly drawn;
    - semi-hard: with the nearest n such that d(a, n) > d(a, p), or with the farthest
      if there is none (Schroff et al., "FaceNet", CVPR 2015, as in TensorFlow);
    - hard: for each anchor, its farthest positive with its nearest negative
      (batch-hard; Hermans et al., "In defense of the triplet loss", 2017);
    - distance-weighted: with one drawn with probability inverse to the density of
      distances on the sphere (Wu et al., "Sampling matters", ICCV 2017).

    There are none if there is only one class, or no class with two rows. Embeddings (N,
    d) may be of any length.
    """
    return _draw_triplets(_Rows(embeddings, labels), sampling, generator)


def _draw_triplets(
    rows: "_Rows", sampling: Sampling, generator: np.random.Generator
) -> IntArray:
    none = np.empty((0, 3), np.int64)
    if rows.num_classes < 2:
        return none
    anchor, positive = rows.farthest_pairs() if sampling == "hard" else rows.pairs()
    if len(anchor) == 0:
        return none
    if sampling == "all":
        pair, negative = np.nonzero(rows.other[anchor])
        return np.stack([anchor[pair], positive[pair], negative], axis=1)
    limits = rows.distances[anchor, positive]
    negative = rows.choose(anchor, limits, rows.classes[anchor], sampling, generator)
    return np.stack([anchor, positive, negative], axis=1)


def draw_quadruplets(
    embeddings: FloatArray,
    labels: IntArray,
    sampling: Sampling,
    generator: np.random.Generator,
) -> IntArray:
    """Return triplets, each with a second negative of a third class (T, 4).

    The second negative n2 is chosen as a negative of the first, n1, outside the
    anchor's class (Narayanaswamy et al., ICASSP 2019), with a sampling of
    `draw_triplets` other than "all": a semi-hard n2 is the row nearest to n1 such that
    d(n1, n2) > d(a, p), a hard n2 the row nearest to n1. (The authors' code does not
    choose n2: it averages over all quadruplets within the margin.) There are none if
    there are fewer than three classes, or no class with two rows.
    """
    if sampling == "all":
        raise UsageError(
            "there are too many quadruplets to take all of them; choose random, "
            "semi-hard, hard or distance-weighted"
        )
    rows = _Rows(embeddings, labels)
    triplets = _draw_triplets(rows, sampling, generator)
    if rows.num_classes < 3 or len(triplets) == 0:
        return np.empty((0, 4), np.int64)
    anchor, positive, first = triplets.T
    limits = rows.distances[anchor, positive]
    second = rows.choose(first, limits, rows.classes[anchor], sampling, generator)
    return np.column_stack([triplets, second])


class _Rows:
    """Labelled rows, their distances (N, N), and which are of other classes (N, N)."""

    def __init__(self, embeddings: FloatArray, labels: IntArray) -> None:
        rows = np.asarray(embeddings, np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = rows / np.maximum(lengths, SHORTEST)
        self.distances = np.sqrt(np.maximum(2 - 2 * unit @ unit.T, 0))
        names, self.classes = np.unique(labels, return_inverse=True)
        self.num_classes = len(names)
        self.other = self.classes[:, None] != self.classes
        self.dim = rows.shape[1]

    def pairs(self) -> tuple[IntArray, IntArray]:
        """Return every ordered pair of one class."""
        same = ~self.other
        np.fill_diagonal(same, False)
        anchor, positive = np.nonzero(same)
        return anchor, positive

    def farthest_pairs(self) -> tuple[IntArray, IntArray]:
        """Return each row of a class of several with the farthest of its class."""
        anchor = np.unique(self.pairs()[0])
        own = np.where(self.other, -1.0, self.distances)
        # If a class is a single point, a row must still not be its own positive.
        np.fill_diagonal(own, -1.0)
        return anchor, own[anchor].argmax(axis=1)

    def choose(
        self,
        anchor: IntArray,
        limits: FloatArray,
        avoided: IntArray,
        sampling: Sampling,
        generator: np.random.Generator,
    ) -> IntArray:
        """Return a negative for each anchor (T,).

        Semi-hard negatives are farther away than `limits` (T,). `avoided` (T,) is a
        class, besides the anchor's, that the negative must not be of.
        """
        if sampling == "random":
            return self._draw(self._uniform_weights(), anchor, avoided, generator)
        if sampling == "distance-weighted":
            return self._draw(self._distance_weights(), anchor, avoided, generator)
        if sampling == "hard":
            limits = np.full_like(limits, -np.inf)
        return self._nearest_beyond(anchor, limits, avoided)

    # ---- random draws --------------------------------------------------------------

    def _uniform_weights(self) -> FloatArray:
        """Return logarithms of equal weights for all negatives."""
        return np.where(self.other, 0.0, -np.inf)

    def _distance_weights(self) -> FloatArray:
        """Return logarithms of weights that make all distances equally likely.

        On the unit sphere in n dimensions the density of distances is proportional to
        d^(n-2) (1 - d^2/4)^((n-3)/2) (Wu et al., Section 4); this is its inverse.
        """
        clipped = self.distances.clip(_NEAREST, _FARTHEST)
        weights = (2 - self.dim) * np.log(clipped)
        weights -= (self.dim - 3) / 2 * np.log(1 - clipped**2 / 4)
        weights[~self.other | (self.distances >= _FARTHEST)] = -np.inf
        return weights

    def _draw(
        self,
        weights: FloatArray,
        anchor: IntArray,
        avoided: IntArray,
        generator: np.random.Generator,
    ) -> IntArray:
        """Draw a class for each anchor, then a negative of this class.

        `weights` (N, N) are logarithms. In 256 dimensions those of a row span more than
        180, so that without the avoided class all of them may underflow beside the
        largest. Classes are therefore drawn by the logarithms of their sums, and
        weights are only compared within a class. An anchor with no positive weight gets
        any row of the allowed classes.
        """
        by_class = np.argsort(self.classes, kind="stable")
        sizes = np.bincount(self.classes)
        ends = np.cumsum(sizes)
        starts = ends - sizes
        weights = weights[:, by_class]
        # (N, K): for each row, the largest weight of each class.
        largest = np.maximum.reduceat(weights, starts, axis=1)
        largest[np.isneginf(largest)] = 0.0
        relative = np.exp(weights - np.repeat(largest, sizes, axis=1))
        with np.errstate(divide="ignore"):
            sums = np.log(np.add.reduceat(relative, starts, axis=1)) + largest

        chances = sums[anchor]
        chances[np.arange(len(anchor)), avoided] = -np.inf
        # The argmax of logarithms plus Gumbel noise is a draw by their weights.
        noise = generator.gumbel(size=chances.shape)
        drawn = (chances + noise).argmax(axis=1)

        cumulative = np.zeros((len(relative), len(relative) + 1))
        np.cumsum(relative, axis=1, out=cumulative[:, 1:])
        low, high = cumulative[anchor, starts[drawn]], cumulative[anchor, ends[drawn]]
        value = low + generator.random(len(anchor)) * (high - low)
        # Rounding must not move it into the next class.
        value = np.minimum(value, np.nextafter(high, -np.inf))
        place = _count_up_to(cumulative, anchor, value) - 1
        negative = by_class[place.clip(max=len(by_class) - 1)]

        without = np.isneginf(chances).all(axis=1)
        if without.any():
            uniform = self._uniform_weights()
            negative[without] = self._draw(
                uniform, anchor[without], avoided[without], generator
            )
        return negative

    # ---- by distance ---------------------------------------------------------------

    def _nearest_beyond(
        self, anchor: IntArray, limits: FloatArray, avoided: IntArray
    ) -> IntArray:
        """Return the nearest negative beyond a limit, or the farthest if none is."""
        outwards = np.where(self.other, self.distances, np.inf)
        order = np.argsort(outwards, axis=1, kind="stable")
        ascending = np.take_along_axis(outwards, order, axis=1)
        place = _count_up_to(ascending, anchor, limits)
        nearest, found = self._first_allowed(order, place, anchor, avoided)
        if found.all():
            return nearest
        inwards = np.where(self.other, -self.distances, np.inf)
        order = np.argsort(inwards, axis=1, kind="stable")
        farthest, _ = self._first_allowed(order, 0 * place, anchor, avoided)
        return np.where(found, nearest, farthest)

    def _first_allowed(
        self, order: IntArray, place: IntArray, anchor: IntArray, avoided: IntArray
    ) -> tuple[IntArray, np.ndarray]:
        """Return the first row not of the avoided class, and whether there is one.

        `order` (N, N) lists all rows for each anchor, those of its own class last;
        `place` (T,) is where to start in it.
        """
        count = len(order)
        classes = self.classes[order]
        # Where the run of rows of one class ends, for each place in the order.
        after = np.arange(1, count + 1) + np.zeros_like(order)
        after[:, :-1][classes[:, :-1] == classes[:, 1:]] = count
        after = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
        skips = classes[anchor, place] == avoided
        place = np.where(skips, after[anchor, place], place)
        found = place < self.other.sum(axis=1)[anchor]
        return order[anchor, place.clip(max=count - 1)], found


def _count_up_to(ascending: FloatArray, rows: IntArray, values: FloatArray) -> IntArray:
    """Return how many entries of a row of `ascending` (N, M) are at most a value."""
    counts = np.zeros(len(rows), np.int64)
    ends = np.cumsum(np.bincount(rows, minlength=len(ascending)))
    by_row = np.split(np.argsort(rows, kind="stable"), ends[:-1])
    for numbers, own in zip(ascending, by_row, strict=True):
        counts[own] = np.searchsorted(numbers, values[own], side="right")
    return counts
