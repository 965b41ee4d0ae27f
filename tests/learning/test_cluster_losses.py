"""Every loss in per-recording learning, with clusters as labels."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from learn_alone import learn_alone

from ssahc.api import make_options
from ssahc.backend.prepared import PreparedXvectors
from ssahc.core.errors import UsageError
from ssahc.learning import optimizer
from ssahc.learning.adam import Adam
from ssahc.learning.losses.cluster_loss import ClusterLoss
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import LossName, LossOptions
from ssahc.learning.mining import Sampling
from ssahc.learning.network import Network
from ssahc.learning.optimizer import Learner, TrainingJob, train_networks
from ssahc.learning.options import LearningOptions
from ssahc.learning.ssa import learn_batch
from ssahc.pipeline.diarize import make_learning_task

LOSSES = get_args(LossName)
# Every loss, and with every sampling where it has one.
CASES = [
    (loss, sampling)
    for loss in LOSSES
    for sampling in get_args(Sampling)
    if loss in ("ssa", "triplet", "quadruplet") or sampling == "random"
    if (loss, sampling) != ("quadruplet", "all")
]


def options_of(loss, sampling="random", **values):
    triplets = "sampled" if loss == "ssa" else "expected"
    objective = LossOptions(sampling=sampling)
    return LearningOptions(loss=loss, triplets=triplets, objective=objective, **values)


def objective_of(loss, sampling="random"):
    options = options_of(loss, sampling)
    return Objective(loss, options.objective, triplets=options.triplets)


@pytest.fixture
def initial(recording, model):
    """The affinity of the first clustering."""
    return learn_alone(recording, model, LearningOptions(min_xvectors=10_000)).affinity


# ---- every loss --------------------------------------------------------------------


def test_every_loss_is_learned_and_learns_something_else(recording, model, initial):
    found = [initial.features]
    for case in CASES:
        learned = learn_alone(recording, model, options_of(*case))
        (period,) = learned.periods
        assert period.learned
        assert period.num_clusters == 5
        assert period.losses[-1] < period.losses[0]
        features = learned.affinity.features
        assert not any(np.allclose(features, other, atol=1e-5) for other in found)
        found.append(features)


def test_learning_depends_on_the_seed_only_where_something_is_drawn(recording, model):
    for options, drawn in (
        (options_of("ssa"), True),
        (LearningOptions(), False),
        (options_of("triplet"), True),
        (options_of("quadruplet", "distance-weighted"), True),
        (options_of("prototypical"), True),
        (options_of("triplet", "hard"), False),
        (options_of("softmax"), False),
    ):
        one, same, other = (
            learn_alone(recording, model, replace(options, seed=seed)).affinity.features
            for seed in (0, 0, 1)
        )
        assert one.tobytes() == same.tobytes()
        assert np.array_equal(one, other) != drawn


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, as far as ssahc can tell."""
    monkeypatch.setattr(optimizer, "has_gpu", lambda device: device != "cpu")
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("loss", "sampling"),
    [
        ("ssa", "random"),
        ("triplet", "distance-weighted"),
        ("quadruplet", "hard"),
        ("aam-softmax", "random"),
        ("ge2e", "random"),
    ],
)
def test_recordings_are_learned_in_a_batch_as_alone(
    corpus, monkeypatch, loss, sampling
):
    sizes, together = [], optimizer.train_batch

    def count(jobs, place):
        sizes.append(len(jobs))
        return together(jobs, place)

    # The first two differ in windows and in dimensions.
    recordings = [item.recording for item in corpus["a"].conversations[:2]]
    model = corpus["b"].model
    options = options_of(loss, sampling, guard=False)
    alone = [learn_alone(one, model, options) for one in recordings]
    monkeypatch.setattr(optimizer, "train_batch", count)
    tasks = [
        make_learning_task(one, PreparedXvectors(one.xvectors, model), options)
        for one in recordings
    ]
    beside = learn_batch(tasks, options, device="cuda")
    assert sizes == [2]
    for ours, theirs in zip(beside, alone, strict=True):
        assert ours.periods[0].stopped == theirs.periods[0].stopped
        expected = pytest.approx(theirs.periods[0].losses, abs=1e-3)
        assert ours.periods[0].losses == expected
        ours, theirs = ours.affinity.dense(), theirs.affinity.dense()
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


# ---- gradients and parameters ------------------------------------------------------


class Oracle:
    """The paper's network, a loss and Adam, all in torch and float64."""

    def __init__(self, parts, objective, labels):
        inputs, whitening, projection = parts
        dim = inputs.shape[1]
        self.inputs, self.offset = map(torch.tensor, (inputs, whitening[:, dim:]))
        self.weights = [torch.tensor(whitening[:, :dim]), torch.tensor(projection)]
        for weight in self.weights:
            weight.requires_grad_()
        self.objective, self.labels = objective, labels
        self.generator = np.random.default_rng(11)
        self.parameters = objective.initial_parameters(self.embed(), labels)

    def embed(self):
        mapped = self.inputs @ self.weights[0].T + self.offset.sum(1)
        length = mapped.norm(dim=1, keepdim=True)
        return len(mapped[0]) ** 0.5 * mapped / length @ self.weights[1].T

    def loss(self):
        return self.objective.evaluate(
            self.embed(), self.labels, self.parameters, self.generator
        )

    def train(self, steps, lr, learned):
        adam, losses = Adam(learned), []
        for _ in range(steps + 1):
            loss = self.loss()
            losses.append(loss.item())
            adam.zero_grad()
            loss.backward()
            adam.step(lr)
        return losses


@pytest.fixture
def parts(rng):
    """Inputs, W1 with an offset, W2."""
    shapes = (24, 6), (6, 7), (4, 6)
    return [rng.standard_normal(shape) for shape in shapes]


LABELS = np.arange(24) % 4
LABELS[:3] = 2
LABELS.setflags(write=False)


@pytest.mark.parametrize(("loss", "sampling"), CASES)
def test_gradients_equal_autograd(parts, loss, sampling):
    objective = objective_of(loss, sampling)
    oracle = Oracle(parts, objective, LABELS)
    theirs = oracle.loss()
    inputs, whitening, projection = parts
    network = Network(
        whitening[None, :, :6], whitening[:, 6][None, None], projection[None]
    )
    passed = network.run(inputs[None])
    one = ClusterLoss(objective, LABELS, 4, 11)
    losses = ClusterLoss.stack([one], 24, np.asarray)
    (value,), gradient = losses.evaluate(passed)
    assert value == pytest.approx(theirs.item(), rel=1e-9)
    slopes = torch.autograd.grad(theirs, oracle.weights)
    for ours, slope in zip(passed.gradients(gradient), slopes, strict=True):
        assert slope.abs().max() > 1e-6
        np.testing.assert_allclose(ours[0], slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_training_equals_torch_and_learns_the_parameters_of_the_loss(parts, loss):
    objective = objective_of(loss)
    oracle = Oracle(parts, objective, LABELS)
    expected = oracle.train(6, 1e-2, [*oracle.weights, *oracle.parameters])
    one = ClusterLoss(objective, LABELS, 4, 11)
    learner = Learner.at_start(*parts)
    (found,) = train_networks([TrainingJob(learner, one, 1e-2, 0.0, 6)])
    assert found.losses == pytest.approx(expected, rel=1e-3)
    fixed = Oracle(parts, objective, LABELS)
    unlearned = fixed.train(6, 1e-2, fixed.weights)
    has_parameters = bool(fixed.parameters)
    assert (unlearned != pytest.approx(expected, rel=1e-6)) == has_parameters


def test_parameters_of_the_loss_start_anew_in_every_period(recording, model):
    options = options_of("aam-softmax", periods=3, init_threshold=0.5, guard=False)
    learned = learn_alone(recording, model, options)
    counts = [period.num_clusters for period in learned.periods]
    assert len(counts) == 3
    assert counts[0] > counts[-1], "as many class weights as clusters"
    assert all(period.learned for period in learned.periods)


# ---- too few clusters --------------------------------------------------------------


def test_quadruplets_need_three_clusters(recording, model, initial):
    def learn(loss, known):
        options = options_of(loss, init_threshold=-2.0, guard=False)
        return learn_alone(recording, model, options, num_speakers=known)

    learned = learn("quadruplet", 2)
    (period,) = learned.periods
    assert (period.num_clusters, period.losses) == (2, ())
    assert period.stopped == "two_clusters"
    assert not period.learned
    np.testing.assert_array_equal(learned.affinity.features, initial.features)
    assert learn("quadruplet", 3).periods[0].learned
    assert learn("triplet", 2).periods[0].learned


def test_learning_ends_when_too_few_clusters_are_left(recording, model):
    options = options_of(
        "quadruplet", periods=9, init_threshold=0.5, threshold_step=0.3, guard=False
    )
    learned = learn_alone(recording, model, options)
    stopped = [period.stopped for period in learned.periods]
    assert stopped[-1] == "two_clusters"
    assert learned.periods[-1].num_clusters == 2
    assert set(stopped[:-1]) <= {"max_steps", "eta"}
    until = learn_alone(recording, model, replace(options, periods=len(stopped) - 1))
    np.testing.assert_array_equal(learned.affinity.features, until.affinity.features)


def test_presets_keep_their_loss():
    options = make_options("paper-ssa1").learning
    assert (options.loss, options.objective) == ("ssa", LossOptions())
    assert make_options("paper-ssa1", loss="ge2e").learning.loss == "ge2e"
    with pytest.raises(UsageError, match="applies to triplet and quadruplet"):
        make_options("paper-ssa1", margin="adaptive")
