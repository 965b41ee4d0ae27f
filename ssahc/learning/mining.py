"""Index tuples drawn from labels, by the distances between embeddings.

Distances are plain Euclidean ones between rows scaled to unit length, so that they lie
between 0 and 2. Of equally near or far rows the first is taken.
"""

from typing import Literal

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.types import FloatArray, IntArray

Sampling = Literal["all", "random", "semi-hard", "hard", "distance-weighted"]
# Nearer pairs are drawn as if they were this far apart; farther ones not at all.
_NEAREST, _FARTHEST = 0.5, 1.4
# Rows shorter than this are not scaled up to length 1.
_SHORTEST = 1e-12


def all_pairs(labels: IntArray) -> tuple[IntArray, np.ndarray]:
    """Return every pair of rows, and whether it is of one class.

    Parameters
    ----------
    labels : (N,) int array

    Returns
    -------
    pairs : (T, 2) int array
        The first row comes before the second.
    same : (T,) bool array
    """
    pairs = np.stack(np.triu_indices(len(labels), 1), axis=1)
    first, second = labels[pairs].T
    return pairs, first == second


def draw_triplets(
    embeddings: FloatArray,
    labels: IntArray,
    sampling: Sampling,
    generator: np.random.Generator,
) -> IntArray:
    """Return pairs of one class, each with a negative n.

    Parameters
    ----------
    embeddings : (N, d) array
        Of any length.
    labels : (N,) int array
    sampling : {"all", "random", "semi-hard", "hard", "distance-weighted"}
        "all", "random", "semi-hard" and "distance-weighted" take every ordered pair
        (a, p) of one class, "hard" one for each anchor:

        - all: with every row of the other classes;
        - random: with one of these, each as likely;
        - semi-hard: with the nearest n for which d(a, n) > d(a, p), with the farthest
          if there is none (Schroff et al., "FaceNet", CVPR 2015, as in TensorFlow);
        - hard: the anchor's farthest positive with its nearest negative (Hermans et
          al., "In defense of the triplet loss", 2017: batch-hard);
        - distance-weighted: with one drawn by the inverse of how many rows of a sphere
          are that far away (Wu et al., "Sampling matters", ICCV 2017).
    generator : numpy.random.Generator

    Returns
    -------
    (T, 3) int array
        Anchor, positive, negative, ordered by anchor and positive; none of them if
        there is one class, or no class of two rows.
    """
    return _draw_triplets(_Rows(embeddings, labels), sampling, generator)


def _draw_triplets(
    rows: "_Rows", sampling: Sampling, generator: np.random.Generator
) -> IntArray:
    none = np.empty((0, 3), np.int64)
    if rows.count < 2:
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
    """Return triplets, each with a second negative of a third class.

    The second negative n2 is of another class than the anchor and the first negative
    n1, and chosen as a negative of n1 (Narayanaswamy et al., ICASSP 2019).

    Parameters
    ----------
    embeddings : (N, d) array
        Of any length.
    labels : (N,) int array
    sampling : {"random", "semi-hard", "hard", "distance-weighted"}
        As for `draw_triplets`; a semi-hard n2 is the nearest to n1 for which
        d(n1, n2) > d(a, p), a hard one the nearest to n1. (The authors' code has no
        such choice of n2: it averages over all quadruplets within the margin.)
    generator : numpy.random.Generator

    Returns
    -------
    (T, 4) int array
        Anchor, positive, first and second negative; none of them if there are fewer
        than three classes, or no class of two rows.

    Raises
    ------
    UsageError
        If `sampling` is "all".
    """
    if sampling == "all":
        raise UsageError(
            "there are too many quadruplets to take all of them; choose random, "
            "semi-hard, hard or distance-weighted"
        )
    rows = _Rows(embeddings, labels)
    triplets = _draw_triplets(rows, sampling, generator)
    if rows.count < 3 or len(triplets) == 0:
        return np.empty((0, 4), np.int64)
    anchor, positive, first = triplets.T
    limits = rows.distances[anchor, positive]
    second = rows.choose(first, limits, rows.classes[anchor], sampling, generator)
    return np.column_stack([triplets, second])


class _Rows:
    """Labelled rows and their distances.

    Attributes
    ----------
    distances : (N, N) array
    classes : (N,) int array
        0..K-1.
    count : int
        K.
    other : (N, N) bool array
        Whether two rows are of different classes.
    dim : int
    """

    def __init__(self, embeddings: FloatArray, labels: IntArray) -> None:
        rows = np.asarray(embeddings, np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = rows / np.maximum(lengths, _SHORTEST)
        self.distances = np.sqrt(np.maximum(2 - 2 * unit @ unit.T, 0))
        names, self.classes = np.unique(labels, return_inverse=True)
        self.count = len(names)
        self.other = self.classes[:, None] != self.classes
        self.dim = rows.shape[1]

    def pairs(self) -> tuple[IntArray, IntArray]:
        """Return every ordered pair of one class."""
        anchor, positive = np.nonzero(
            ~self.other & ~np.eye(len(self.other), dtype=bool)
        )
        return anchor, positive

    def farthest_pairs(self) -> tuple[IntArray, IntArray]:
        """Return each row that is not alone with the farthest of its class."""
        anchor = np.unique(self.pairs()[0])
        own = np.where(self.other, -1.0, self.distances)
        # Where all of a class are one point, a row is no positive of its own.
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
        """Return a negative for each anchor.

        Parameters
        ----------
        anchor : (T,) int array
        limits : (T,) array
            Semi-hard negatives are farther away.
        avoided : (T,) int array
            A class that the negative must not be of; its own is avoided anyway.
        """
        if sampling == "random":
            return self._draw(self._flat_weights(), anchor, avoided, generator)
        if sampling == "distance-weighted":
            return self._draw(self._distance_weights(), anchor, avoided, generator)
        if sampling == "hard":
            limits = np.full_like(limits, -np.inf)
        return self._nearest_beyond(anchor, limits, avoided)

    # ---- drawn ---------------------------------------------------------------------

    def _flat_weights(self) -> FloatArray:
        """Return the logarithms of weights that are alike."""
        return np.where(self.other, 0.0, -np.inf)

    def _distance_weights(self) -> FloatArray:
        """Return the logarithms of weights that make all distances as likely.

        On the unit sphere of n dimensions the density of distances is proportional to
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
        """Draw a negative for each anchor: first its class, then one of that.

        In 256 dimensions the logarithms of a row's weights span more than 180, so that
        what is left of a row without one class may be nothing beside its largest
        weight. Classes are therefore drawn by the logarithms of their sums, and only
        the weights of one class are compared as they are. An anchor all of whose
        weights are 0 gets any row of the allowed classes.

        Parameters
        ----------
        weights : (N, N) array
            Logarithms of the weights of each anchor's negatives.
        """
        by_class = np.argsort(self.classes, kind="stable")
        sizes = np.bincount(self.classes)
        ends = np.cumsum(sizes)
        starts = ends - sizes
        weights = weights[:, by_class]
        # (N, K): of every row, the largest weight in each class.
        largest = np.maximum.reduceat(weights, starts, axis=1)
        largest[np.isneginf(largest)] = 0.0
        relative = np.exp(weights - np.repeat(largest, sizes, axis=1))
        with np.errstate(divide="ignore"):
            sums = np.log(np.add.reduceat(relative, starts, axis=1)) + largest

        tuples = np.arange(len(anchor))
        chances = sums[anchor]
        chances[tuples, avoided] = -np.inf
        # The largest of logarithms with Gumbel noise is a draw by their weights.
        noise = generator.gumbel(size=chances.shape)
        drawn = (chances + noise).argmax(axis=1)

        cumulative = np.zeros((len(relative), len(relative) + 1))
        np.cumsum(relative, axis=1, out=cumulative[:, 1:])
        low, high = cumulative[anchor, starts[drawn]], cumulative[anchor, ends[drawn]]
        value = low + generator.random(len(anchor)) * (high - low)
        # Rounding must not carry it into what follows the class.
        value = np.minimum(value, np.nextafter(high, -np.inf))
        place = _count_up_to(cumulative, anchor, value) - 1
        negative = by_class[place.clip(max=len(by_class) - 1)]

        without = np.isneginf(chances).all(axis=1)
        if without.any():
            negative[without] = self._draw(
                *(self._flat_weights(), anchor[without], avoided[without], generator)
            )
        return negative

    # ---- by distance ---------------------------------------------------------------

    def _nearest_beyond(
        self, anchor: IntArray, limits: FloatArray, avoided: IntArray
    ) -> IntArray:
        """Return the nearest negative beyond a limit, or else the farthest of all."""
        outwards = np.where(self.other, self.distances, np.inf)
        order = np.argsort(outwards, axis=1, kind="stable")
        ascending = np.take_along_axis(outwards, order, axis=1)
        place = _count_up_to(ascending, anchor, limits)
        nearest, there = self._from_place_on(order, place, anchor, avoided)
        if there.all():
            return nearest
        inwards = np.where(self.other, -self.distances, np.inf)
        order = np.argsort(inwards, axis=1, kind="stable")
        farthest, _ = self._from_place_on(order, 0 * place, anchor, avoided)
        return np.where(there, nearest, farthest)

    def _from_place_on(
        self, order: IntArray, place: IntArray, anchor: IntArray, avoided: IntArray
    ) -> tuple[IntArray, np.ndarray]:
        """Return the first row that is not of an avoided class, and if there is one.

        Parameters
        ----------
        order : (N, N) int array
            Of each anchor, all rows; those of its own class are last.
        place : (T,) int array
            Where in that order to start.
        anchor, avoided : (T,) int array
        """
        count = len(order)
        classes = self.classes[order]
        # Where each run of rows of one class ends in that order.
        after = np.arange(1, count + 1) + np.zeros_like(order)
        after[:, :-1][classes[:, :-1] == classes[:, 1:]] = count
        after = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
        skips = classes[anchor, place] == avoided
        place = np.where(skips, after[anchor, place], place)
        there = place < self.other.sum(axis=1)[anchor]
        return order[anchor, place.clip(max=count - 1)], there


def _count_up_to(ascending: FloatArray, rows: IntArray, values: FloatArray) -> IntArray:
    """Return how many numbers of a row are no larger than a value, by bisection.

    Parameters
    ----------
    ascending : (N, M) array
        Rows of ascending numbers.
    rows : (T,) int array
    values : (T,) array
    """
    count = np.zeros(len(rows), np.int64)
    width = ascending.shape[1]
    for bit in reversed(range(width.bit_length())):
        more = count + (1 << bit)
        inside = more <= width
        last = ascending[rows, np.minimum(more, width) - 1]
        count = np.where(inside & (last <= values), more, count)
    return count
