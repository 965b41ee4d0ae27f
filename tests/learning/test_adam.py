"""Adam for torch's tensors."""

import numpy as np
import torch

from ssahc.learning.adam import Adam


def test_steps_are_those_of_the_paper():
    """Algorithm 1 of Kingma and Ba (2015); some steps have no second gradient."""
    parameters = [torch.linspace(-1, 1, 5), torch.ones(2, 3)]
    expected = [parameter.numpy().astype(float) for parameter in parameters]
    first, second, steps = ([0.0, 0.0] for _ in range(3))
    adam = Adam(parameters)
    for step in range(9):
        for number, parameter in enumerate(parameters):
            parameter.grad = None
            if number > step % 3:
                continue
            gradient = 4 * (expected[number] - 0.3) ** 3
            parameter.grad = torch.as_tensor(gradient, dtype=torch.float32)
            steps[number] += 1
            first[number] = 0.9 * first[number] + 0.1 * gradient
            second[number] = 0.999 * second[number] + 0.001 * gradient**2
            mean = first[number] / (1 - 0.9 ** steps[number])
            square = second[number] / (1 - 0.999 ** steps[number])
            expected[number] -= 0.01 * mean / (np.sqrt(square) + 1e-8)
        adam.step(0.01)
    for parameter, values in zip(parameters, expected):
        np.testing.assert_allclose(parameter.numpy(), values, rtol=1e-5)
