"""Distances, roots and margins that losses are made of."""

import pytest
import torch

from ssahc.learning.losses.distances import distances, normalize_rows, safe_sqrt
from ssahc.learning.losses.margins import choose_margin, second_margin


def test_roots_have_no_gradient_at_0():
    squares = torch.tensor([4.0, 0.0, -1e-9], requires_grad=True)
    roots = safe_sqrt(squares)
    assert roots.tolist() == [2, 0, 0]
    roots.sum().backward()
    assert squares.grad.tolist() == [0.25, 0, 0]


def test_a_triplet_costs_the_same_by_half_the_distance_and_margin(rng):
    x = torch.from_numpy(rng.standard_normal((9, 5)))
    squared, plain, cosines = (
        distances(x, kind) for kind in ("squared", "plain", "cosine")
    )
    torch.testing.assert_close(squared, 2 * cosines)
    torch.testing.assert_close(squared, plain**2)


def test_margins():
    within, across = torch.tensor([0.2, 0.4]), torch.tensor([1.0, 1.6])
    for kind, fixed, expected in (
        ("fixed", 0.8, 0.8),
        ("adaptive", 0.8, 1.0),
        ("adaptive", 1.2, 1.0),
        ("adaptive-floored", 0.8, 1.0),
        ("adaptive-floored", 1.2, 1.2),
    ):
        assert choose_margin(kind, fixed, within, across) == pytest.approx(expected)
    assert choose_margin("adaptive", 0.8, across, within) == pytest.approx(-1.0)
    assert choose_margin("adaptive", 0.8, within[:0], across[:0]) == 0.8
    assert second_margin(0.8) == 0.4


def test_no_gradient_flows_through_a_margin():
    within = torch.tensor([0.2, 0.4], requires_grad=True)
    margin = choose_margin("adaptive", 0.8, within, 3 * within)
    assert type(margin) is float


def test_a_row_of_length_0_has_no_direction_and_no_gradient():
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit = normalize_rows(rows)
    assert unit.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    unit.sum().backward()
    assert rows.grad[1].tolist() == [0, 0]
    assert rows.grad.isfinite().all()
