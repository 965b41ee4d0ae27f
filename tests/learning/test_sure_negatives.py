"""SSA's loss with negatives that are known, against a loop over its definition."""

from itertools import combinations

import numpy as np
import pytest

from ssahc.api import diarize_recording, make_options
from ssahc.core.constraints import CannotLink
from ssahc.learning.losses.ssa import ExpectedTriplets
from ssahc.learning.losses.sure_negatives import SureNegatives
from ssahc.pipeline.diarize import diarize_batch

GAMMA = 0.7


def _naive(unit, clusters, pairs, form):
    affinity, count = unit @ unit.T, len(unit)
    different = {frozenset(pair) for pair in pairs.tolist()}

    def repulsion(anchor):
        known = [n for n in range(count) if frozenset((anchor, n)) in different]
        guessed = [n for n in range(count) if clusters[n] != clusters[anchor]]
        return np.mean([affinity[anchor, n] for n in known or guessed])

    losses = [
        1
        - affinity[a, p]
        + GAMMA * (1.0 if form == "authors" else 0.5) * (repulsion(a) + repulsion(p))
        for a, p in combinations(range(count), 2)
        if clusters[a] == clusters[p] and frozenset((a, p)) not in different
    ]
    return np.mean(losses)


def _problem(rng, count, num_pairs):
    unit = rng.standard_normal((count, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    clusters = np.append([0, 1, 0], rng.integers(3, size=count - 3))
    every = np.array(list(combinations(range(count), 2)))
    # Rows 0 and 2 can be linked.
    pairs = rng.permutation(every[(every != [0, 2]).any(axis=1)])[:num_pairs]
    return unit, np.unique(clusters, return_inverse=True)[1], pairs


def _place(array):
    return array


@pytest.mark.parametrize("form", ["authors", "paper"])
def test_losses_and_gradients_equal_a_loop(rng, form):
    problems = [_problem(rng, *sizes) for sizes in ((9, 6), (7, 0), (5, 9))]
    losses = [SureNegatives(c, CannotLink(p), GAMMA, form) for _, c, p in problems]
    assert all(loss.has_pairs() for loss in losses)
    filled = np.zeros((3, 9, 4), np.float32)
    for row, (unit, *_) in zip(filled, problems):
        row[: len(unit)] = unit
    stacked = SureNegatives.stack(losses, 9, _place)
    gradient = stacked.gradient(filled)
    values = stacked.values(filled, gradient)
    step = 1e-4
    for index, (unit, clusters, pairs) in enumerate(problems):
        expected = _naive(unit, clusters, pairs, form)
        assert values[index] == pytest.approx(expected, rel=1e-5)
        slope = np.zeros_like(unit)
        for place in np.ndindex(unit.shape):
            moved = unit.copy()
            moved[place] += step
            above = _naive(moved, clusters, pairs, form)
            moved[place] -= 2 * step
            slope[place] = (above - _naive(moved, clusters, pairs, form)) / (2 * step)
        found = gradient[index]
        # The naive loss has no part of a window with itself, nor has the gradient.
        np.testing.assert_allclose(found[: len(unit)], slope, atol=2e-4)
        assert not found[len(unit) :].any()


def test_without_known_pairs_it_is_the_loss_of_all_negatives(rng):
    unit, clusters, pairs = _problem(rng, 8, 0)
    filled = unit[None].astype(np.float32)
    one = SureNegatives.stack(
        [SureNegatives(clusters, CannotLink(pairs), GAMMA)], 8, _place
    )
    other = ExpectedTriplets.stack([ExpectedTriplets(clusters, GAMMA)], 8, _place)
    values = [loss.values(filled, loss.gradient(filled)) for loss in (one, other)]
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_torch_gives_what_numpy_gives(rng):
    torch = pytest.importorskip("torch")
    problems = [_problem(rng, *sizes) for sizes in ((9, 6), (7, 3))]
    losses = [SureNegatives(c, CannotLink(p), GAMMA) for _, c, p in problems]
    unit = rng.standard_normal((2, 9, 4)).astype(np.float32)
    here = SureNegatives.stack(losses, 9, _place).gradient(unit)
    there = SureNegatives.stack(losses, 9, torch.from_numpy)
    found = there.gradient(torch.from_numpy(unit)).numpy()
    np.testing.assert_allclose(found, here, rtol=1e-4, atol=1e-6)


def test_networks_are_trained_with_them_one_by_one_and_in_batches(corpus):
    recordings = [item.recording for item in corpus["a"].conversations]
    model, first = corpus["b"].model, recordings[0]
    options = make_options(system="ssahc", device="cpu", resegmentation="none")
    pairs = CannotLink(np.array([[0, 1], [0, 5], [3, 9]]))
    known = {first.id: pairs}
    batch = diarize_batch(recordings, model, [options] * 3, known)
    for recording, found in zip(recordings, batch):
        alone = diarize_recording(
            recording, model, options, cannot_link=known.get(recording.id)
        )
        np.testing.assert_array_equal(found.labels, alone.labels)
        assert found.learning[0].learned
    guessed = diarize_recording(first, model, options)
    assert guessed.learning[0].losses != batch[0].learning[0].losses
    # If no pair of a cluster is left, the clusters are taken as they are.
    every = CannotLink(np.column_stack(np.triu_indices(len(first), 1)))
    found = diarize_recording(first, model, options, cannot_link=every)
    np.testing.assert_allclose(
        found.learning[0].losses, guessed.learning[0].losses, rtol=1e-4
    )
