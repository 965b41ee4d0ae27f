"""Losses of metric learning, each against plain loops over its definition."""

from math import cos, log, pi, sin, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.learning.losses import classification, pairwise, prototypical
from ssahc.learning.losses.ssa import ExpectedTriplets, SampledTriplets

# A class of one row among them, and none that stands together.
LABELS = np.array([0, 1, 0, 2, 1, 1, 0, 3, 2])
TRIPLETS = np.array([[0, 2, 1], [2, 0, 3], [4, 5, 7], [6, 0, 8], [8, 3, 2], [0, 6, 5]])
QUADRUPLETS = np.array([[0, 2, 1, 3], [2, 0, 3, 7], [4, 5, 7, 8], [6, 0, 8, 1]])
PAIRS = np.stack(np.triu_indices(len(LABELS), 1), axis=1)
SAME = LABELS[PAIRS[:, 0]] == LABELS[PAIRS[:, 1]]
DISTANCES = ["squared", "plain", "cosine"]


# ---- plain definitions -------------------------------------------------------------


def cosine(x, y):
    return x @ y / sqrt((x @ x) * (y @ y))


def apart(x, y, kind):
    x, y = x / sqrt(x @ x), y / sqrt(y @ y)
    squared = sum((one - other) ** 2 for one, other in zip(x, y))
    return {"squared": squared, "plain": sqrt(squared), "cosine": squared / 2}[kind]


def entropy(logits, label):
    return log(sum(np.exp(np.asarray(logits) - logits[label])))


def naive_triplet(x, margin=0.8, kind="squared"):
    total = 0.0
    for a, p, n in TRIPLETS:
        total += max(0, apart(x[a], x[p], kind) - apart(x[a], x[n], kind) + margin)
    return total / len(TRIPLETS)


def naive_quadruplet(x, margin=0.8, second=0.4, kind="squared"):
    total = 0.0
    for a, p, n, m in QUADRUPLETS:
        near = apart(x[a], x[p], kind)
        total += max(0, near - apart(x[a], x[n], kind) + margin)
        total += max(0, near - apart(x[n], x[m], kind) + second)
    return total / len(QUADRUPLETS)


def naive_contrastive(x, margin=0.4):
    total, count = 0.0, 0
    for i in range(len(x)):
        for j in range(i):
            d = 1 - cosine(x[i], x[j])
            same = LABELS[i] == LABELS[j]
            total += d**2 if same else max(margin - d, 0) ** 2
            count += 1
    return total / count / 2


def naive_softmax(x, weight, bias):
    rows = [[w @ row + b for w, b in zip(weight, bias)] for row in x]
    return np.mean([entropy(row, y) for row, y in zip(rows, LABELS)])


def naive_of_cosines(x, weight, scale, own):
    """Cross-entropy of scaled cosines, the own one replaced."""
    losses = []
    for row, y in zip(x, LABELS):
        logits = [cosine(row, w) for w in weight]
        logits[y] = own(logits[y])
        losses.append(entropy([scale * logit for logit in logits], y))
    return np.mean(losses)


def naive_am(x, weight, margin=0.3, scale=30):
    return naive_of_cosines(x, weight, scale, lambda c: c - margin)


def naive_aam(x, weight, margin=0.3, scale=15):
    def own(c):
        angle = np.arccos(c)
        return c - margin * sin(margin) if angle > pi - margin else cos(angle + margin)

    return naive_of_cosines(x, weight, scale, own)


def naive_congenerous(x, weight, scale=None):
    scale = sqrt(2) * log(3) if scale is None else scale  # of four classes
    return naive_of_cosines(x, weight, scale, lambda c: c)


def naive_center(x, weight, centers, center_weight=1.0):
    spread = sum((1 - cosine(row, centers[y])) ** 2 for row, y in zip(x, LABELS))
    linear = naive_softmax(x, weight, np.zeros(len(weight)))
    return linear + center_weight * spread / 2 / len(x)


def naive_prototypes(x, logit):
    members = [[i for i, y in enumerate(LABELS) if y == k] for k in range(4)]
    centers = [x[rows[1:] or rows].mean(axis=0) for rows in members]
    losses = [
        entropy([logit(x[rows[0]], c) for c in centers], k)
        for k, rows in enumerate(members)
        if len(rows) > 1
    ]
    return np.mean(losses)


def naive_prototypical(x):
    return naive_prototypes(x, lambda q, c: -((q - c) ** 2).sum())


def naive_angular(x, scale, shift):
    return naive_prototypes(x, lambda q, c: max(scale, 1e-6) * cosine(q, c) + shift)


def naive_ge2e(x, scale, shift):
    losses = []
    for i, y in enumerate(LABELS):
        if (LABELS == y).sum() == 1:
            continue
        logits = []
        for k in range(4):
            rows = [j for j in range(len(x)) if LABELS[j] == k and j != i]
            value = max(cosine(x[i], x[rows].mean(axis=0)), 1e-6)
            logits.append(max(scale, 1e-6) * value + shift)
        losses.append(entropy(logits, y))
    return np.mean(losses)


# ---- all losses --------------------------------------------------------------------


def names(x):
    return torch.from_numpy(LABELS[: len(x)])


def over(indices, x):
    return torch.from_numpy(indices if len(x) else indices[:0])


def ours_contrastive(x, **options):
    return pairwise.contrastive(x, over(PAIRS, x), over(SAME, x), **options)


MATRIX, VECTOR, SCALAR = (4, 5), (4,), ()
# name: ours, theirs, shapes of parameters
CASES = {
    "triplet": (lambda x: pairwise.triplet(x, over(TRIPLETS, x)), naive_triplet, ()),
    "quadruplet": (
        lambda x: pairwise.quadruplet(x, over(QUADRUPLETS, x)),
        *(naive_quadruplet, ()),
    ),
    "contrastive": (ours_contrastive, naive_contrastive, ()),
    "contrastive wide": (
        lambda x: ours_contrastive(x, margin=1.3),
        *(lambda x: naive_contrastive(x, 1.3), ()),
    ),
    "softmax": (
        lambda x, w, b: classification.softmax(x, names(x), w, b),
        *(naive_softmax, (MATRIX, VECTOR)),
    ),
    "am": (lambda x, w: classification.am_softmax(x, names(x), w), naive_am, (MATRIX,)),
    "am else": (
        lambda x, w: classification.am_softmax(x, names(x), w, margin=0.1, scale=4),
        *(lambda x, w: naive_am(x, w, 0.1, 4), (MATRIX,)),
    ),
    "aam": (
        lambda x, w: classification.aam_softmax(x, names(x), w),
        naive_aam,
        (MATRIX,),
    ),
    # Half of the own angles are beyond pi - margin.
    "aam beyond": (
        lambda x, w: classification.aam_softmax(x, names(x), w, margin=1.5, scale=4),
        *(lambda x, w: naive_aam(x, w, 1.5, 4), (MATRIX,)),
    ),
    "congenerous": (
        lambda x, w: classification.congenerous_cosine(x, names(x), w),
        *(naive_congenerous, (MATRIX,)),
    ),
    "congenerous else": (
        lambda x, w: classification.congenerous_cosine(x, names(x), w, scale=7.0),
        *(lambda x, w: naive_congenerous(x, w, 7.0), (MATRIX,)),
    ),
    "center": (
        lambda x, w, c: classification.center(x, names(x), w, c),
        *(naive_center, (MATRIX, MATRIX)),
    ),
    "center else": (
        lambda x, w, c: classification.center(x, names(x), w, c, center_weight=0.3),
        *(lambda x, w, c: naive_center(x, w, c, 0.3), (MATRIX, MATRIX)),
    ),
    "prototypical": (
        lambda x: prototypical.prototypical(x, names(x)),
        *(naive_prototypical, ()),
    ),
    "angular": (
        lambda x, w, b: prototypical.angular_prototypical(x, names(x), w, b),
        *(naive_angular, (SCALAR, SCALAR)),
    ),
    "ge2e": (
        lambda x, w, b: prototypical.ge2e(x, names(x), w, b),
        *(naive_ge2e, (SCALAR, SCALAR)),
    ),
}
for kind in DISTANCES:
    CASES[f"triplet {kind}"] = (
        lambda x, k=kind: pairwise.triplet(
            x, over(TRIPLETS, x), margin=0.5, distance=k
        ),
        *(lambda x, k=kind: naive_triplet(x, 0.5, k), ()),
    )
    CASES[f"quadruplet {kind}"] = (
        lambda x, k=kind: pairwise.quadruplet(
            *(x, over(QUADRUPLETS, x)), margin=0.5, second_margin=0.3, distance=k
        ),
        *(lambda x, k=kind: naive_quadruplet(x, 0.5, 0.3, k), ()),
    )
# Losses that look at directions alone, those of class weights included.
OF_DIRECTIONS = [
    name
    for name in CASES
    if name.split()[0]
    in ("triplet", "quadruplet", "contrastive", "am", "aam", "congenerous")
]


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def draw(rng, shapes, count=9):
    """Return embeddings and parameters to be learned."""
    values = [rng.standard_normal((count, 5)) + 0.3]
    values += [np.abs(rng.standard_normal(shape)) + 0.5 for shape in shapes]
    return [torch.tensor(value, requires_grad=True) for value in values]


def test_losses_equal_plain_loops_over_their_definitions(case, rng):
    ours, theirs, shapes = case
    for _ in range(5):
        values = draw(rng, shapes)
        expected = theirs(*(value.detach().numpy() for value in values))
        assert ours(*values).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)
        assert expected > 0


def test_gradients_equal_finite_differences(case, rng):
    ours, _, shapes = case
    assert torch.autograd.gradcheck(ours, draw(rng, shapes), fast_mode=True)


def test_of_nothing_losses_are_0_and_so_are_gradients(case, rng):
    ours, _, shapes = case
    values = draw(rng, shapes, count=0)
    loss = ours(*values)
    assert loss.item() == 0
    for gradient in torch.autograd.grad(loss, values):
        assert (gradient == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_rows_are_alike_or_opposite(case, rng, dtype):
    ours, _, shapes = case
    rows = torch.ones(len(LABELS), 5, dtype=dtype)
    signs = torch.tensor([1, -1, 1, 1, -1, 1, -1, 1, 1], dtype=dtype)[:, None]
    for embeddings in (rows, rows * signs, rows * 3 * signs.roll(1, 0)):
        values = [embeddings.requires_grad_()]
        for shape in shapes:
            parameter = torch.ones(shape, dtype=dtype)
            if shape == MATRIX:
                parameter[1::2] *= -1
            values.append(parameter.requires_grad_())
        loss = ours(*values)
        assert loss.isfinite()
        for gradient in torch.autograd.grad(loss, values):
            assert gradient.dtype == dtype
            assert gradient.isfinite().all()
            assert gradient.abs().max() < 100


def test_losses_of_equal_rows(case):
    ours, theirs, shapes = case
    rows = np.tile([3.0, 0, 0, 4, 0], (len(LABELS), 1))
    values = [rows, *(np.ones(shape) for shape in shapes)]
    loss = ours(*map(torch.from_numpy, map(np.asarray, values)))
    assert loss.item() == pytest.approx(theirs(*values), abs=1e-7)


@pytest.mark.parametrize("name", OF_DIRECTIONS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_losses_of_directions_ignore_lengths_and_rotations(name, seed):
    ours, _, shapes = CASES[name]
    rng = np.random.default_rng(seed)
    values = [value.detach() for value in draw(rng, shapes)]
    turn = torch.from_numpy(np.linalg.qr(rng.standard_normal((5, 5)))[0])
    turned = [
        value @ turn * torch.from_numpy(rng.uniform(0.1, 9, (len(value), 1)))
        for value in values
    ]
    assert ours(*turned).item() == pytest.approx(ours(*values).item(), rel=1e-9)


def test_losses_of_classes_and_prototypes_ignore_what_classes_are_called(rng):
    x, weight, bias = (value.detach() for value in draw(rng, (MATRIX, VECTOR)))
    labels, order = torch.from_numpy(LABELS), torch.tensor([2, 0, 3, 1])
    called = order.argsort()[labels]
    for ours in (
        classification.am_softmax,
        classification.aam_softmax,
        classification.congenerous_cosine,
    ):
        assert ours(x, called, weight[order]).item() == pytest.approx(
            ours(x, labels, weight).item()
        )
    assert classification.softmax(x, called, weight[order], bias[order]).item() == (
        pytest.approx(classification.softmax(x, labels, weight, bias).item())
    )
    far_apart = 5 * called - 7
    for ours in (
        prototypical.prototypical,
        lambda x, y: prototypical.ge2e(x, y, bias[0], bias[1]),
        lambda x, y: prototypical.angular_prototypical(x, y, bias[0], bias[1]),
    ):
        assert ours(x, far_apart).item() == pytest.approx(ours(x, labels).item())


# ---- single classes, single rows ---------------------------------------------------


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [4]])
def test_prototypes_of_one_class_or_of_single_rows_cost_nothing(rng, labels):
    x, scale, shift = draw(rng, (SCALAR, SCALAR), len(labels))
    labels = torch.tensor(labels)
    for loss, values in (
        (prototypical.prototypical(x, labels), [x]),
        (prototypical.angular_prototypical(x, labels, scale, shift), [x, scale, shift]),
        (prototypical.ge2e(x, labels, scale, shift), [x, scale, shift]),
    ):
        assert loss.item() == 0
        for gradient in torch.autograd.grad(loss, values):
            assert (gradient == 0).all()


def test_one_class_has_no_cross_entropy(rng):
    x = draw(rng, ())[0]
    labels = torch.zeros(len(x), dtype=torch.long)
    weight = torch.ones(1, 5, dtype=torch.float64)
    for loss in (
        classification.softmax(x, labels, weight, weight[:, 0]),
        classification.am_softmax(x, labels, weight),
        classification.aam_softmax(x, labels, weight),
        classification.congenerous_cosine(x, labels, weight),
        classification.center(x, labels, weight, weight, center_weight=0),
    ):
        assert loss.item() == 0
        assert (torch.autograd.grad(loss, x)[0] == 0).all()


def test_a_class_of_one_row_is_a_prototype_for_others(rng):
    x = draw(rng, ())[0].detach()
    labels = torch.from_numpy(LABELS)
    without = labels != 3
    assert prototypical.prototypical(x, labels) > prototypical.prototypical(
        x[without], labels[without]
    )


def test_the_scale_of_prototypes_is_clamped(rng):
    x, _, shift = draw(rng, (SCALAR, SCALAR))
    labels = torch.from_numpy(LABELS)
    for ours in (prototypical.angular_prototypical, prototypical.ge2e):
        smallest = ours(x, labels, torch.tensor(1e-6), shift)
        assert ours(x, labels, torch.tensor(-3.0), shift) == smallest


def test_the_adaptive_scale_is_that_of_three_classes_for_fewer():
    assert classification.adaptive_scale(1) == classification.adaptive_scale(2)
    assert classification.adaptive_scale(2) == classification.adaptive_scale(3) > 0.9
    assert classification.adaptive_scale(101) == pytest.approx(sqrt(2) * log(100))


# ---- SSA ---------------------------------------------------------------------------


def naive_ssa(x, triplets, gamma, form):
    total = 0.0
    for a, p, n in triplets:
        away = cosine(x[a], x[n]) + (form == "authors") * cosine(x[p], x[n])
        total += 1 - cosine(x[a], x[p]) + gamma * away
    return total / len(triplets)


@pytest.mark.parametrize("form", ["authors", "paper"])
# With these numbers of triplets and of rows nothing is rounded in float32, in which
# the weights of tuples are kept.
@pytest.mark.parametrize(("labels", "close"), [([0, 1, 1, 0], 1e-12), (LABELS, 1e-6)])
def test_ssa_equals_plain_loops(rng, form, labels, close):
    x = draw(rng, (), len(labels))[0]
    labels = np.asarray(labels)
    count = len(labels)
    every = [
        [(a, p, n) for n in range(count) if labels[n] != labels[a]]
        for a in range(count)
        for p in range(count)
        if a != p and labels[a] == labels[p]
    ]
    rows = x.detach().numpy()
    expected = np.mean([naive_ssa(rows, some, 0.5, form) for some in every])
    loss = ExpectedTriplets(labels, 0.5, form)
    assert pairwise.ssa(x, loss).item() == pytest.approx(expected, abs=close)
    assert torch.autograd.gradcheck(lambda x: pairwise.ssa(x, loss), [x])
    drawn = np.array([some[0] for some in every])
    loss = SampledTriplets(drawn, 0.5, form)
    expected = naive_ssa(rows, drawn, 0.5, form)
    assert pairwise.ssa(x, loss).item() == pytest.approx(expected, abs=close)
    assert torch.autograd.gradcheck(lambda x: pairwise.ssa(x, loss), [x])
