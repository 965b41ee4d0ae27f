"""Triplets and quadruplets, against exhaustive loops over their definitions."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ssahc.core.errors import UsageError
from ssahc.learning.mining import all_pairs, draw_quadruplets, draw_triplets

SAMPLINGS = ["random", "semi-hard", "hard", "distance-weighted"]
LABELS = np.array([3, 1, 3, 7, 1, 1, 3, 9, 7, 3])


def distance(x, i, j):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.linalg.norm(unit[i] - unit[j])


def ordered_pairs(labels):
    return [
        (a, p)
        for a in range(len(labels))
        for p in range(len(labels))
        if a != p and labels[a] == labels[p]
    ]


def allowed(labels, *classes):
    return [n for n in range(len(labels)) if labels[n] not in classes]


def nearest_beyond(x, anchor, limit, candidates):
    """The nearest beyond a limit, or else the farthest; the first of a tie."""
    beyond = [n for n in candidates if distance(x, anchor, n) > limit]
    if beyond:
        return min(beyond, key=lambda n: (distance(x, anchor, n), n))
    return max(candidates, key=lambda n: (distance(x, anchor, n), -n))


def uniform(x, anchor, candidates):
    return np.full(len(candidates), 1 / len(candidates))


def distance_weighted(x, anchor, candidates):
    """Probabilities of Wu et al.; uniform where no candidate is near enough."""
    n = x.shape[1]
    values = []
    for other in candidates:
        d = max(distance(x, anchor, other), 0.5)
        density = d ** (n - 2) * (1 - d**2 / 4) ** ((n - 3) / 2) if d < 1.4 else np.inf
        values.append(1 / density)
    values = np.array(values) if any(values) else np.ones(len(values))
    return values / values.sum()


def scattered(labels, dim=4, seed=3):
    """Rows of any length around the directions of their classes."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((labels.max() + 1, dim))
    rows = centers[labels] + rng.standard_normal((len(labels), dim))
    return rows * rng.uniform(0.1, 10, (len(labels), 1))


def test_all_pairs():
    pairs, same = all_pairs(np.array([4, 2, 4]))
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert same.tolist() == [False, True, False]
    for count in (0, 1):
        pairs, same = all_pairs(np.zeros(count, int))
        assert (pairs.shape, same.shape) == ((0, 2), (0,))


# ---- by distance -------------------------------------------------------------------


def test_all_triplets(rng):
    found = draw_triplets(scattered(LABELS), LABELS, "all", rng)
    assert found.tolist() == [
        [a, p, n] for a, p in ordered_pairs(LABELS) for n in allowed(LABELS, LABELS[a])
    ]
    for labels in ([], [0], [0, 0], [0, 1]):
        x, labels = np.ones((len(labels), 3)), np.array(labels, int)
        assert draw_triplets(x, labels, "all", rng).shape == (0, 3)
    with pytest.raises(UsageError, match="random, semi-hard, hard or distance-w"):
        draw_quadruplets(scattered(LABELS), LABELS, "all", rng)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=14), st.integers(0, 99))
def test_semi_hard_and_hard_tuples_equal_exhaustive_loops(labels, seed):
    labels = np.array(labels)
    x = scattered(labels, seed=seed)
    pairs = ordered_pairs(labels) if len(set(labels.tolist())) > 1 else []
    hard_pairs = []
    for anchor in sorted({a for a, _ in pairs}):
        positives = [p for a, p in pairs if a == anchor]
        key = lambda p, a=anchor: (distance(x, a, p), -p)  # noqa: E731
        hard_pairs.append((anchor, max(positives, key=key)))
    for sampling, chosen in (("semi-hard", pairs), ("hard", hard_pairs)):
        triplets, quadruplets = [], []
        for a, p in chosen:
            limit = distance(x, a, p) if sampling == "semi-hard" else -1
            n = nearest_beyond(x, a, limit, allowed(labels, labels[a]))
            triplets.append([a, p, n])
            others = allowed(labels, labels[a], labels[n])
            if others:
                quadruplets.append([a, p, n, nearest_beyond(x, n, limit, others)])
        assert draw_triplets(x, labels, sampling, None).tolist() == triplets
        assert draw_quadruplets(x, labels, sampling, None).tolist() == quadruplets


def test_the_first_of_equally_distant_rows_is_taken():
    # Rows of one class coincide or are at right angles; all others are at right angles.
    x = np.eye(6)[[0, 1, 2, 3, 4, 2, 5]]
    labels = np.array([0, 0, 1, 1, 2, 1, 2])
    hard = draw_triplets(x, labels, "hard", None).tolist()
    negatives, positives = [2, 2, 0, 0, 0, 0, 0], [1, 0, 3, 2, 6, 3, 4]
    assert hard == [list(row) for row in zip(range(7), positives, negatives)]
    semi = draw_triplets(x, labels, "semi-hard", None).tolist()
    # Other rows are beyond the coinciding pair; for other pairs none is.
    assert [2, 5, 0] in semi
    assert [3, 2, 0] in semi
    assert [4, 6, 0, 2] in draw_quadruplets(x, labels, "semi-hard", None).tolist()


# ---- random draws ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "probabilities", "dim"),
    [
        ("random", uniform, 4),
        ("distance-weighted", distance_weighted, 2),
        ("distance-weighted", distance_weighted, 24),
    ],
)
def test_drawn_negatives_have_the_probabilities_of_the_definition(
    rng, sampling, probabilities, dim
):
    x, draws = scattered(LABELS, dim), 200
    found: Counter = Counter()
    expected: Counter = Counter()
    pairs = [list(pair) for pair in ordered_pairs(LABELS)]
    for _ in range(draws):
        drawn = draw_quadruplets(x, LABELS, sampling, rng)
        assert drawn[:, :2].tolist() == pairs
        found.update((int(n), int(m)) for _, _, n, m in drawn)
    for a, _ in pairs:
        firsts = allowed(LABELS, LABELS[a])
        for n, chance in zip(firsts, probabilities(x, a, firsts)):
            others = allowed(LABELS, LABELS[a], LABELS[n])
            for m, second in zip(others, probabilities(x, n, others)):
                expected[n, m] += draws * chance * second
    assert all(expected[key] > 0 for key in found)
    keys = [key for key in sorted(expected) if expected[key] > 5]
    assert len(keys) > 10
    counts, chances = [found[key] for key in keys], [expected[key] for key in keys]
    # All rare ones together.
    counts.append(sum(found.values()) - sum(counts))
    chances.append(max(sum(expected.values()) - sum(chances), 1e-9))
    assert chisquare(counts, chances).pvalue > 0.01


def at_distances(*chords, dim=256):
    """Return a row, and others at these distances from it."""
    cosines = 1 - np.array(chords) ** 2 / 2
    rows = np.eye(dim)[: len(chords) + 1]
    rows[1:] *= np.sqrt(1 - cosines**2)[:, None]
    rows[1:, 0] = cosines
    return rows


def test_small_weights_do_not_underflow_beside_large_ones(rng):
    # The logarithm of the weight is 184 higher for the near pair than for the far ones.
    x = at_distances(1.3, 1.3, 1.45, 1.45, 0.5)
    labels = np.array([0, 0, 1, 1, 2, 2])
    for _ in range(50):
        first, *_ = draw_triplets(x, labels, "distance-weighted", rng)
        # Of the far ones those at 1.45 are beyond the cutoff; the near one outweighs.
        assert first.tolist() == [0, 1, 5]
    # Without the class of the near one, only small weights are left.
    x = at_distances(0.5, 0.5, 1.39, 1.45, 1.45)
    labels = np.array([1, 0, 0, 2, 2, 3])
    seen = set()
    for _ in range(50):
        found = draw_quadruplets(x, labels, "distance-weighted", rng)
        seen.update(found[(found[:, 0] == 1) & (found[:, 2] == 0), 3].tolist())
    assert seen == {3}


def test_second_negatives_avoid_the_anchors_class_if_nothing_else_is_near(rng):
    x = np.vstack([np.eye(8)[[0, 0, 0]], np.eye(8)[[1, 1, 2, 3]]])
    labels, seen = np.array([0, 0, 0, 1, 1, 2, 3]), set()
    for _ in range(50):
        found = draw_quadruplets(x, labels, "distance-weighted", rng)
        seen.update(found[(found[:, 0] == 0) & (found[:, 2] == 5), 3].tolist())
    assert seen == {3, 4, 6}


# ---- any rows and labels -----------------------------------------------------------


def check(found, labels, width):
    """Check the classes of tuples."""
    assert found.dtype == np.int64
    assert found.shape[1] == width
    classes = labels[found].T
    assert (classes[0] == classes[1]).all()
    assert (found[:, 0] != found[:, 1]).all()
    assert (classes[2] != classes[0]).all()
    if width == 4:
        assert (classes[3] != classes[0]).all()
        assert (classes[3] != classes[2]).all()


@pytest.mark.parametrize("sampling", [*SAMPLINGS, "all"])
@pytest.mark.parametrize("dim", [1, 2, 256])
def test_equal_opposite_and_zero_rows_give_valid_tuples(rng, sampling, dim):
    x = np.ones((9, dim)) * np.array([1, -1, 1, -1, 0, 1, -1, 2, 1e-200])[:, None]
    labels = np.arange(9) % 3
    check(draw_triplets(x, labels, sampling, rng), labels, 3)
    if sampling != "all":
        check(draw_quadruplets(x, labels, sampling, rng), labels, 4)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(-2, 4), max_size=14).map(lambda y: np.array(y, int)),
    st.sampled_from(SAMPLINGS),
    st.integers(0, 99),
)
def test_any_labels_give_valid_reproducible_tuples(labels, sampling, seed):
    x = np.random.default_rng(seed).standard_normal((len(labels), 3))
    before = x.copy()
    count = len(set(labels.tolist()))
    pairs = ordered_pairs(labels)
    anchors = {a for a, _ in pairs} if sampling == "hard" else pairs
    for draw, width in ((draw_triplets, 3), (draw_quadruplets, 4)):
        found, again = (
            draw(x, labels, sampling, np.random.default_rng(seed)) for _ in range(2)
        )
        check(found, labels, width)
        assert len(found) == (len(anchors) if count > width - 2 else 0)
        np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(x, before)
