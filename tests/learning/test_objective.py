"""Losses by name: what is called, initial parameters, options, many rows."""

from math import log, pi, sqrt
from typing import get_args

import numpy as np
import pytest
import torch

import ssahc
from ssahc.core.errors import UsageError
from ssahc.learning.losses import classification, objective, pairwise, prototypical
from ssahc.learning.losses.distances import distances
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import (
    LossName,
    LossOptions,
    check_loss,
    fewest_classes,
)
from ssahc.learning.losses.ssa import ExpectedTriplets, SampledTriplets
from ssahc.learning.mining import (
    all_pairs,
    draw_quadruplets,
    draw_ssa_triplets,
    draw_triplets,
)

LOSSES = get_args(LossName)
LABELS = np.array([0, 1, 0, 2, 1, 1, 0, 3, 2, 2, 3, 0])
LABELS.setflags(write=False)


@pytest.fixture
def x(rng):
    """Embeddings around the directions of their classes."""
    rows = 2 * np.eye(4, 6)[LABELS] + rng.standard_normal((len(LABELS), 6))
    return torch.tensor(rows, requires_grad=True)


def generator():
    return np.random.default_rng(11)


def evaluate(what, embeddings, labels=LABELS):
    parameters = what.initial_parameters(embeddings, labels)
    return what.evaluate(embeddings, labels, parameters, generator()), parameters


def drawn(draw, embeddings, sampling="random"):
    rows = embeddings.detach().numpy()
    return torch.from_numpy(draw(rows, LABELS, sampling, generator()))


# ---- what is called ----------------------------------------------------------------


def direct(loss, x, parameters):
    """Every loss with the constants of its paper."""
    y = torch.tensor(LABELS)
    # The first rows of classes, in a random order, are queries.
    order = torch.from_numpy(generator().permutation(len(LABELS)))
    match loss:
        case "ssa":
            return pairwise.ssa(x, ExpectedTriplets(LABELS, 0.4, "authors"))
        case "triplet":
            return pairwise.triplet(x, drawn(draw_triplets, x))
        case "quadruplet":
            return pairwise.quadruplet(x, drawn(draw_quadruplets, x))
        case "contrastive":
            return pairwise.contrastive(x, *map(torch.from_numpy, all_pairs(LABELS)))
        case "center":
            return classification.center(x, y, *parameters)
        case "congenerous-cosine":
            return classification.congenerous_cosine(x, y, *parameters)
        case "softmax":
            return classification.softmax(x, y, *parameters)
        case "am-softmax":
            return classification.am_softmax(x, y, *parameters, margin=0.3, scale=30)
        case "aam-softmax":
            return classification.aam_softmax(x, y, *parameters, margin=0.3, scale=15)
        case "prototypical":
            return prototypical.prototypical(x[order], y[order])
        case "angular-prototypical":
            return prototypical.angular_prototypical(x[order], y[order], *parameters)
        case "ge2e":
            return prototypical.ge2e(x, y, *parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_by_name_have_the_constants_of_their_papers(x, loss, dtype):
    x = x.detach().to(dtype).requires_grad_()
    found, parameters = evaluate(Objective(loss), x)
    assert found.dtype == dtype
    assert found.item() == direct(loss, x, parameters).item()
    assert all(one.is_leaf and one.dtype == dtype for one in parameters)
    gradients = torch.autograd.grad(found, [x, *parameters])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().max() > 0


def test_options_reach_the_losses(x):
    y, pairs = torch.tensor(LABELS), [*map(torch.from_numpy, all_pairs(LABELS))]

    def by_name(loss, **values):
        return evaluate(Objective(loss, LossOptions(**values)), x)

    chosen = {"sampling": "semi-hard", "margin_size": 0.6, "distance": "plain"}
    assert by_name("triplet", **chosen)[0] == pairwise.triplet(
        x, drawn(draw_triplets, x, "semi-hard"), margin=0.6, distance="plain"
    )
    assert by_name("quadruplet", **chosen)[0] == pairwise.quadruplet(
        x,
        drawn(draw_quadruplets, x, "semi-hard"),
        margin=0.6,
        second_margin=0.3,
        distance="plain",
    )
    # Half the distance, half the margin.
    half = by_name("triplet", distance="cosine")[0].item()
    assert half == pytest.approx(by_name("triplet")[0].item() / 2)
    found, _ = by_name("contrastive", margin_size=0.9)
    assert found == pairwise.contrastive(x, *pairs, margin=0.9)
    for name, loss in (
        ("am-softmax", classification.am_softmax),
        ("aam-softmax", classification.aam_softmax),
    ):
        found, (weight,) = by_name(name, margin_size=0.1, scale=7)
        assert found == loss(x, y, weight, margin=0.1, scale=7)
    found, (weight,) = by_name("congenerous-cosine", scale=3)
    assert found == classification.congenerous_cosine(x, y, weight, scale=3)
    found, both = by_name("center", center_weight=0.2)
    assert found == classification.center(x, y, *both, center_weight=0.2)


def test_ssa_over_sampled_triplets(x):
    found, _ = evaluate(Objective("ssa", LossOptions(), 0.7, "sampled", "paper"), x)
    triplets = draw_ssa_triplets(LABELS, generator())
    assert found == pairwise.ssa(x, SampledTriplets(triplets, 0.7, "paper"))
    hard = Objective("ssa", LossOptions(sampling="hard"), triplets="sampled")
    triplets = drawn(draw_triplets, x, "hard").numpy()
    found, _ = evaluate(hard, x)
    assert found == pairwise.ssa(x, SampledTriplets(triplets, 0.4))


@pytest.mark.parametrize("kind", ["adaptive", "adaptive-floored"])
@pytest.mark.parametrize("loss", ["triplet", "quadruplet"])
def test_adaptive_margins_are_constants_to_the_gradient(x, loss, kind):
    draw = draw_triplets if loss == "triplet" else draw_quadruplets
    indices = drawn(draw, x)
    apart = distances(x, "squared").detach()
    anchor, positive, negative = indices[:, :3].T
    adaptive = apart[anchor, negative].mean() - apart[anchor, positive].mean()
    for fixed in (0.1, 1.9) if kind == "adaptive-floored" else (None,):
        margin = max(adaptive.item(), fixed or 0)
        if loss == "triplet":
            expected = pairwise.triplet(x, indices, margin=margin)
        else:
            expected = pairwise.quadruplet(
                x, indices, margin=margin, second_margin=margin / 2
            )
        chosen = Objective(loss, LossOptions(margin=kind, margin_size=fixed))
        found, _ = evaluate(chosen, x)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found, x), torch.autograd.grad(expected, x)
        )


# ---- initial parameters ------------------------------------------------------------


def test_class_weights_start_at_mean_directions(x):
    rows = x.detach().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.array([unit[LABELS == k].mean(axis=0) for k in range(4)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    # Logits of an embedding of average length are cosines times this.
    scale = sqrt(2) * log(3) / np.linalg.norm(rows, axis=1).mean()
    for loss, expected in {
        "am-softmax": [means],
        "aam-softmax": [means],
        "congenerous-cosine": [means],
        "softmax": [means * scale, np.zeros(4)],
        "center": [means * scale, means],
        "angular-prototypical": [10, -5],
        "ge2e": [10, -5],
        "triplet": [],
    }.items():
        found = Objective(loss).initial_parameters(x, LABELS)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.requires_grad
            np.testing.assert_allclose(ours.detach(), theirs, atol=1e-12)


# ---- too few classes ---------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]])
def test_losses_of_too_few_classes_or_rows_are_0(loss, labels):
    rows = np.random.default_rng(0).standard_normal((len(labels), 4))
    x, labels = torch.tensor(rows, requires_grad=True), np.array(labels)
    found, parameters = evaluate(Objective(loss), x, labels)
    gradients = torch.autograd.grad(
        found, [x, *parameters], allow_unused=True, materialize_grads=True
    )
    assert found.isfinite()
    # A contrastive pair needs no third row, and a center not even a second class.
    if loss in ("contrastive", "center"):
        return
    lacks = len(set(labels.tolist())) < fewest_classes(loss)
    needs_pairs = "softmax" not in loss and loss != "congenerous-cosine"
    assert (found.item() == 0) == (lacks or needs_pairs)
    has_no_gradient = all((gradient == 0).all() for gradient in gradients)
    assert has_no_gradient == (lacks or needs_pairs)


def test_quadruplets_need_three_classes(x):
    assert evaluate(Objective("quadruplet"), x, LABELS % 2)[0].item() == 0


# ---- many rows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "sampling"),
    [
        ("triplet", "distance-weighted"),
        ("triplet", "all"),
        ("quadruplet", "random"),
        ("contrastive", "random"),
        ("ssa", "random"),
    ],
)
def test_tuples_of_many_rows_are_taken_over_a_random_part(monkeypatch, loss, sampling):
    monkeypatch.setattr(objective, "_MAX_ROWS", 40)
    monkeypatch.setattr(objective, "_MAX_ROWS_FOR_ALL", 20)
    labels = np.arange(100) % 3
    rows = np.random.default_rng(1).standard_normal((100, 5))
    x = torch.tensor(rows, requires_grad=True)
    what = Objective(loss, LossOptions(sampling=sampling), triplets="sampled")
    used = set()
    for seed in range(40):
        found = what.evaluate(x, labels, [], np.random.default_rng(seed))
        gradient = torch.autograd.grad(found, x)[0]
        moved = (gradient != 0).any(dim=1).nonzero()[:, 0].tolist()
        most = 20 if sampling == "all" else 40
        assert most / 2 < len(moved) <= most
        used.update(moved)
    assert used == set(range(100))
    # SSA's expected loss uses all rows.
    expected = Objective("ssa").evaluate(x, labels, [], None)
    assert (torch.autograd.grad(expected, x)[0] != 0).any(dim=1).all()


# ---- options -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampling": "easy"}, "sampling must be one of all, random"),
        ({"scale": 0.0}, "scale"),
        ({"margin": "adaptive", "margin_size": 0.3}, "adaptive-floored"),
    ],
)
def test_invalid_options_are_rejected(values, message):
    with pytest.raises(UsageError, match=message):
        LossOptions(**values)


@pytest.mark.parametrize(
    ("loss", "values", "message"),
    [
        ("softmax", {"margin": "adaptive"}, "margin adaptive applies to triplet and q"),
        ("ssa", {"margin_size": 0.3}, "margin-size 0.3 applies to triplet, quad"),
        ("ssa", {"sampling": "hard"}, "needs --triplets sampled"),
        ("quadruplet", {"sampling": "all"}, "use random, semi-hard, hard or dist"),
        ("softmax", {"center_weight": 0.5}, "center-weight 0.5 applies to center, not"),
        ("aam-softmax", {"margin_size": 28.6}, "an angle in radians and must be"),
    ],
)
def test_options_that_a_loss_does_not_use_are_rejected(loss, values, message):
    with pytest.raises(UsageError, match=message):
        Objective(loss, LossOptions(**values))


def test_options_that_a_loss_uses_are_accepted():
    for loss in LOSSES:
        check_loss(loss, LossOptions())
    check_loss("ssa", LossOptions(sampling="all"), "sampled")
    check_loss("am-softmax", LossOptions(margin_size=pi))


def test_options_of_ssa_are_rejected_for_other_losses():
    for name, value in (
        ("gamma", 0.9),
        ("gamma_step", 0.2),
        ("triplets", "sampled"),
        ("triplet_form", "paper"),
    ):
        flag = name.replace("_", "-")
        with pytest.raises(UsageError, match=f"^--{flag} .* applies to ssa"):
            ssahc.make_options(loss="triplet", **{name: value})
        assert ssahc.make_options(loss="ssa", **{name: value})
    # Those of a preset are displaced.
    displaced = ssahc.make_options("paper-ssa2", loss="triplet").learning
    assert displaced.gamma == ssahc.LearningOptions().gamma
