"""Permutation-invariant losses against a loop over all permutations."""

from itertools import permutations

import numpy as np
import pytest
import torch

from ssahc.frontend.segmentation.powerset import speaker_sets, to_powerset
from ssahc.learning.segmentation.losses import (
    clustering_loss,
    multilabel_loss,
    powerset_loss,
)

SIZES = [(1, 1), (2, 1), (3, 2), (4, 3)]


@pytest.mark.parametrize(("speakers", "at_once"), SIZES)
def test_cross_entropy_of_sets_is_that_of_the_best_permutation(speakers, at_once, rng):
    sets = speaker_sets(speakers, at_once)
    scores = rng.standard_normal((3, 11, len(sets)))
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    active = rng.random((3, 11, speakers)) < 0.5
    expected = np.mean(
        [
            min(
                -np.mean(
                    [
                        own[frame, to_powerset(truth[frame, list(order)], sets)]
                        for frame in range(11)
                    ]
                )
                for order in permutations(range(speakers))
            )
            # Of more at once, the sets have the first ones, whoever these are then.
            for own, truth in zip(log_probabilities, _within(active, sets))
        ]
    )
    classes = torch.from_numpy(to_powerset(active, sets))
    loss = powerset_loss(torch.from_numpy(log_probabilities), classes, sets)
    assert float(loss) == pytest.approx(expected)


def _within(active, sets):
    return sets[to_powerset(active, sets)]


@pytest.mark.parametrize("speakers", [1, 2, 3, 4])
def test_binary_cross_entropy_is_that_of_the_best_permutation(speakers, rng):
    logits = rng.standard_normal((3, 11, speakers))
    active = rng.random((3, 11, speakers)) < 0.5
    probabilities = 1 / (1 + np.exp(-logits))
    expected = np.mean(
        [
            min(
                -np.log(np.where(truth[:, list(order)], own, 1 - own)).mean()
                for order in permutations(range(speakers))
            )
            for own, truth in zip(probabilities, active)
        ]
    )
    loss = multilabel_loss(torch.from_numpy(logits), torch.from_numpy(active))
    assert float(loss) == pytest.approx(expected)


def test_frames_of_one_class_are_to_have_one_direction(rng):
    vectors = rng.standard_normal((2, 9, 4))
    classes = rng.integers(0, 3, (2, 9))
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    expected = np.mean(
        (unit @ unit.swapaxes(1, 2) - (classes[:, :, None] == classes[:, None])) ** 2
    )
    loss = clustering_loss(torch.from_numpy(vectors), torch.from_numpy(classes), 3)
    assert float(loss) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_are_finite_also_of_silence(scale):
    sets = speaker_sets(3, 2)
    scores = (scale * torch.randn(2, 5, 7)).requires_grad_()
    logits = (scale * torch.randn(2, 5, 3)).requires_grad_()
    silent = torch.zeros(2, 5, 3, dtype=torch.bool)
    powerset_loss(scores.log_softmax(-1), torch.zeros(2, 5, dtype=int), sets).backward()
    multilabel_loss(logits, silent).backward()
    vectors = (scale * torch.randn(2, 5, 4)).requires_grad_()
    clustering_loss(vectors, torch.zeros(2, 5, dtype=int), 7).backward()
    for inputs in (scores, logits, vectors):
        assert torch.isfinite(inputs.grad).all()
