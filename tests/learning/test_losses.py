"""Every loss, against a naive loop over its definition."""

from math import cos, log, pi, sin, sqrt

import numpy as np
import pytest
import torch

from ssahc.learning.losses import classification, pairwise, prototypical

# Among the classes one of a single row; no class is contiguous.
LABELS = np.array([0, 1, 0, 2, 1, 1, 0, 3, 2])
TRIPLETS = np.array([[0, 2, 1], [2, 0, 3], [4, 5, 7], [6, 0, 8], [8, 3, 2], [0, 6, 5]])
QUADRUPLETS = np.array([[0, 2, 1, 3], [2, 0, 3, 7], [4, 5, 7, 8], [6, 0, 8, 1]])
PAIRS = np.stack(np.triu_indices(len(LABELS), 1), axis=1)
SAME = LABELS[PAIRS[:, 0]] == LABELS[PAIRS[:, 1]]


# ---- naive definitions -------------------------------------------------------------


def cosine(x, y):
    return x @ y / sqrt((x @ x) * (y @ y))


def distance(x, y, kind):
    x, y = x / sqrt(x @ x), y / sqrt(y @ y)
    squared = sum((one - other) ** 2 for one, other in zip(x, y))
    return {"squared": squared, "plain": sqrt(squared), "cosine": squared / 2}[kind]


def entropy(logits, label):
    return log(sum(np.exp(np.asarray(logits) - logits[label])))


def naive_triplet(x, margin=0.8, kind="squared"):
    total = 0.0
    for a, p, n in TRIPLETS:
        total += max(
            0, distance(x[a], x[p], kind) - distance(x[a], x[n], kind) + margin
        )
    return total / len(TRIPLETS)


def naive_quadruplet(x, margin=0.8, second=0.4, kind="squared"):
    total = 0.0
    for a, p, n, m in QUADRUPLETS:
        near = distance(x[a], x[p], kind)
        total += max(0, near - distance(x[a], x[n], kind) + margin)
        total += max(0, near - distance(x[n], x[m], kind) + second)
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


def naive_cosine_softmax(x, weight, scale, own):
    """Cross-entropy of scaled cosines, with `own` applied to that of the own class."""
    losses = []
    for row, y in zip(x, LABELS):
        logits = [cosine(row, w) for w in weight]
        logits[y] = own(logits[y])
        losses.append(entropy([scale * logit for logit in logits], y))
    return np.mean(losses)


def naive_am(x, weight, margin=0.3, scale=30):
    return naive_cosine_softmax(x, weight, scale, lambda c: c - margin)


def naive_aam(x, weight, margin=0.3, scale=15):
    def own(c):
        angle = np.arccos(c)
        return c - margin * sin(margin) if angle > pi - margin else cos(angle + margin)

    return naive_cosine_softmax(x, weight, scale, own)


def naive_congenerous(x, weight, scale=None):
    scale = sqrt(2) * log(3) if scale is None else scale  # of four classes
    return naive_cosine_softmax(x, weight, scale, lambda c: c)


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


def over(indices, loss):
    """The loss over these tuples, or over none of no rows."""

    def evaluate(x, **constants):
        part = [torch.from_numpy(array if len(x) else array[:0]) for array in indices]
        return loss(x, *part, **constants)

    return evaluate


def of_classes(loss):
    def evaluate(x, *parameters, **constants):
        return loss(x, torch.from_numpy(LABELS[: len(x)]), *parameters, **constants)

    return evaluate


softmax = of_classes(classification.softmax)
center = of_classes(classification.center)
angular = of_classes(prototypical.angular_prototypical)
triplet = over([TRIPLETS], pairwise.triplet)
quadruplet = over([QUADRUPLETS], pairwise.quadruplet)
contrastive = over([PAIRS, SAME], pairwise.contrastive)
MATRIX, VECTOR, SCALAR = (4, 5), (4,), ()
# Ours, naive, shapes of parameters, constants in the order of the naive loss.
CASES = {
    "triplet": (triplet, naive_triplet, (), {}),
    "quadruplet": (quadruplet, naive_quadruplet, (), {}),
    "contrastive": (contrastive, naive_contrastive, (), {}),
    "contrastive wide": (contrastive, naive_contrastive, (), {"margin": 1.3}),
    "softmax": (softmax, naive_softmax, (MATRIX, VECTOR), {}),
    "center": (center, naive_center, (MATRIX, MATRIX), {}),
    "center weighted": (center, naive_center, (MATRIX, MATRIX), {"center_weight": 0.3}),
    "prototypical": (of_classes(prototypical.prototypical), naive_prototypical, (), {}),
    "angular": (angular, naive_angular, (SCALAR, SCALAR), {}),
    "ge2e": (of_classes(prototypical.ge2e), naive_ge2e, (SCALAR, SCALAR), {}),
}
for name, loss, naive, constants in (
    ("am", classification.am_softmax, naive_am, {"margin": 0.1, "scale": 4}),
    # Half of the own angles are beyond pi - margin.
    ("aam", classification.aam_softmax, naive_aam, {"margin": 1.5, "scale": 4}),
    ("cos", classification.congenerous_cosine, naive_congenerous, {"scale": 7.0}),
):
    CASES[name] = (of_classes(loss), naive, (MATRIX,), {})
    CASES[f"{name} constants"] = (of_classes(loss), naive, (MATRIX,), constants)
for kind in ("squared", "plain", "cosine"):
    constants = {"margin": 0.5, "distance": kind}
    CASES[f"triplet {kind}"] = (triplet, naive_triplet, (), constants)
    constants = {"margin": 0.5, "second_margin": 0.3, "distance": kind}
    CASES[f"quadruplet {kind}"] = (quadruplet, naive_quadruplet, (), constants)


def evaluate(case, values):
    ours, _, _, constants = CASES[case]
    return ours(*values, **constants)


def draw(rng, shapes, count=9):
    """Return embeddings and parameters to be learned."""
    values = [rng.standard_normal((count, 5)) + 0.3]
    values += [np.abs(rng.standard_normal(shape)) + 0.5 for shape in shapes]
    return [torch.tensor(value, requires_grad=True) for value in values]


@pytest.mark.parametrize("case", CASES)
def test_losses_equal_naive_loops_and_their_gradients_finite_differences(case, rng):
    _, naive, shapes, constants = CASES[case]
    for _ in range(2):
        values = draw(rng, shapes)
        arrays = [value.detach().numpy() for value in values]
        expected = naive(*arrays, *constants.values())
        found = evaluate(case, values)
        assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)
        assert expected > 0
    assert torch.autograd.gradcheck(
        lambda *values: evaluate(case, values), draw(rng, shapes), fast_mode=True
    )
    # No rows, and rows that are all equal.
    values = draw(rng, shapes, count=0)
    loss = evaluate(case, values)
    assert loss.item() == 0
    assert not any(slope.any() for slope in torch.autograd.grad(loss, values))
    rows = np.tile([3.0, 0, 0, 4, 0], (len(LABELS), 1))
    arrays = [rows, *(np.ones(shape) for shape in shapes)]
    found = evaluate(case, [torch.from_numpy(np.asarray(array)) for array in arrays])
    expected = naive(*arrays, *constants.values())
    assert found.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite_for_equal_and_opposite_rows(case, dtype):
    rows = torch.ones(len(LABELS), 5, dtype=dtype)
    signs = torch.tensor([1, -1, 1, 1, -1, 1, -1, 1, 1], dtype=dtype)[:, None]
    for embeddings in (rows, rows * signs, rows * 3 * signs.roll(1, 0)):
        values = [embeddings.requires_grad_()]
        for shape in CASES[case][2]:
            parameter = torch.ones(shape, dtype=dtype)
            if shape == MATRIX:
                parameter[1::2] *= -1
            values.append(parameter.requires_grad_())
        loss = evaluate(case, values)
        assert loss.isfinite()
        for gradient in torch.autograd.grad(loss, values):
            assert gradient.dtype == dtype
            assert gradient.isfinite().all()
            assert gradient.abs().max() < 100


def test_the_scale_of_prototypical_losses_is_clamped(rng):
    x, _, shift = draw(rng, (SCALAR, SCALAR))
    labels = torch.from_numpy(LABELS)
    for loss in (prototypical.angular_prototypical, prototypical.ge2e):
        smallest = loss(x, labels, torch.tensor(1e-6), shift)
        assert loss(x, labels, torch.tensor(-3.0), shift) == smallest


def test_the_adaptive_scale_treats_few_classes_as_three():
    assert classification.adaptive_scale(1) == classification.adaptive_scale(2)
    assert classification.adaptive_scale(2) == classification.adaptive_scale(3) > 0.9
    assert classification.adaptive_scale(101) == pytest.approx(sqrt(2) * log(100))


# ---- parts of losses ---------------------------------------------------------------
