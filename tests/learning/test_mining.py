"""Index tuples, against exhaustive loops over their definitions."""

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
    """The nearest beyond a limit, or else the farthest; the first of equal ones."""
    beyond = [n for n in candidates if distance(x, anchor, n) > limit]
    if beyond:
        return min(beyond, key=lambda n: (distance(x, anchor, n), n))
    return max(candidates, key=lambda n: (distance(x, anchor, n), -n))


def weights(x, anchor, candidates):
    """Probabilities of Wu et al.; as likely all where none is near enough."""
    n = x.shape[1]
    values = []
    for other in candidates:
        d = max(distance(x, anchor, other), 0.5)
        density = d ** (n - 2) * (1 - d**2 / 4) ** ((n - 3) / 2) if d < 1.4 else np.inf
        values.append(1 / density)
    values = np.array(values) if any(values) else np.ones(len(values))
    return values / values.sum()


def scattered(labels, dim=4, seed=3):
    """Rows around the directions of their classes, of any length."""
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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=14), st.integers(0, 99))
def test_semi_hard_and_hard_tuples_equal_exhaustive_loops(labels, seed):
    labels = np.array(labels)
    x = scattered(labels, seed=seed)
    negatives = {k: allowed(labels, k) for k in labels}
    triplets, quadruplets = [], []
    for a, p in ordered_pairs(labels) if len(set(labels)) > 1 else []:
        limit = distance(x, a, p)
        n = nearest_beyond(x, a, limit, negatives[labels[a]])
        triplets.append([a, p, n])
        others = allowed(labels, labels[a], labels[n])
        if others:
            quadruplets.append([a, p, n, nearest_beyond(x, n, limit, others)])
    assert draw_triplets(x, labels, "semi-hard", None).tolist() == triplets
    assert draw_quadruplets(x, labels, "semi-hard", None).tolist() == quadruplets

    triplets, quadruplets = [], []
    for a in range(len(labels)):
        positives = [p for b, p in ordered_pairs(labels) if a == b]
        if not positives or not negatives[labels[a]]:
            continue
        p = max(positives, key=lambda p: (distance(x, a, p), -p))
        n = nearest_beyond(x, a, -1, negatives[labels[a]])
        triplets.append([a, p, n])
        others = allowed(labels, labels[a], labels[n])
        if others:
            quadruplets.append([a, p, n, nearest_beyond(x, n, -1, others)])
    assert draw_triplets(x, labels, "hard", None).tolist() == triplets
    assert draw_quadruplets(x, labels, "hard", None).tolist() == quadruplets


def test_of_equal_distances_the_first_row_is_taken():
    # Rows of one class are one point or at right angles to each other; all others are
    # at right angles.
    x = np.eye(6)[[0, 1, 2, 3, 4, 2, 5]]
    labels = np.array([0, 0, 1, 1, 2, 1, 2])
    hard = draw_triplets(x, labels, "hard", None).tolist()
    negatives = {0: 2, 1: 2, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    positives = {0: 1, 1: 0, 2: 3, 3: 2, 4: 6, 5: 3, 6: 4}
    assert hard == [[a, positives[a], negatives[a]] for a in range(7)]
    semi = draw_triplets(x, labels, "semi-hard", None).tolist()
    # Of the two that are one point, the other rows are beyond; else none is.
    assert [2, 5, 0] in semi
    assert [3, 2, 0] in semi
    assert [4, 6, 0, 2] in draw_quadruplets(x, labels, "semi-hard", None).tolist()


def test_as_far_as_the_positive_is_not_beyond():
    x = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1]])
    labels = np.array([0, 0, 1, 1, 2])
    assert [0, 1, 3] in draw_triplets(x, labels, "semi-hard", None).tolist()


def test_a_row_is_no_positive_of_its_own_where_all_are_one_point():
    x, labels = np.ones((5, 3)), np.array([0, 0, 1, 1, 2])
    found = draw_triplets(x, labels, "hard", None)
    assert found.tolist() == [[0, 1, 2], [1, 0, 2], [2, 3, 0], [3, 2, 0]]


# ---- drawn -------------------------------------------------------------------------


def test_random_tuples_are_any_of_the_allowed_ones(rng):
    x = scattered(LABELS)
    draws = 300
    seconds: Counter = Counter()
    expected: Counter = Counter()
    for _ in range(draws):
        found = draw_quadruplets(x, LABELS, "random", rng)
        assert found[:, :2].tolist() == [list(pair) for pair in ordered_pairs(LABELS)]
        seconds.update((int(n), int(m)) for _, _, n, m in found)
    for a, _ in ordered_pairs(LABELS):
        firsts = allowed(LABELS, LABELS[a])
        for n in firsts:
            others = allowed(LABELS, LABELS[a], LABELS[n])
            for m in others:
                expected[n, m] += draws / len(firsts) / len(others)
    assert set(seconds) == set(expected)
    keys = sorted(expected)
    test = chisquare([seconds[key] for key in keys], [expected[key] for key in keys])
    assert test.pvalue > 0.01


@pytest.mark.parametrize("dim", [2, 6, 24])
def test_distance_weighted_tuples_have_the_probabilities_of_the_source(rng, dim):
    x = scattered(LABELS, dim)
    draws = 300
    found: Counter = Counter()
    expected: Counter = Counter()
    for _ in range(draws):
        drawn = draw_quadruplets(x, LABELS, "distance-weighted", rng)
        found.update((int(n), int(m)) for _, _, n, m in drawn)
    for a, _ in ordered_pairs(LABELS):
        firsts = allowed(LABELS, LABELS[a])
        for n, chance in zip(firsts, weights(x, a, firsts)):
            others = allowed(LABELS, LABELS[a], LABELS[n])
            for m, second in zip(others, weights(x, n, others)):
                expected[n, m] += draws * chance * second
    assert all(expected[key] > 0 for key in found)
    keys = [key for key in sorted(expected) if expected[key] > 5]
    rest = sum(expected.values()) - sum(expected[key] for key in keys)
    counts = [found[key] for key in keys]
    total = sum(found.values())
    counts, chances = [*counts, total - sum(counts)], [expected[key] for key in keys]
    assert len(keys) > 10
    assert chisquare(counts, [*chances, max(rest, 1e-9)]).pvalue > 0.01


def at_distances(*chords, dim=256):
    """Return a row and others so far away, at right angles to each other beside it."""
    cosines = 1 - np.array(chords) ** 2 / 2
    rows = np.eye(dim)[: len(chords) + 1]
    rows[1:] *= np.sqrt(1 - cosines**2)[:, None]
    rows[1:, 0] = cosines
    return rows


def test_a_row_of_small_weights_is_not_lost_beside_others(rng):
    # Logarithms of weights are 184 higher for the near pair than for the far ones.
    x = at_distances(1.3, 1.3, 1.45, 1.45, 0.5)
    labels = np.array([0, 0, 1, 1, 2, 2])
    for _ in range(50):
        first, *_ = draw_triplets(x, labels, "distance-weighted", rng)
        assert first[:2].tolist() == [0, 1]
        # Of the far ones those at 1.45 are beyond the limit; the near one outweighs.
        assert first[2] == 5
    # Without the near one's class, what is left are small weights.
    x = at_distances(0.5, 0.5, 1.39, 1.45, 1.45)
    labels = np.array([1, 0, 0, 2, 2, 3])
    seen = set()
    for _ in range(50):
        found = draw_quadruplets(x, labels, "distance-weighted", rng)
        seen.update(found[(found[:, 0] == 1) & (found[:, 2] == 0), 3].tolist())
    assert seen == {3}


def test_negatives_within_the_cutoff_are_as_likely(rng):
    x, labels = at_distances(1.0, 0.05, 0.5, 1.45, dim=16), np.array([0, 0, 1, 2, 3])
    counts = Counter()
    for _ in range(300):
        found = draw_triplets(x, labels, "distance-weighted", rng)
        counts.update(found[found[:, 0] == 0, 2].tolist())
    assert set(counts) == {2, 3}
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_rows_without_near_negatives_get_any_of_other_classes(rng):
    x = at_distances(1.0, 1.5, 1.6, 1.7, dim=8)
    labels = np.array([0, 0, 1, 2, 2])
    counts = Counter()
    for _ in range(300):
        found = draw_triplets(x, labels, "distance-weighted", rng)
        counts.update(found[found[:, 0] == 0, 2].tolist())
    assert set(counts) == {2, 3, 4}
    assert chisquare(list(counts.values())).pvalue > 0.01
    second = set()
    for _ in range(50):
        # Nothing is near but one's own class.
        y = np.vstack([np.eye(8)[[0, 0, 0]], np.eye(8)[[1, 1, 2, 3]]])
        classes = np.array([0, 0, 0, 1, 1, 2, 3])
        found = draw_quadruplets(y, classes, "distance-weighted", rng)
        second.update(found[(found[:, 0] == 0) & (found[:, 2] == 5), 3].tolist())
    assert second == {3, 4, 6}


@pytest.mark.parametrize("sampling", [*SAMPLINGS, "all"])
@pytest.mark.parametrize("dim", [1, 2, 3, 256])
def test_alike_opposite_and_zero_rows_make_no_nan(rng, sampling, dim):
    x = np.ones((9, dim)) * np.array([1, -1, 1, -1, 0, 1, -1, 2, 1e-200])[:, None]
    labels = np.arange(9) % 3
    check(draw_triplets(x, labels, sampling, rng), labels, 3)
    if sampling != "all":
        check(draw_quadruplets(x, labels, sampling, rng), labels, 4)


def check(found, labels, width):
    """Check that tuples are what they must be."""
    assert found.dtype == np.int64
    assert found.shape[1] == width
    classes = labels[found].T
    assert (classes[0] == classes[1]).all()
    assert (found[:, 0] != found[:, 1]).all()
    assert (classes[2] != classes[0]).all()
    if width == 4:
        assert (classes[3] != classes[0]).all()
        assert (classes[3] != classes[2]).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-2, 4), max_size=14).map(lambda y: np.array(y, int)),
    st.sampled_from(SAMPLINGS),
    st.integers(0, 99),
)
def test_tuples_of_any_labels(labels, sampling, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((len(labels), 3))
    count = len(set(labels.tolist()))
    pairs = ordered_pairs(labels)
    anchors = {a for a, _ in pairs} if sampling == "hard" else pairs
    triplets = draw_triplets(x, labels, sampling, rng)
    check(triplets, labels, 3)
    assert len(triplets) == (len(anchors) if count > 1 else 0)
    quadruplets = draw_quadruplets(x, labels, sampling, rng)
    check(quadruplets, labels, 4)
    assert len(quadruplets) == (len(anchors) if count > 2 else 0)


def test_draws_follow_the_generator_and_leave_inputs_alone():
    x = scattered(LABELS)
    before = x.copy()
    for sampling in SAMPLINGS:
        one, other = (
            draw_quadruplets(x, LABELS, sampling, np.random.default_rng(5))
            for _ in range(2)
        )
        assert (one == other).all()
    assert (x == before).all()


@pytest.mark.parametrize("labels", [[], [0], [0, 0], [0, 1]])
def test_no_tuples_where_there_are_none(rng, labels):
    x, labels = np.ones((len(labels), 3)), np.array(labels, int)
    for sampling in (*SAMPLINGS, "all"):
        assert draw_triplets(x, labels, sampling, rng).shape == (0, 3)
    for sampling in SAMPLINGS:
        assert draw_quadruplets(x, labels, sampling, rng).shape == (0, 4)


def test_not_all_quadruplets(rng):
    with pytest.raises(UsageError, match="random, semi-hard, hard or distance-w"):
        draw_quadruplets(scattered(LABELS), LABELS, "all", rng)
