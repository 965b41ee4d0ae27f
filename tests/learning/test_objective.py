"""The door to all losses: options, starts, what is called with what."""

from math import log, pi, sqrt
from typing import get_args

import numpy as np
import pytest
import torch

import ssahc
from ssahc.core.errors import UsageError
from ssahc.core.options import list_options
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
def embeddings(rng):
    """Rows around the directions of their classes."""
    rows = 2 * np.eye(4, 6)[LABELS] + rng.standard_normal((len(LABELS), 6))
    return torch.tensor(rows, requires_grad=True)


def generator():
    return np.random.default_rng(11)


def evaluate(what, embeddings, labels=LABELS):
    parameters = what.initial_parameters(embeddings, labels)
    return what.evaluate(embeddings, labels, parameters, generator()), parameters


def drawn(draw, embeddings, sampling="random"):
    return torch.from_numpy(
        draw(embeddings.detach().numpy(), LABELS, sampling, generator())
    )


# ---- what is called ----------------------------------------------------------------


def direct(loss, x, parameters):
    """What each loss is, with the constants of its source."""
    y = torch.tensor(LABELS)
    # The first rows of classes in a drawn order are queries.
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


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_with_the_constants_of_its_source(embeddings, loss):
    found, parameters = evaluate(Objective(loss), embeddings)
    assert found.item() == direct(loss, embeddings, parameters).item()
    gradients = torch.autograd.grad(found, [embeddings, *parameters])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().max() > 0


def test_options_reach_the_losses(embeddings):
    x, y = embeddings, torch.tensor(LABELS)

    def options(**values):
        return LossOptions(**values)

    chosen = options(
        sampling="semi-hard", margin_size=0.6, distance="plain", margin="fixed"
    )
    assert evaluate(Objective("triplet", chosen), x)[0] == pairwise.triplet(
        x, drawn(draw_triplets, x, "semi-hard"), margin=0.6, distance="plain"
    )
    assert evaluate(Objective("quadruplet", chosen), x)[0] == pairwise.quadruplet(
        *(x, drawn(draw_quadruplets, x, "semi-hard")),
        margin=0.6,
        second_margin=0.3,
        distance="plain",
    )
    # Half the distance, half the margin.
    half = Objective("triplet", options(distance="cosine"))
    assert evaluate(half, x)[0].item() == pytest.approx(
        evaluate(Objective("triplet"), x)[0].item() / 2
    )
    pairs, same = map(torch.from_numpy, all_pairs(LABELS))
    found, _ = evaluate(Objective("contrastive", options(margin_size=0.9)), x)
    assert found == pairwise.contrastive(x, pairs, same, margin=0.9)
    for name, loss in (
        ("am-softmax", classification.am_softmax),
        ("aam-softmax", classification.aam_softmax),
    ):
        chosen = Objective(name, options(margin_size=0.1, scale=7))
        found, (weight,) = evaluate(chosen, x)
        assert found == loss(x, y, weight, margin=0.1, scale=7)
    found, (weight,) = evaluate(Objective("congenerous-cosine", options(scale=3)), x)
    assert found == classification.congenerous_cosine(x, y, weight, scale=3)
    found, both = evaluate(Objective("center", options(center_weight=0.2)), x)
    assert found == classification.center(x, y, *both, center_weight=0.2)


def test_ssa_with_sampled_triplets(embeddings):
    found, _ = evaluate(
        Objective("ssa", LossOptions(), 0.7, "sampled", "paper"), embeddings
    )
    triplets = draw_ssa_triplets(LABELS, generator())
    assert found == pairwise.ssa(embeddings, SampledTriplets(triplets, 0.7, "paper"))
    hard = Objective("ssa", LossOptions(sampling="hard"), triplets="sampled")
    triplets = drawn(draw_triplets, embeddings, "hard").numpy()
    found, _ = evaluate(hard, embeddings)
    assert found == pairwise.ssa(embeddings, SampledTriplets(triplets, 0.4))


@pytest.mark.parametrize("kind", ["adaptive", "adaptive-floored"])
@pytest.mark.parametrize("loss", ["triplet", "quadruplet"])
def test_adaptive_margins_are_constants_to_the_gradient(embeddings, loss, kind):
    x = embeddings
    draw = draw_triplets if loss == "triplet" else draw_quadruplets
    indices = drawn(draw, x)
    apart = distances(x, "squared").detach()
    anchor, positive, negative = indices[:, :3].T
    within = apart[anchor, positive].mean().item()
    across = apart[anchor, negative].mean().item()
    for fixed in (0.1, 1.9) if kind == "adaptive-floored" else (None,):
        margin = across - within if fixed is None else max(across - within, fixed)
        assert margin > 0
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


# ---- starts ------------------------------------------------------------------------


def test_class_weights_start_at_mean_directions(embeddings):
    rows = embeddings.detach().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.array([unit[LABELS == k].mean(axis=0) for k in range(4)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for loss in ("am-softmax", "aam-softmax", "congenerous-cosine"):
        (weight,) = Objective(loss).initial_parameters(embeddings, LABELS)
        np.testing.assert_allclose(weight.detach(), means, atol=1e-12)
    # Logits of an embedding of average length are cosines times this.
    scale = sqrt(2) * log(3) / np.linalg.norm(rows, axis=1).mean()
    weight, bias = Objective("softmax").initial_parameters(embeddings, LABELS)
    np.testing.assert_allclose(weight.detach(), means * scale)
    assert bias.tolist() == [0, 0, 0, 0]
    weight, centers = Objective("center").initial_parameters(embeddings, LABELS)
    np.testing.assert_allclose(weight.detach(), means * scale)
    np.testing.assert_allclose(centers.detach(), means, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_starts_are_leaves_of_the_kind_of_the_embeddings(embeddings, loss, dtype):
    x = embeddings.detach().to(dtype).requires_grad_()
    found, parameters = evaluate(Objective(loss), x)
    assert found.dtype == dtype
    for parameter in parameters:
        assert parameter.is_leaf
        assert parameter.requires_grad
        assert parameter.dtype == dtype
    if loss in ("angular-prototypical", "ge2e"):
        assert [parameter.item() for parameter in parameters] == [10, -5]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_learned(embeddings, loss):
    what = Objective(loss)
    parameters = what.initial_parameters(embeddings, LABELS)
    values = []
    for _ in range(40):
        value = what.evaluate(embeddings, LABELS, parameters, generator())
        values.append(value.item())
        learned = [embeddings, *parameters]
        for one, slope in zip(learned, torch.autograd.grad(value, learned)):
            one.data -= 0.5 * slope
    assert values[-1] < 0.9 * values[0]


# ---- where there is nothing to learn -----------------------------------------------


# With these, classes of one row have nothing to say.
NEED_PAIRS = {
    *("ssa", "triplet", "quadruplet"),
    *("prototypical", "angular-prototypical", "ge2e"),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]])
def test_what_objectives_need(loss, labels):
    rows = np.random.default_rng(0).standard_normal((len(labels), 4))
    x = torch.tensor(rows, requires_grad=True)
    labels = np.array(labels)
    what = Objective(loss)
    found, parameters = evaluate(what, x, labels)
    gradients = torch.autograd.grad(
        found, [x, *parameters], allow_unused=True, materialize_grads=True
    )
    assert found.isfinite()
    if loss == "contrastive":  # A distance is a pair's own.
        return
    lacks = len(set(labels.tolist())) < fewest_classes(loss)
    if loss != "center" and (lacks or loss in NEED_PAIRS):
        assert found.item() == 0
        assert all((gradient == 0).all() for gradient in gradients)
    elif loss != "center":
        assert gradients[0].abs().max() > 0


def test_quadruplets_need_three_classes(embeddings):
    assert fewest_classes("quadruplet") == 3
    assert fewest_classes("softmax") == 2
    found, _ = evaluate(Objective("quadruplet"), embeddings, LABELS % 2)
    assert found.item() == 0


# ---- many rows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("triplet", {"sampling": "distance-weighted"}),
        ("triplet", {"sampling": "all"}),
        ("quadruplet", {}),
        ("contrastive", {}),
        ("ssa", {}),
    ],
)
def test_of_many_rows_a_part_is_looked_at(monkeypatch, loss, options):
    monkeypatch.setattr(objective, "_MAX_ROWS", 40)
    monkeypatch.setattr(objective, "_MAX_ROWS_FOR_ALL", 20)
    labels = np.arange(100) % 3
    rows = np.random.default_rng(1).standard_normal((100, 5))
    x = torch.tensor(rows, requires_grad=True)
    what = Objective(loss, LossOptions(**options), triplets="sampled")
    looked = set()
    for seed in range(40):
        found = what.evaluate(x, labels, [], np.random.default_rng(seed))
        gradient = torch.autograd.grad(found, x)[0]
        moved = (gradient != 0).any(dim=1).nonzero()[:, 0].tolist()
        most = 20 if options.get("sampling") == "all" else 40
        assert most / 2 < len(moved) <= most
        looked.update(moved)
    assert looked == set(range(100))


def test_the_expected_loss_looks_at_all_rows(monkeypatch, embeddings):
    before, _ = evaluate(Objective("ssa"), embeddings)
    monkeypatch.setattr(objective, "_MAX_ROWS", 5)
    assert evaluate(Objective("ssa"), embeddings)[0] == before


def test_all_triplets_are_fewer_than_four_million():
    most = objective._MAX_ROWS_FOR_ALL
    labels = np.arange(most) % 2
    sizes = np.bincount(labels)
    assert (sizes * (sizes - 1) * (most - sizes)).sum() < 4e6


# ---- options -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampling": "easy"}, "sampling must be one of all, random"),
        ({"margin": "none"}, "margin must be one of fixed"),
        ({"distance": "angle"}, "distance must be one of"),
        ({"margin_size": -0.1}, "margin-size must be finite and 0 or more"),
        ({"margin_size": float("nan")}, "margin-size must be finite"),
        ({"center_weight": float("inf")}, "center-weight must be finite"),
        ({"scale": 0.0}, "scale must be finite and above 0"),
        ({"margin": "adaptive", "margin_size": 0.3}, "adaptive-floored"),
    ],
)
def test_options_that_are_none(values, message):
    with pytest.raises(UsageError, match=message):
        LossOptions(**values)


@pytest.mark.parametrize(
    ("loss", "values", "message"),
    [
        ("softmax", {"margin": "adaptive"}, "margin adaptive applies to triplet and q"),
        ("triplet", {"scale": 3.0}, "scale 3.0 applies to congenerous-cosine, am-"),
        ("ssa", {"scale": 3.0}, "not to ssa"),
        ("ssa", {"margin_size": 0.3}, "margin-size 0.3 applies to triplet, quad"),
        ("ssa", {"sampling": "hard"}, "needs --triplets sampled"),
        ("quadruplet", {"sampling": "all"}, "use random, semi-hard, hard or dist"),
        ("ge2e", {"sampling": "hard"}, "sampling hard applies to ssa, triplet and qu"),
        ("contrastive", {"distance": "plain"}, "distance plain applies to triplet"),
        ("softmax", {"center_weight": 0.5}, "center-weight 0.5 applies to center, not"),
        (
            "aam-softmax",
            {"margin_size": 28.6},
            "an angle in radians and must be",
        ),
    ],
)
def test_options_that_mean_nothing_to_a_loss(loss, values, message):
    options = LossOptions(**values)
    with pytest.raises(UsageError, match=message):
        check_loss(loss, options)
    with pytest.raises(UsageError, match=message):
        Objective(loss, options)


@pytest.mark.parametrize(
    "values",
    [
        {"gamma": 0.9},
        {"gamma_step": 0.2},
        {"triplets": "sampled"},
        {"triplet_form": "paper"},
    ],
)
def test_options_of_ssa_mean_nothing_to_other_losses(values):
    (name,) = values
    with pytest.raises(
        UsageError, match=f"^--{name.replace('_', '-')} .* applies to ssa"
    ):
        ssahc.make_options(loss="triplet", **values)
    assert ssahc.make_options(loss="ssa", **values)
    # A preset's are displaced.
    displaced = ssahc.make_options("paper-ssa2", loss="triplet").learning
    assert displaced.gamma == ssahc.LearningOptions().gamma


def test_options_that_losses_take():
    for loss in LOSSES:
        check_loss(loss, LossOptions())
    check_loss("ssa", LossOptions(sampling="all"), "sampled")
    check_loss("am-softmax", LossOptions(margin_size=pi))
    check_loss("triplet", LossOptions(margin="adaptive-floored", margin_size=1.0))


def test_all_options_are_described():
    options = list(list_options(LossOptions))
    assert len(options) == 6
    assert all(option.help.endswith(".") for option in options)
