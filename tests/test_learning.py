import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssahc.affinity import cosine_affinity
from ssahc.errors import UsageError
from ssahc.nn.losses import expected_triplet_loss, one_hot, sampled_triplet_loss
from ssahc.nn.model import TwoLayerNet
from ssahc.nn.sampling import sample_triplets
from ssahc.nn.train import Trainer, pick_device
from ssahc.preprocess import (
    project_recording,
    recording_pca,
    whiten_and_normalize,
)
from ssahc.selfsup import LearningOptions, learn
from ssahc.types import NO_MODEL, Model, Recording

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


def all_triplets(labels, both_orders):
    """Every pair with every negative, weighted so that each pair counts once."""
    count = len(labels)
    for a in range(count):
        for p in range(count):
            if a == p or labels[a] != labels[p] or (a > p and not both_orders):
                continue
            negatives = np.flatnonzero(labels != labels[a])
            for n in negatives:
                yield a, p, n, 1 / len(negatives)


@pytest.fixture
def unit(rng):
    rows = rng.standard_normal((9, 4))
    return torch.tensor(rows / np.linalg.norm(rows, axis=1, keepdims=True))


LABELS = np.array([0, 1, 0, 2, 1, 1, 0, 3, 1])


@pytest.mark.parametrize("form", FORMS)
def test_sampled_loss_and_gradient_equal_a_naive_loop(unit, rng, form):
    triplets = sample_triplets(LABELS, rng)
    unit.requires_grad_()
    fast = sampled_triplet_loss(unit, torch.tensor(triplets), 0.4, form)
    slow = naive_loss(unit, triplets.tolist(), 0.4, form)
    assert fast.item() == pytest.approx(slow.item())
    ours, theirs = (torch.autograd.grad(loss, unit)[0] for loss in (fast, slow))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
def test_expected_loss_is_the_expectation(unit, form):
    total, pairs = 0.0, 0.0
    for a, p, n, weight in all_triplets(LABELS, both_orders=True):
        total = total + weight * naive_loss(unit, [(a, p, n)], 0.4, form)
        pairs += weight
    membership = one_hot(torch.tensor(LABELS)).double()
    loss = expected_triplet_loss(unit, membership, 0.4, form)
    assert loss.item() == pytest.approx((total / pairs).item())


def test_expected_loss_is_the_mean_of_sampled_ones(unit, rng):
    draws = [
        sampled_triplet_loss(unit, torch.tensor(sample_triplets(LABELS, rng)), 0.4)
        for _ in range(4000)
    ]
    membership = one_hot(torch.tensor(LABELS)).double()
    expected = expected_triplet_loss(unit, membership, 0.4)
    assert np.mean(draws) == pytest.approx(expected.item(), abs=0.01)


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=12).filter(
        lambda labels: len(set(labels)) > 1
    ),
    st.integers(0, 5),
)
def test_triplets_are_all_pairs_with_a_foreign_negative(labels, seed):
    labels = np.array(labels)
    triplets = sample_triplets(labels, np.random.default_rng(seed))
    pairs = {(a, p) for a, p, _ in triplets.tolist()}
    expected = {
        (a, p)
        for a in range(len(labels))
        for p in range(a + 1, len(labels))
        if labels[a] == labels[p]
    }
    assert pairs == expected
    assert len(triplets) == len(expected)
    anchor, positive, negative = triplets.T
    assert (labels[anchor] == labels[positive]).all()
    assert (labels[anchor] != labels[negative]).all()


@pytest.mark.parametrize("columns", [0, 1])
def test_network_starts_as_whitening_and_pca(rng, columns):
    centered = rng.standard_normal((15, 6))
    whitening = rng.standard_normal((6, 6 + columns))
    whitened = whiten_and_normalize(centered, Model(transform=whitening))
    projection = recording_pca(whitened)[1][:3]
    net = TwoLayerNet(whitening, projection)
    with torch.no_grad():
        embeddings = net(torch.tensor(centered, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(
        cosine_affinity(embeddings.astype(float)).dense(),
        cosine_affinity(whitened @ projection.T).dense(),
        atol=1e-5,
    )


def train(net, inputs, loss_of, *, lr, eta, max_steps):
    return Trainer(net, inputs, lr=lr).train(loss_of, eta=eta, max_steps=max_steps)


def linear_net(slope):
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, slope)
    return net


def test_training_stops_below_eta_before_the_step():
    net, seen = linear_net(4.0), []

    def loss_of(output):
        seen.append(net.weight.item())
        return output.square().mean()

    training = train(net, torch.ones(3, 1), loss_of, lr=1.0, eta=0.5, max_steps=10)
    assert training.stopped == "eta"
    assert training.losses[-1] < 0.5 * training.losses[0] <= training.losses[-2]
    # The weights are those of the last loss: no step follows it.
    assert net.weight.item() == seen[-1]


def test_a_loss_that_starts_below_zero_has_no_ratio():
    training = train(
        linear_net(-4.0), torch.ones(3, 1), torch.mean, lr=0.1, eta=0.5, max_steps=3
    )
    assert (training.stopped, len(training.losses)) == ("max_steps", 4)
    assert training.losses[-1] < training.losses[0] < 0


def test_no_gain_is_noticed():
    training = train(
        linear_net(1.0), torch.zeros(3, 1), torch.mean, lr=0.1, eta=0.5, max_steps=3
    )
    assert training.stopped == "no_gain"


def test_a_mean_may_be_written_as_an_offset(recording, model):
    offset = -model.transform @ model.mean
    affine = Model(
        np.zeros_like(model.mean), np.column_stack([model.transform, offset])
    )
    ours, theirs = (
        learn(recording, which, device="cpu").affinity.dense()
        for which in (affine, model)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_training_stops_after_max_steps():
    training = train(
        linear_net(4.0), torch.ones(3, 1), torch.mean, lr=1e-6, eta=0.0, max_steps=4
    )
    assert (training.stopped, len(training.losses)) == ("max_steps", 5)


def test_divergence_is_noticed():
    training = train(
        linear_net(1.0),
        torch.ones(3, 1),
        lambda output: output.mean() * float("nan"),
        lr=1.0,
        eta=0.0,
        max_steps=4,
    )
    assert (training.stopped, len(training.losses)) == ("diverged", 1)


def test_cuda_without_a_gpu_is_refused():
    if torch.cuda.is_available():
        assert pick_device("auto").type == "cuda"
        return
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UsageError, match="use --device cpu"):
        pick_device("cuda")


@pytest.mark.parametrize("triplets", ["expected", "sampled"])
def test_learning_pulls_speakers_apart(recording, model, triplets):
    options = LearningOptions(triplets=triplets)
    learned = learn(recording, model, options, num_speakers=2, device="cpu")
    (period,) = learned.periods
    assert period.learned
    assert period.num_clusters >= 2
    assert period.losses[-1] < period.losses[0]
    start = project_recording(recording.xvectors, model, 10).vectors
    assert not np.allclose(learned.affinity.features, start)


@pytest.mark.parametrize("triplets", ["expected", "sampled"])
def test_same_seed_same_bytes(recording, model, triplets):
    options = LearningOptions(triplets=triplets, seed=5)
    first, second = (
        learn(recording, model, options, device="cpu").affinity.features
        for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


def test_seeds_matter_only_to_sampling(recording, model):
    def features(triplets, seed):
        options = LearningOptions(triplets=triplets, seed=seed)
        return learn(recording, model, options, device="cpu").affinity.features

    assert np.array_equal(features("expected", 0), features("expected", 1))
    assert not np.array_equal(features("sampled", 0), features("sampled", 1))


def part(recording, count):
    return Recording(
        recording.id,
        recording.utterances[:count],
        recording.segments[:count],
        recording.xvectors[:count],
    )


def test_guard_returns_the_start(recording, model):
    start = cosine_affinity(project_recording(recording.xvectors, model, 10).vectors)
    for options, known, reason in (
        (LearningOptions(min_xvectors=10_000), None, "too_few_xvectors"),
        (LearningOptions(), 1, "one_speaker"),
        (LearningOptions(init_threshold=-2.0), None, "one_cluster"),
        (LearningOptions(init_threshold=2.0), None, "no_pairs"),
        (LearningOptions(lr=1e30), None, "no_gain"),
    ):
        learned = learn(recording, model, options, num_speakers=known, device="cpu")
        assert learned.periods[0].stopped == reason
        assert not learned.periods[0].learned
        assert np.array_equal(learned.affinity.features, start.features)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("with_model", [True, False])
def test_few_windows(recording, model, count, with_model):
    learned = learn(
        part(recording, count),
        model if with_model else NO_MODEL,
        LearningOptions(min_xvectors=0),
        device="cpu",
    )
    assert np.isfinite(learned.affinity.dense()).all()


def test_known_speakers_are_the_floor_of_the_first_clustering(recording, model):
    options = LearningOptions(init_threshold=-2.0)
    learned = learn(recording, model, options, num_speakers=3, device="cpu")
    assert learned.periods[0].num_clusters == 3


def test_without_a_model_scale_does_not_matter(recording):
    louder = Recording(
        recording.id, recording.utterances, recording.segments, 8 * recording.xvectors
    )
    first, second = (
        learn(item, NO_MODEL, device="cpu").affinity.dense()
        for item in (recording, louder)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gamma": -1.0},
        {"gamma": float("nan")},
        {"lr": float("inf")},
        {"eta": 1.5},
        {"eta": float("nan")},
        {"init_threshold": float("nan")},
        {"max_steps": -1},
        {"seed": -1},
        {"periods": 0},
        {"gamma_step": -0.1},
        {"threshold_step": float("nan")},
        {"lambda_": -0.1},
        {"lambda_": float("nan")},
        {"kc": 0},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(UsageError):
        LearningOptions(**wrong)
