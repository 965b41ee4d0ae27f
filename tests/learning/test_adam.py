"""Adam and AdamW, next to the formulas of their papers."""

import numpy as np
import pytest
import torch

from ssahc.learning.adam import Adam


def descend(start, gradients, rates, weight_decay):
    """Algorithm 1 of Kingma & Ba; Algorithm 2 of Loshchilov & Hutter."""
    weights, mean, square = start.copy(), 0.0, 0.0
    for step, (gradient, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        decayed = weights * (1 - lr * weight_decay)
        weights = decayed - lr * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return weights


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_are_those_of_the_papers(rng, weight_decay):
    start, other = rng.standard_normal((3, 2)), rng.standard_normal(4)
    gradients = rng.standard_normal((5, 3, 2))
    rates = [0.1, 0.1, 0.05, 0.02, 0.01]
    tensors = [torch.tensor(array, requires_grad=True) for array in (start, other)]
    adam = Adam(tensors, weight_decay)
    for gradient, lr in zip(gradients, rates, strict=True):
        adam.zero_grad()
        assert tensors[0].grad is None
        tensors[0].grad = torch.tensor(gradient)
        adam.step(lr)
    found, untouched = (tensor.detach().numpy() for tensor in tensors)
    expected = descend(start, gradients, rates, weight_decay)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert list(adam.moments) == [0]
    np.testing.assert_array_equal(untouched, other)
