"""Losses, the network and its training, against torch's autograd and Adam."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_alone import learn_alone
from torch.nn.functional import normalize

from ssahc.api import make_options
from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.preprocess import center, recording_pca, whiten_and_normalize
from ssahc.clustering.ahc import average_linkage
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import UsageError
from ssahc.learning.adam import Adam
from ssahc.learning.losses import pairwise
from ssahc.learning.losses.ssa import ExpectedTriplets, SampledTriplets
from ssahc.learning.mining import draw_ssa_triplets
from ssahc.learning.optimizer import Learner, TrainingJob, train_networks
from ssahc.runtime.device import has_gpu

FORMS = ["authors", "paper"]


def naive_loss(unit, triplets, gamma, form):
    """Eq. 3 (paper) or the authors' code, one triplet after the other."""
    total = 0.0
    for a, p, n in triplets:
        repulsion = unit[a] @ unit[n]
        if form == "authors":
            repulsion = repulsion + unit[p] @ unit[n]
        total = total + 1 - unit[a] @ unit[p] + gamma * repulsion
    return total / len(triplets)


def all_triplets(labels):
    """Every ordered pair with every negative, and a weight: each pair counts once."""
    count = len(labels)
    for a, p in np.ndindex(count, count):
        if a != p and labels[a] == labels[p]:
            negatives = np.flatnonzero(labels != labels[a])
            for n in negatives:
                yield a, p, n, 1 / len(negatives)


@pytest.fixture
def unit(rng):
    rows = rng.standard_normal((9, 4))
    return torch.tensor(rows / np.linalg.norm(rows, axis=1, keepdims=True))


LABELS = np.array([0, 1, 0, 2, 1, 1, 0, 3, 1])


def look_at(loss, unit):
    """Return the value and the gradient of a loss at embeddings."""
    stacked = type(loss).stack([loss], len(unit), np.asarray)
    gradient = stacked.gradient(unit[None])
    return stacked.values(unit[None], gradient)[0], gradient[0]


def assert_as_in_torch(unit, loss):
    """The loss in torch, of rows of any length, has the same value and gradient."""
    value, ours = look_at(loss, unit.numpy())
    longer = (3 * unit).requires_grad_()
    found = pairwise.ssa(longer, loss)
    assert found.item() == pytest.approx(value, abs=1e-6)
    slope = 3 * torch.autograd.grad(found, longer)[0]
    np.testing.assert_allclose(slope, turning(ours, unit.numpy()), atol=1e-6)


def turning(gradient, rows):
    """Return the gradient without what would change lengths, which stay 1."""
    return gradient - (gradient * rows).sum(1, keepdims=True) * rows


@pytest.mark.parametrize("form", FORMS)
def test_sampled_loss_and_gradient_equal_a_naive_loop(unit, rng, form):
    triplets = draw_ssa_triplets(LABELS, rng)
    loss = SampledTriplets(triplets, 0.4, form)
    assert_as_in_torch(unit.clone(), loss)
    unit.requires_grad_()
    slow = naive_loss(unit, triplets.tolist(), 0.4, form)
    theirs = torch.autograd.grad(slow, unit)[0]
    value, ours = look_at(loss, unit.detach().numpy())
    assert value == pytest.approx(slow.item())
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_expected_loss_and_gradient_are_the_expectation(unit, rng, form):
    total, pairs = 0.0, 0.0
    loss = ExpectedTriplets(LABELS, 0.4, form)
    assert_as_in_torch(unit.clone(), loss)
    unit.requires_grad_()
    for a, p, n, weight in all_triplets(LABELS):
        total = total + weight * naive_loss(unit, [(a, p, n)], 0.4, form)
        pairs += weight
    theirs = torch.autograd.grad(total / pairs, unit)[0].numpy()
    rows = unit.detach().numpy()
    value, ours = look_at(loss, rows)
    assert value == pytest.approx((total / pairs).item())
    np.testing.assert_allclose(turning(ours, rows), turning(theirs, rows), atol=1e-6)
    if form == "authors":
        # It is the mean of sampled ones.
        sampled = [
            look_at(SampledTriplets(draw_ssa_triplets(LABELS, rng), 0.4), rows)[0]
            for _ in range(500)
        ]
        assert np.mean(sampled) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("labels", [[0, 1], [2, 2, 0, 2, 1, 0, 2], LABELS])
def test_triplets_are_all_pairs_with_a_foreign_negative(rng, labels):
    labels = np.array(labels)
    triplets = draw_ssa_triplets(labels, rng)
    pairs = np.argwhere(np.triu(labels[:, None] == labels, 1)).tolist()
    assert sorted(triplets[:, :2].tolist()) == pairs
    assert (labels[triplets[:, 0]] != labels[triplets[:, 2]]).all()


class Oracle:
    """The network in torch, trained by its autograd and its Adam."""

    def __init__(self, inputs, whitening, projection, lr):
        dim = inputs.shape[1]
        self.inputs = as_float32(inputs)
        self.offset = as_float32(whitening[:, dim:]).sum(1)
        self.weights = [as_float32(whitening[:, :dim]), as_float32(projection)]
        for weight in self.weights:
            weight.requires_grad_()
        self.adam, self.lr = Adam(self.weights), lr

    def embed(self):
        mapped = self.inputs @ self.weights[0].T + self.offset
        return normalize(normalize(mapped) @ self.weights[1].T)

    def train(self, triplets, gamma, steps):
        """Take steps on weighted triplets; return losses before each and at the end."""
        anchor, positive, negative = torch.tensor([t[:3] for t in triplets]).T
        weight = torch.tensor([t[3] for t in triplets])
        losses = []
        for step in range(steps + 1):
            unit = self.embed()
            attraction = (unit[anchor] * unit[positive]).sum(1)
            repulsion = ((unit[anchor] + unit[positive]) * unit[negative]).sum(1)
            loss = (weight * (1 - attraction + gamma * repulsion)).sum() / weight.sum()
            losses.append(loss.item())
            if step < steps:
                self.adam.zero_grad()
                loss.backward()
                self.adam.step(self.lr)
        return losses


def as_float32(array):
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)


def train(learner, labels, gamma=0.4, lr=1e-2, eta=0.0, max_steps=4):
    loss = ExpectedTriplets(labels, gamma)
    (training,) = train_networks([TrainingJob(learner, loss, lr, eta, max_steps)])
    return training


def make_learner(rng, columns=0):
    """Return a learner with what the oracle is made of, and labels."""
    shapes = (15, 6), (6, 6 + columns), (3, 6)
    parts = [rng.standard_normal(shape) for shape in shapes]
    return Learner.at_start(*parts), parts, rng.integers(3, size=15)


@pytest.mark.parametrize("columns", [0, 1])
def test_training_is_that_of_torch(rng, columns):
    learner, parts, labels = make_learner(rng, columns=columns)
    # What was done before memory gave out may be done again.
    assert train(learner, labels).losses == train(learner, labels).losses
    oracle = Oracle(*parts, lr=1e-2)
    triplets = list(all_triplets(labels))
    # Twice, so that the optimiser's state is seen to be kept.
    for steps in (4, 3):
        training = train(learner, labels, max_steps=steps)
        learner = training.learner
        losses = oracle.train(triplets, 0.4, steps)
        assert training.losses == pytest.approx(losses, abs=1e-5)
        assert (training.stopped, learner.steps) in (("max_steps", 4), ("max_steps", 7))
        embedded = oracle.embed().detach().numpy()
        np.testing.assert_allclose(training.embeddings, embedded, atol=1e-4)


def test_training_stops_below_eta_before_the_step(rng):
    learner, _, labels = make_learner(rng)
    training = train(learner, labels, lr=0.1, eta=0.7, max_steps=50)
    assert training.stopped == "eta"
    assert training.losses[-1] < 0.7 * training.losses[0] <= training.losses[-2]
    # The embeddings are those of the last loss: no step follows it.
    after = train(training.learner, labels, max_steps=0)
    assert after.losses == training.losses[-1:]


def test_a_loss_that_starts_below_zero_has_no_ratio():
    # Two clear speakers on opposite sides, whose negatives weigh much.
    inputs = np.repeat([[1.0, 0.1], [-1.0, 0.1]], 4, axis=0)
    inputs[0] = [1.0, 0.9]
    learner = Learner.at_start(inputs, np.eye(2), np.eye(2))
    labels = np.repeat([0, 1], 4)
    training = train(learner, labels, gamma=3.0, eta=0.5, max_steps=3)
    assert (training.stopped, len(training.losses)) == ("max_steps", 4)
    assert training.losses[-1] < training.losses[0] < 0


@pytest.mark.parametrize(
    ("lr", "stopped", "losses"),
    [(1e-4, "max_steps", 5), (0.0, "no_gain", 5), (float("nan"), "diverged", 2)],
)
def test_why_training_stops(rng, lr, stopped, losses):
    learner, _, labels = make_learner(rng)
    training = train(learner, labels, lr=lr)
    assert (training.stopped, len(training.losses)) == (stopped, losses)


def test_cuda_without_a_gpu_is_refused():
    assert not has_gpu("cpu")
    if torch.cuda.is_available():
        assert has_gpu("auto")
        return
    assert not has_gpu("auto")
    with pytest.raises(UsageError, match="use --device cpu"):
        has_gpu("cuda")


def test_periods_by_hand(recording, model):
    """Figure 2 from its parts: two periods, each with its gamma and threshold."""
    paper = make_options("paper-ssa1").learning
    centered = center(recording.xvectors, model.mean)
    whitened = whiten_and_normalize(centered, model)
    directions = recording_pca(whitened)[1][:10]
    oracle = Oracle(centered, model.transform, directions, lr=1e-3)
    affinity = cosine_affinity(whitened @ directions.T)
    clusters = average_linkage(affinity.dense()).cut(Stop(threshold=0.5))
    counts = []
    for gamma, threshold in ((0.4, 0.3), (0.6, None)):
        counts.append(int(clusters.max()) + 1)
        oracle.train(list(all_triplets(clusters)), gamma, 10)
        affinity = cosine_affinity(oracle.embed().detach().numpy().astype(float))
        if threshold is not None:
            member = np.eye(counts[-1])[clusters]
            sums = member.T @ affinity.dense() @ member
            sizes = member.sum(axis=0)
            history = average_linkage(sums / np.outer(sizes, sizes))
            # Clusters of several windows weigh more than single ones from the second
            # merge on; here one merge is enough to see that it is the right one.
            first = history.merges[0]
            ours = average_linkage(affinity.dense(), start=clusters)
            assert ours.merges[0].tolist() == first.tolist()
            clusters = ours.cut(Stop(threshold=threshold))[clusters]
    changes = {"periods": 2, "init_threshold": 0.5, "threshold_step": 0.2}
    options = replace(paper, **changes, gamma=0.4, gamma_step=0.2)
    learned = learn_alone(recording, model, options)
    assert [period.num_clusters for period in learned.periods] == counts
    np.testing.assert_allclose(learned.affinity.dense(), affinity.dense(), atol=1e-5)
