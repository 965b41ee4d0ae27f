"""The embedding network, against its formula."""

from math import sqrt

import numpy as np
import pytest
import torch

from ssahc.backend.embedding_net import (
    apply_embedding_net,
    as_embedding_net,
    run_network,
    weights_of,
)
from ssahc.core.errors import DataError
from ssahc.core.types import EmbeddingNet


def draw_net(rng, hidden, columns):
    return EmbeddingNet(
        rng.standard_normal((5, 5 + columns)),
        tuple(
            (rng.standard_normal((7, 6)), rng.standard_normal((5, 7)))
            for _ in range(hidden)
        ),
        rng.standard_normal((3, 5)),
    )


def naive(vector, net):
    """The formula of `EmbeddingNet`, number by number."""

    def affine(weights, values):
        rows = []
        for row in weights.tolist():
            offset = row[len(values)] if len(row) > len(values) else 0.0
            rows.append(offset + sum(w * v for w, v in zip(row, values)))
        return rows

    u = affine(net.whitening, vector)
    length = sqrt(sum(value * value for value in u))
    h = [sqrt(len(u)) * value / length for value in u]
    for inner, outer in net.hidden:
        units = [max(0.0, value) for value in affine(inner, h)]
        h = [a + b for a, b in zip(h, affine(outer, units))]
    return affine(net.projection, h)


@pytest.mark.parametrize("columns", [0, 1])
@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_network_equals_a_naive_loop_in_numpy_and_torch(rng, hidden, columns):
    net, rows = draw_net(rng, hidden, columns), rng.standard_normal((9, 5))
    ours = apply_embedding_net(rows, net)
    np.testing.assert_allclose(ours, [naive(row, net) for row in rows.tolist()])
    weights = weights_of(net)
    on_torch = run_network(torch.from_numpy(rows), [*map(torch.from_numpy, weights)])
    np.testing.assert_allclose(on_torch.numpy(), ours, rtol=1e-12)
    again = as_embedding_net(weights)
    assert len(again.hidden) == hidden
    assert all(a is b for a, b in zip(weights_of(again), weights, strict=True))


def test_zero_rows_give_zeros_and_finite_gradients(rng):
    rows = torch.from_numpy(rng.standard_normal((3, 5)))
    rows[1] = 0
    weights = [
        torch.from_numpy(weight).requires_grad_()
        for weight in weights_of(draw_net(rng, 0, 0))
    ]
    output = run_network(rows, weights)
    assert (output[1] == 0).all()
    gradients = torch.autograd.grad(output.square().sum(), weights)
    assert all(slope.isfinite().all() and slope.any() for slope in gradients)


def test_other_dimensions_are_rejected(rng):
    with pytest.raises(DataError, match="4 dimensions, the embedding network has 5"):
        apply_embedding_net(rng.standard_normal((2, 4)), draw_net(rng, 0, 0))
