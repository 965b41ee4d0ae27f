from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssahc.affinity import cosine_affinity
from ssahc.api import diarize_recording, make_options
from ssahc.cluster.ahc import average_linkage
from ssahc.cluster.stop import Stop
from ssahc.errors import UsageError
from ssahc.nn.losses import expected_triplet_loss, one_hot, sampled_triplet_loss
from ssahc.nn.model import TwoLayerNet
from ssahc.nn.sampling import sample_triplets
from ssahc.nn.train import Trainer, pick_device
from ssahc.preprocess import (
    center,
    recording_pca,
    whiten_and_normalize,
)
from ssahc.selfsup import LearningOptions, learn
from ssahc.types import NO_MODEL, Model, Recording

FORMS = ["authors", "paper"]
UNTRAINED = LearningOptions(min_xvectors=10_000)


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


@pytest.mark.parametrize("start", ["model", "whitened"])
def test_a_mean_may_be_written_as_an_offset(recording, model, start):
    offset = -model.transform @ model.mean
    affine = Model(
        np.zeros_like(model.mean),
        np.column_stack([model.transform, offset]),
        model.plda,
    )
    options = LearningOptions(start=start)
    ours, theirs = (
        learn(recording, which, options, device="cpu").affinity.dense()
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
    untrained = learn(recording, model, UNTRAINED, device="cpu")
    assert not np.allclose(learned.affinity.features, untrained.affinity.features)


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
    start = learn(recording, model, UNTRAINED, device="cpu").affinity
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


def test_periods_fall_and_end_at_the_known_number(recording, model):
    options = LearningOptions(periods=8, init_threshold=0.6, threshold_step=0.1)
    learned = learn(recording, model, options, num_speakers=2, device="cpu")
    counts = [period.num_clusters for period in learned.periods]
    assert len(counts) > 2
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 2
    assert len(counts) < 8, "2 clusters, the number known, ended it"
    unknown = learn(recording, model, options, device="cpu")
    assert len(unknown.periods) >= len(counts)


def test_one_period_is_the_first_of_several(recording, model):
    one, three = (
        learn(
            recording,
            model,
            LearningOptions(periods=periods, init_threshold=0.6),
            device="cpu",
        )
        for periods in (1, 3)
    )
    assert one.periods == three.periods[:1]
    assert len(three.periods) == 3
    assert not np.allclose(one.affinity.dense(), three.affinity.dense())


def test_periods_by_hand(recording, model):
    """Figure 2 from its parts: two periods, each with its gamma and threshold."""
    paper = make_options("paper-ssa1").learning
    centered = center(recording.xvectors, model.mean)
    whitened = whiten_and_normalize(centered, model)
    directions = recording_pca(whitened)[1][:10]
    net = TwoLayerNet(model.transform, directions)
    inputs = torch.tensor(centered, dtype=torch.float32)
    trainer = Trainer(net, inputs, lr=1e-3)
    affinity = cosine_affinity(whitened @ directions.T)
    clusters = average_linkage(affinity.dense()).cut(Stop(threshold=0.5))
    counts = []
    for gamma, threshold in ((0.4, 0.3), (0.6, None)):
        counts.append(int(clusters.max()) + 1)
        membership = one_hot(torch.tensor(clusters))
        trainer.train(
            lambda unit, m=membership, g=gamma: expected_triplet_loss(unit, m, g),
            eta=0.5,
            max_steps=10,
        )
        affinity = cosine_affinity(trainer.embed())
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
    options = replace(
        paper,
        periods=2,
        init_threshold=0.5,
        threshold_step=0.2,
        gamma=0.4,
        gamma_step=0.2,
    )
    learned = learn(recording, model, options, device="cpu")
    assert [period.num_clusters for period in learned.periods] == counts
    np.testing.assert_allclose(learned.affinity.dense(), affinity.dense(), atol=1e-5)


def test_a_period_that_fails_keeps_the_last_affinities(recording, model, monkeypatch):
    from ssahc.nn.train import Training

    good = learn(recording, model, LearningOptions(init_threshold=0.6), device="cpu")
    train_once, calls = Trainer.train, []

    def fail_later(self, loss_of, **options):
        calls.append(1)
        if len(calls) == 1:
            return train_once(self, loss_of, **options)
        return Training((1.0, float("nan")), "diverged")

    monkeypatch.setattr(Trainer, "train", fail_later)
    options = LearningOptions(periods=5, init_threshold=0.6)
    learned = learn(recording, model, options, device="cpu")
    assert [period.learned for period in learned.periods] == [True, False]
    np.testing.assert_array_equal(learned.affinity.dense(), good.affinity.dense())


def test_the_merging_cost_reaches_the_last_clustering(recording, model):
    base = {"init_threshold": 0.6, "num_speakers": 2, "system": "ssahc"}
    plain = diarize_recording(recording, model, make_options(**base))
    steered = diarize_recording(recording, model, make_options(lambda_=1.0, **base))
    below = plain.learning[0].num_clusters
    np.testing.assert_array_equal(plain.affinity.dense(), steered.affinity.dense())
    same = (plain.history.merges == steered.history.merges).all(axis=1)
    until = len(recording) - below
    assert same[:until].all(), "above N0 merges are plain"
    assert not same[until:].all()


def test_the_merging_cost_reaches_the_periods(recording, model):
    plain, steered = (
        learn(
            recording,
            model,
            LearningOptions(periods=3, init_threshold=0.7, lambda_=weight),
            device="cpu",
        )
        for weight in (0.0, 1.0)
    )
    assert plain.periods[0] == steered.periods[0]
    assert plain.periods[1] != steered.periods[1]
