"""Training of an embedding network: what is learned, kept, resumed and rejected."""

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import combinations
from math import nan, sqrt
from typing import get_args

import numpy as np
import pytest
import torch

import ssahc
from ssahc.backend.embedding_net import run_network, weights_of
from ssahc.backend.trials import embed
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Model, Plda
from ssahc.io.model import read_model_dir, write_model_dir
from ssahc.learning import embedding_training
from ssahc.learning.adam import Adam
from ssahc.learning.checkpoint import Checkpoint
from ssahc.learning.embedding_training import EmbeddingEpoch, train_embedding_net
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import LossName, LossOptions, MetricOptions
from ssahc.scoring.detection import verify

LOSSES = get_args(LossName)
DIM = 16
# Learns fast; a batch holds a third of the training speakers.
FAST = MetricOptions(
    start="whitening", lr=1e-2, epochs=8, speakers_per_batch=16, validation_share=0.25
)
ONE_EPOCH = replace(FAST, epochs=1)


def draw(seed, speakers=60, sessions=6):
    """Return x-vectors whose loudest directions are noise, and their speakers."""
    rng = np.random.default_rng(seed)
    voices = rng.standard_normal((speakers, DIM))
    rows = voices.repeat(sessions, axis=0)
    rows += 0.5 * rng.standard_normal(rows.shape)
    rows[:, :4] = 3 * rng.standard_normal((len(rows), 4))
    names = [f"s{number:03d}" for number in range(speakers) for _ in range(sessions)]
    return rows + 2, names


@pytest.fixture(scope="module")
def data():
    return draw(0)


@pytest.fixture(scope="module")
def mean(data):
    return Model(data[0].mean(axis=0))


@pytest.fixture(scope="module")
def trained(data, mean):
    """Return a function that trains a network by a loss, once."""
    return cache(
        lambda loss: train_embedding_net(*data, mean, replace(FAST, loss=loss))
    )


def verify_all_pairs(vectors, speakers):
    """Error rates over all pairs by cosine, one pair after the other."""
    scores = {True: [], False: []}
    for first, second in combinations(range(len(vectors)), 2):
        one, other = vectors[first], vectors[second]
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        scores[speakers[first] == speakers[second]].append(cosine)
    return verify(scores[True], scores[False])


def assert_same_network(ours, theirs):
    for mine, other in zip(weights_of(ours), weights_of(theirs), strict=True):
        assert mine.tobytes() == other.tobytes()


class Spy:
    """The rows, speakers and labels of all training batches."""

    def __init__(self, monkeypatch, vectors, speakers, average):
        centered = (vectors - average).astype(np.float32)
        self.names = dict(zip(map(bytes, centered), speakers, strict=True))
        self.batches, self.labels = [], []
        evaluate = Objective.evaluate

        def run(inputs, weights):
            if torch.is_grad_enabled():
                self.batches.append([bytes(row) for row in inputs.numpy()])
            return run_network(inputs, weights)

        def note(objective, embeddings, labels, *rest):
            self.labels.append(labels.tolist())
            return evaluate(objective, embeddings, labels, *rest)

        monkeypatch.setattr(embedding_training, "run_network", run)
        monkeypatch.setattr(Objective, "evaluate", note)

    def speakers(self):
        """Return the speakers of each batch."""
        return [[self.names[row] for row in batch] for batch in self.batches]

    def all_speakers(self):
        return {name for batch in self.speakers() for name in batch}


# ---- what is learned ---------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_separates_unseen_speakers_better(mean, trained, loss):
    found = trained(loss)
    losses = [epoch.loss for epoch in found.epochs]
    assert losses[0] is None
    assert losses[-1] < 0.8 * losses[1]
    assert found.best.eer < found.epochs[0].eer - 0.1
    unseen, names = draw(1, speakers=8)
    before, after = (
        verify_all_pairs(embed(unseen, model), names) for model in (mean, found.model)
    )
    assert after.eer < before.eer - 0.1


def test_hidden_layers_learn(data, mean, trained):
    deep = train_embedding_net(*data, mean, replace(FAST, hidden_layers=1, epochs=3))
    plain = trained(FAST.loss)
    assert deep.epochs[0] == plain.epochs[0], "the same speakers are held out"
    assert deep.epochs[1] != plain.epochs[1]
    ((inner, outer),) = deep.model.metric.hidden
    assert outer.any()
    assert inner[:, -1].any()


@pytest.mark.parametrize("loss", ["aam-softmax", "ge2e"])
def test_training_equals_a_plain_torch_loop(data, mean, monkeypatch, loss):
    spy, initial = Spy(monkeypatch, *data, mean.mean), []
    initial_parameters = Objective.initial_parameters

    def note(objective, *arguments):
        initial.extend(initial_parameters(objective, *arguments))
        return initial_parameters(objective, *arguments)

    monkeypatch.setattr(Objective, "initial_parameters", note)
    found = train_embedding_net(*data, mean, replace(FAST, loss=loss, epochs=2))
    monkeypatch.undo()
    weights = [torch.eye(DIM, requires_grad=True) for _ in range(2)]
    adam = Adam([*weights, *initial])
    losses = []
    for batch, labels in zip(spy.batches, spy.labels, strict=True):
        rows = torch.tensor(np.array([np.frombuffer(row, np.float32) for row in batch]))
        mapped = rows @ weights[0].T
        mapped = sqrt(DIM) * torch.nn.functional.normalize(mapped) @ weights[1].T
        value = Objective(loss).evaluate(mapped, np.array(labels), initial, None)
        adam.zero_grad()
        value.backward()
        adam.step(FAST.lr)
        losses.append(value.item())
    means = np.reshape(losses, (2, -1)).mean(axis=1)
    found = [epoch.loss for epoch in found.epochs[1:]]
    assert found == pytest.approx(means, rel=1e-4)


def test_loss_options_change_the_loss(data, mean, trained):
    hard, sampled = LossOptions(sampling="hard"), {"triplets": "sampled"}
    seen = [trained("triplet").epochs[1], trained("ssa").epochs[1]]
    for loss, options in (
        ("triplet", {"objective": LossOptions(margin_size=0.1)}),
        ("triplet", {"objective": hard}),
        ("triplet", {"objective": LossOptions(distance="plain")}),
        ("ssa", {"gamma": 0.1}),
        ("ssa", {"triplet_form": "paper"}),
        ("ssa", sampled),
        ("ssa", sampled | {"objective": hard}),
    ):
        changed = replace(ONE_EPOCH, loss=loss, **options)
        seen.append(train_embedding_net(*data, mean, changed).epochs[1])
    assert len(set(seen)) == len(seen)


def test_equal_seeds_give_equal_networks_and_leave_the_given_model_alone(data, mean):
    # Even arrays of the network's own type, in any memory order.
    whitening = np.eye(DIM, dtype=np.float32)[::-1]
    model = replace(mean, transform=whitening)
    one, same, other = (
        train_embedding_net(*data, model, replace(ONE_EPOCH, seed=seed))
        for seed in (3, 3, 4)
    )
    assert one.epochs == same.epochs
    assert_same_network(one.model.metric, same.model.metric)
    nets = one.model.metric, other.model.metric
    for ours, different in zip(*map(weights_of, nets)):
        assert not np.array_equal(ours, different)
    assert one.best.number == 1
    assert one.model.transform is whitening
    np.testing.assert_array_equal(whitening, np.eye(DIM)[::-1])
    assert (one.model.metric.whitening != whitening).any()


def test_a_network_may_start_from_lda(data, mean, tmp_path):
    lda = np.eye(DIM)[:5]
    plda = Plda(np.zeros(5), np.eye(5), np.ones(5))
    model = replace(mean, transform=lda, plda=plda)
    options = replace(ONE_EPOCH, start="plda", hidden_layers=1, hidden_dim=4)
    found = train_embedding_net(*data, model, options).model
    shapes = [weights.shape for weights in weights_of(found.metric)]
    assert shapes == [(5, DIM), (4, 6), (5, 4), (5, 5)]
    write_model_dir(tmp_path, found)
    embedded = embed(data[0], read_model_dir(tmp_path))
    np.testing.assert_allclose(embedded, embed(data[0], found), rtol=1e-4, atol=1e-4)


# ---- checkpoints -------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "aam-softmax", "hidden_layers": 1, "hidden_dim": 5},
        {"loss": "quadruplet"},
        {"loss": "ge2e", "validation_share": 0.0},
        {"loss": "softmax", "lr": 0.3, "patience": 2},
    ],
)
def test_training_resumes_after_any_epoch(data, mean, options):
    options, checkpoints = replace(FAST, epochs=3, **options), []
    whole = train_embedding_net(*data, mean, options, on_epoch=checkpoints.append)
    assert len(checkpoints) == len(whole.epochs) > 3
    for checkpoint in checkpoints:
        stored = Checkpoint.from_json(
            checkpoint.arrays, checkpoint.to_json(), EmbeddingEpoch
        )
        later = []
        rest = train_embedding_net(
            *data, mean, options, checkpoint=stored, on_epoch=later.append
        )
        assert len(later) == len(checkpoints) - len(checkpoint.epochs)
        assert (rest.epochs, rest.best) == (whole.epochs, whole.best)
        assert_same_network(rest.model.metric, whole.model.metric)


# ---- which epoch is kept -----------------------------------------------------------


def test_training_stops_after_patience_and_keeps_the_best_epoch(data, mean):
    options = replace(FAST, loss="ssa", epochs=40, patience=2)
    found = train_embedding_net(*data, mean, options)
    rates = [epoch.eer for epoch in found.epochs]
    best = found.best.number
    assert [epoch.number for epoch in found.epochs] == [*range(best + 3)]
    assert 0 < best < 38
    assert rates[best] == min(rates) < min(rates[:best])
    assert found.best is found.epochs[best]
    until = train_embedding_net(*data, mean, replace(options, epochs=best))
    assert_same_network(found.model.metric, until.model.metric)


def test_the_initial_network_is_kept_if_no_epoch_is_better(data, mean):
    options = replace(FAST, lr=1e18, epochs=40, patience=3)
    found = train_embedding_net(*data, mean, options)
    assert len(found.epochs) == 1 + 3
    assert found.best.number == 0
    np.testing.assert_array_equal(found.model.metric.whitening, np.eye(DIM))
    np.testing.assert_array_equal(found.model.metric.projection, np.eye(DIM))


def test_all_epochs_are_trained_if_no_speakers_are_held_out(data, mean, monkeypatch):
    spy = Spy(monkeypatch, *data, mean.mean)
    options = replace(FAST, validation_share=0.0, epochs=7, patience=1, lr=1e3)
    found = train_embedding_net(*data, mean, options)
    assert [epoch.number for epoch in found.epochs] == [*range(8)]
    assert {(epoch.eer, epoch.min_dcf) for epoch in found.epochs} == {(None, None)}
    assert found.best is found.epochs[-1]
    assert spy.all_speakers() == set(data[1])


def test_divergence_and_a_missing_gpu_are_errors(data, mean, monkeypatch):
    options = replace(FAST, loss="softmax", lr=1e25)
    with pytest.raises(DataError, match=r"epoch 1 .* not finite.* with a smaller --lr"):
        train_embedding_net(*data, mean, options)
    # Finite, but more than a file of weights may hold.
    with pytest.raises(DataError, match=r"beyond 1e\+30; train with a smaller"):
        train_embedding_net(*data, mean, replace(FAST, lr=9e29, validation_share=0.0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device is available"):
        train_embedding_net(*data, mean, FAST, device="cuda")


# ---- training and held-out speakers ------------------------------------------------


def test_batches_are_of_training_speakers_and_rates_of_the_others(
    data, mean, monkeypatch
):
    spy = Spy(monkeypatch, *data, mean.mean)
    found = train_embedding_net(*data, mean, replace(FAST, epochs=6))
    seen = spy.all_speakers()
    assert len(seen) == 45, "a quarter of 60 is held out"
    # 270 x-vectors, 64 a batch.
    assert len(spy.batches) == 6 * 5
    names = {}
    for batch, speakers, labels in zip(spy.batches, spy.speakers(), spy.labels):
        assert len(set(batch)) == len(batch)
        assert Counter(Counter(speakers).values()) == {4: 16}
        names.update(zip(labels, speakers, strict=True))
    assert len(names) == len(set(names.values())) == 45
    assert len({row for batch in spy.batches for row in batch}) == 270
    rows = [row for row, name in enumerate(data[1]) if name not in seen]
    vectors = embed(data[0][rows], found.model)
    expected = verify_all_pairs(vectors, [data[1][row] for row in rows])
    assert expected.num_target == 15 * 15
    assert found.best.eer == pytest.approx(expected.eer, abs=1e-3)
    assert found.best.min_dcf == pytest.approx(expected.min_dcf, abs=5e-3)


@pytest.mark.parametrize("model", [None, Model()])
def test_the_model_is_not_estimated_from_held_out_speakers(model):
    vectors, names = draw(2, speakers=8)
    before = train_embedding_net(vectors, names, model, ONE_EPOCH).model
    unmoved = []
    for name in sorted(set(names)):
        moved = vectors + 100 * (np.array(names) == name)[:, None]
        after = train_embedding_net(moved, names, model, ONE_EPOCH).model
        if (after.mean == before.mean).all():
            unmoved.append(name)
            if model is None:
                np.testing.assert_array_equal(after.transform, before.transform)
                np.testing.assert_array_equal(after.plda.psi, before.plda.psi)
    assert len(unmoved) == 2


def test_speakers_of_one_vector_are_left_out(data, monkeypatch, caplog):
    vectors, names = data[0], list(data[1])
    names[0], names[-1] = "one", "two"
    options = replace(FAST, validation_share=0.0)
    spy = Spy(monkeypatch, vectors, names, vectors[1:-1].mean(axis=0))
    found = train_embedding_net(vectors, names, Model(), options)
    assert "2 of 62 speakers have only one x-vector" in caplog.text
    assert spy.all_speakers() == set(data[1])
    np.testing.assert_allclose(found.model.mean, vectors[1:-1].mean(axis=0))


def test_trials_of_an_epoch_are_limited(data, mean, trained, monkeypatch):
    plain = trained(FAST.loss).epochs[0]
    # Blocks that do not divide the number of x-vectors.
    monkeypatch.setattr(embedding_training, "_BLOCK", 7)
    whole = train_embedding_net(*data, mean, ONE_EPOCH).epochs[0]
    assert whole.eer == pytest.approx(plain.eer)
    monkeypatch.setattr(embedding_training, "_MAX_HELD_OUT", 60)
    few = train_embedding_net(*data, mean, ONE_EPOCH).epochs[0]
    assert few.eer != plain.eer
    assert few.eer == pytest.approx(plain.eer, abs=0.1)


# ---- what is rejected --------------------------------------------------------------


def test_unusable_data_and_models_are_rejected(data, mean):
    vectors, names = data
    broken = vectors.copy()
    broken[7, 3] = nan
    singles = [names[row] for row in range(0, 72, 6)]
    small = Plda(np.zeros(5), np.eye(5), np.ones(5))
    wide = replace(ONE_EPOCH, embedding_dim=17)
    quadruplet = replace(ONE_EPOCH, loss="quadruplet")
    for error, message, arguments in (
        (DataError, "row 7 of the x-vectors holds NaN", (broken, names, mean)),
        (DataError, "360 x-vectors and 359 speakers", (vectors, names[1:], mean)),
        (DataError, "found 5", (vectors, [5, *names[1:]], mean)),
        (DataError, "found 0 speakers with two", (vectors[:12], singles, mean)),
        (DataError, "found 3 .* of which 2", (vectors[:18], names[:18], mean)),
        (DataError, "mean has 5", (*data, Model(np.zeros(5)))),
        (DataError, "whitening has 5", (*data, Model(transform=np.eye(5)))),
        (DataError, "PLDA has 5", (*data, Model(plda=small), MetricOptions())),
        (DataError, "is for 5 dimensions, the", (*data, replace(mean, plda=small))),
        (UsageError, "no PLDA to start from", (*data, mean, MetricOptions())),
        (UsageError, "gives 16 dimensions", (*data, mean, wide)),
        (DataError, "quadruplet needs 3", (vectors[:24], names[:24], mean, quadruplet)),
    ):
        options = arguments[3:] or (ONE_EPOCH,)
        with pytest.raises(error, match=message):
            train_embedding_net(*arguments[:3], *options)
    assert train_embedding_net(vectors[:24], names[:24], mean, ONE_EPOCH).epochs


def test_the_public_function_equals_the_internal_one(data, mean):
    found = ssahc.train_metric(*data, model=mean, options=ONE_EPOCH, device="cpu")
    expected = train_embedding_net(*data, mean, ONE_EPOCH, device="cpu")
    assert found.epochs == expected.epochs
    assert isinstance(found.model.metric, ssahc.EmbeddingNet)
    assert ssahc.Metric is ssahc.EmbeddingNet, "the earlier name"
    for wrong, message in (
        ({"model": "model/"}, "a model comes from read_model_dir or Model, found 'mod"),
        ({"options": LossOptions()}, "options come from MetricOptions, found LossOpt"),
        ({"device": "gpu"}, "device must be auto, cpu or cuda, found 'gpu'"),
    ):
        with pytest.raises(UsageError, match=message):
            ssahc.train_metric(*data, **wrong)
