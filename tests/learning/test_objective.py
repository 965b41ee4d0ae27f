"""Losses by name: what is called, initial parameters, options, many rows."""

from math import log, nan, pi, sqrt
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
    MetricOptions,
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


CHOSEN = {"sampling": "semi-hard", "margin_size": 0.6, "distance": "plain"}
PLAIN = {"margin": 0.6, "distance": "plain"}
SCALE = {"scale": 3}
SCALED = {"margin_size": 0.1, "scale": 7}
# Name, options, function, and its constants: those of the paper or of the options.
CALLS = [
    ("ssa", {}, pairwise.ssa, {}),
    ("triplet", {}, pairwise.triplet, {}),
    ("triplet", CHOSEN, pairwise.triplet, PLAIN),
    ("quadruplet", {}, pairwise.quadruplet, {}),
    ("quadruplet", CHOSEN, pairwise.quadruplet, PLAIN | {"second_margin": 0.3}),
    ("contrastive", {}, pairwise.contrastive, {}),
    ("contrastive", {"margin_size": 0.9}, pairwise.contrastive, {"margin": 0.9}),
    ("center", {}, classification.center, {}),
    ("center", {"center_weight": 0.2}, classification.center, {"center_weight": 0.2}),
    ("congenerous-cosine", {}, classification.congenerous_cosine, {}),
    ("congenerous-cosine", SCALE, classification.congenerous_cosine, SCALE),
    ("softmax", {}, classification.softmax, {}),
    ("am-softmax", {}, classification.am_softmax, {"margin": 0.3, "scale": 30}),
    ("am-softmax", SCALED, classification.am_softmax, {"margin": 0.1, "scale": 7}),
    ("aam-softmax", {}, classification.aam_softmax, {"margin": 0.3, "scale": 15}),
    ("aam-softmax", SCALED, classification.aam_softmax, {"margin": 0.1, "scale": 7}),
    ("prototypical", {}, prototypical.prototypical, {}),
    ("angular-prototypical", {}, prototypical.angular_prototypical, {}),
    ("ge2e", {}, prototypical.ge2e, {}),
]


def arguments(loss, options, x):
    """What the function of a loss takes before its parameters."""
    y, sampling = torch.tensor(LABELS), options.get("sampling", "random")
    match loss:
        case "ssa":
            return x, ExpectedTriplets(LABELS, 0.4, "authors")
        case "triplet":
            return x, drawn(draw_triplets, x, sampling)
        case "quadruplet":
            return x, drawn(draw_quadruplets, x, sampling)
        case "contrastive":
            return x, *map(torch.from_numpy, all_pairs(LABELS))
        case "prototypical" | "angular-prototypical":
            # The first rows of classes, in a random order, are queries.
            order = torch.from_numpy(generator().permutation(len(LABELS)))
            return x[order], y[order]
    return x, y


@pytest.mark.parametrize(("loss", "options", "function", "constants"), CALLS)
def test_losses_by_name_use_constants_of_papers_and_options(
    x, loss, options, function, constants
):
    assert {name for name, *_ in CALLS} == set(LOSSES)
    for dtype in (torch.float32, torch.float64):
        rows = x.detach().to(dtype).requires_grad_()
        found, parameters = evaluate(Objective(loss, LossOptions(**options)), rows)
        expected = function(*arguments(loss, options, rows), *parameters, **constants)
        assert found.dtype == dtype
        assert found.item() == expected.item()
        assert all(one.is_leaf and one.dtype == dtype for one in parameters)
        gradients = torch.autograd.grad(found, [rows, *parameters])
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert gradients[0].abs().max() > 0


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


def test_invalid_options_are_rejected():
    for values, message in (
        ({"sampling": "easy"}, "sampling must be one of all, random"),
        ({"scale": 0.0}, "scale"),
        ({"margin": "adaptive", "margin_size": 0.3}, "adaptive-floored"),
    ):
        with pytest.raises(UsageError, match=message):
            LossOptions(**values)


def test_options_that_a_loss_does_not_use_are_rejected():
    for loss, values, message in (
        ("softmax", {"margin": "adaptive"}, "margin adaptive applies to triplet and q"),
        ("ssa", {"margin_size": 0.3}, "margin-size 0.3 applies to triplet, quad"),
        ("ssa", {"sampling": "hard"}, "needs --triplets sampled"),
        ("quadruplet", {"sampling": "all"}, "use random, semi-hard, hard or dist"),
        ("softmax", {"center_weight": 0.5}, "center-weight 0.5 applies to center, not"),
        ("aam-softmax", {"margin_size": 28.6}, "an angle in radians and must be"),
    ):
        with pytest.raises(UsageError, match=message):
            Objective(loss, LossOptions(**values))
    for loss in LOSSES:
        check_loss(loss, LossOptions())
    check_loss("ssa", LossOptions(sampling="all"), "sampled")
    check_loss("am-softmax", LossOptions(margin_size=pi))


def test_options_of_ssa_are_rejected_for_other_losses():
    chosen = {"gamma": 0.9, "gamma_step": 0.2, "triplets": "sampled"}
    for name, value in (chosen | {"triplet_form": "paper"}).items():
        flag = name.replace("_", "-")
        with pytest.raises(UsageError, match=f"^--{flag} .* applies to ssa"):
            ssahc.make_options(loss="triplet", **{name: value})
        assert ssahc.make_options(loss="ssa", **{name: value})
    # Those of a preset are displaced.
    displaced = ssahc.make_options("paper-ssa2", loss="triplet").learning
    assert displaced.gamma == ssahc.LearningOptions().gamma


def test_invalid_options_of_metrics_are_rejected():
    hard = LossOptions(sampling="hard")
    for values, message in (
        ({"loss": "arcface"}, "loss must be one of ssa, triplet"),
        ({"lr": nan}, "lr"),
        ({"gamma": 0.9}, "gamma 0.9 applies to ssa, not to aam-softmax"),
        ({"validation_share": 0.6}, "validation-share"),
        ({"loss": "quadruplet", "speakers_per_batch": 2}, "3 or more, found 2"),
        ({"objective": LossOptions(distance="plain")}, "not to aam-softmax"),
        ({"loss": "ssa", "objective": hard}, "sampled"),
    ):
        with pytest.raises(UsageError, match=message):
            MetricOptions(**values)
