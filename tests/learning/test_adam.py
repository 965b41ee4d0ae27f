"""Adam, against torch's own."""

import torch

from ssahc.learning.adam import Adam


def test_steps_equal_those_of_torch_bit_for_bit():
    torch.manual_seed(0)
    ours = [torch.randn(7, 5), torch.tensor(10.0)]
    theirs = [one.clone().requires_grad_() for one in ours]
    adam, other = Adam(ours), torch.optim.Adam(theirs, lr=1e-2)
    for _ in range(30):
        for one in theirs:
            one.grad = torch.randn_like(one)
        adam.step([one.grad for one in theirs], 1e-2)
        other.step()
        for one, two in zip(ours, theirs, strict=True):
            assert torch.equal(one, two)
