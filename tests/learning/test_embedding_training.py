"""A metric that is trained once: its network, its start, what is learned, what ends."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from math import sqrt
from typing import get_args

import numpy as np
import pytest
import torch

import ssahc
from ssahc.backend.embedding_net import run_network, weights_of
from ssahc.backend.training import fit_model
from ssahc.backend.trials import embed
from ssahc.cli.train_metric import _read_checkpoint, _write_checkpoint
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Model, Plda
from ssahc.learning import embedding_training
from ssahc.learning.embedding_training import train_metric
from ssahc.learning.losses.objective import Objective
from ssahc.learning.losses.options import LossName, LossOptions, MetricOptions
from ssahc.scoring.detection import verify

LOSSES = get_args(LossName)
DIM = 16
# Learns fast; the batches hold a third of the speakers.
FAST = MetricOptions(
    start="whitening", lr=1e-2, epochs=8, speakers_per_batch=16, validation_share=0.25
)


def draw(seed, speakers=60, sessions=6):
    """Return x-vectors in which loud directions tell nothing, and their speakers."""
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
def fitted(data):
    return fit_model(*data)


@pytest.fixture
def mean(data):
    return Model(data[0].mean(axis=0))


def judge(vectors, speakers):
    """Verify all pairs by their cosine, one after the other."""
    scores = {True: [], False: []}
    for first, second in combinations(range(len(vectors)), 2):
        one, other = vectors[first], vectors[second]
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        scores[speakers[first] == speakers[second]].append(cosine)
    return verify(scores[True], scores[False])


class Spy:
    """What was learned from: the speakers and rows of all batches."""

    def __init__(self, monkeypatch, vectors, speakers, average):
        centered = (vectors - average).astype(np.float32)
        self.names = dict(zip(map(bytes, centered), speakers, strict=True))
        self.batches, self.labels = [], []
        evaluate = Objective.evaluate

        def run(inputs, layers):
            if torch.is_grad_enabled():
                self.batches.append([bytes(row) for row in inputs.numpy()])
            return run_network(inputs, layers)

        def note(objective, embeddings, labels, *rest):
            self.labels.append(labels.tolist())
            return evaluate(objective, embeddings, labels, *rest)

        monkeypatch.setattr(embedding_training, "run_network", run)
        monkeypatch.setattr(Objective, "evaluate", note)

    def speakers(self):
        """Return the speakers of each batch."""
        return [[self.names[row] for row in batch] for batch in self.batches]


# ---- what is learned ---------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_tells_new_speakers_apart_better_than_the_start(data, mean, loss):
    trained = train_metric(*data, mean, replace(FAST, loss=loss))
    losses = [epoch.loss for epoch in trained.epochs]
    assert losses[0] is None
    assert losses[-1] < 0.8 * losses[1]
    assert trained.best.eer < trained.epochs[0].eer - 0.1
    fresh, names = draw(1, speakers=12)
    before, after = (
        judge(embed(fresh, model), names) for model in (mean, trained.model)
    )
    assert after.eer < before.eer - 0.1


def test_hidden_layers_learn(data, mean):
    deep, plain = (
        train_metric(*data, mean, replace(FAST, hidden_layers=layers, epochs=3))
        for layers in (1, 0)
    )
    assert deep.epochs[0] == plain.epochs[0], "the speakers held out are the same"
    assert deep.epochs[1:] != plain.epochs[1:]
    ((inner, outer),) = deep.model.metric.hidden
    assert outer.any()
    assert inner[:, -1].any()
    assert deep.best.eer < deep.epochs[0].eer - 0.05


@pytest.mark.parametrize("loss", ["softmax", "aam-softmax", "ge2e"])
def test_training_is_that_of_torch(data, mean, monkeypatch, loss):
    spy, started = Spy(monkeypatch, *data, mean.mean), []
    begin = Objective.initial_parameters

    def note(objective, *at):
        started.extend(begin(objective, *at))
        return begin(objective, *at)

    monkeypatch.setattr(Objective, "initial_parameters", note)
    trained = train_metric(*data, mean, replace(FAST, loss=loss, epochs=2))
    monkeypatch.undo()
    layers = [torch.eye(DIM, requires_grad=True) for _ in range(2)]
    adam = torch.optim.Adam([*layers, *started], lr=FAST.lr)
    losses = []
    for batch, labels in zip(spy.batches, spy.labels, strict=True):
        rows = torch.tensor(np.array([np.frombuffer(row, np.float32) for row in batch]))
        mapped = rows @ layers[0].T
        mapped = sqrt(DIM) * torch.nn.functional.normalize(mapped) @ layers[1].T
        given = mapped, np.array(labels), started, None
        value = Objective(loss).evaluate(*given)
        adam.zero_grad()
        value.backward()
        adam.step()
        losses.append(value.item())
    means = np.reshape(losses, (2, -1)).mean(axis=1)
    assert [epoch.loss for epoch in trained.epochs[1:]] == pytest.approx(
        means, rel=1e-4
    )


def test_options_of_the_loss_reach_it(data, mean):
    def train(**values):
        return train_metric(*data, mean, replace(FAST, epochs=1, **values)).epochs[1]

    plain = train(loss="triplet")
    for options in ({"margin_size": 0.1}, {"sampling": "hard"}, {"distance": "plain"}):
        assert train(loss="triplet", objective=LossOptions(**options)) != plain
    ssa, sampled = train(loss="ssa"), train(loss="ssa", triplets="sampled")
    hard = LossOptions(sampling="hard")
    for options in (
        *({}, {"gamma": 0.1}, {"triplet_form": "paper"}),
        {"triplets": "sampled", "objective": hard},
    ):
        assert train(loss="ssa", **options) != sampled
        assert (train(loss="ssa", **options) == ssa) == (not options)


def test_the_model_that_is_given_stays_what_it_is(data, mean):
    """Arrays of the network's own type, and turned round, are no special case."""
    whitening = np.eye(DIM, dtype=np.float32)[::-1]
    model = replace(mean, transform=whitening)
    trained = train_metric(*data, model, replace(FAST, epochs=1))
    assert trained.model.transform is whitening
    np.testing.assert_array_equal(whitening, np.eye(DIM)[::-1])
    assert trained.best.number == 1
    assert (trained.model.metric.whitening != whitening).any()


def test_same_seed_same_bytes(data, mean):
    one, same, other = (
        train_metric(*data, mean, replace(FAST, seed=seed, epochs=2))
        for seed in (3, 3, 4)
    )
    assert one.epochs == same.epochs
    for ours, equal, different in zip(
        *(weights_of(trained.model.metric) for trained in (one, same, other))
    ):
        assert ours.tobytes() == equal.tobytes()
        assert not np.array_equal(ours, different)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "aam-softmax", "hidden_layers": 1, "hidden_dim": 5},
        {"loss": "quadruplet"},
        {"loss": "ge2e", "validation_share": 0.0},
        {"loss": "softmax", "lr": 0.3, "patience": 2},
    ],
)
def test_training_goes_on_from_any_epoch(data, mean, tmp_path, options):
    options, checkpoints = replace(FAST, epochs=3, **options), []
    whole = train_metric(*data, mean, options, on_epoch=checkpoints.append)
    assert len(checkpoints) == len(whole.epochs) > 3
    for checkpoint in checkpoints:
        done = len(checkpoint.epochs)
        _write_checkpoint(tmp_path / "kept.npz", checkpoint)
        kept, later = _read_checkpoint(tmp_path / "kept.npz"), []
        rest = train_metric(
            *data, mean, options, checkpoint=kept, on_epoch=later.append
        )
        assert len(later) == len(checkpoints) - done
        assert (rest.epochs, rest.best) == (whole.epochs, whole.best)
        for ours, theirs in zip(
            weights_of(rest.model.metric), weights_of(whole.model.metric), strict=True
        ):
            assert ours.tobytes() == theirs.tobytes()


def test_a_checkpoint_of_another_network_is_refused(data, mean):
    checkpoints = []
    options = replace(FAST, epochs=1)
    train_metric(*data, mean, options, on_epoch=checkpoints.append)
    whole = checkpoints[-1]
    part = {name: array for name, array in whole.arrays.items() if name != "best0"}
    for checkpoint, other in (
        (whole, replace(options, hidden_layers=1)),
        (whole, replace(options, loss="center")),
        (whole, replace(options, embedding_dim=3)),
        (replace(whole, arrays=part), options),
        (replace(whole, generator="{}"), options),
        (replace(whole, generator="?"), options),
    ):
        with pytest.raises(UsageError, match="checkpoint is broken, or of another net"):
            train_metric(*data, mean, other, checkpoint=checkpoint)


# ---- what ends it, and which epoch is kept -----------------------------------------


def test_the_best_epoch_is_kept(data, mean):
    options = replace(FAST, loss="ssa", epochs=40, patience=2)
    trained = train_metric(*data, mean, options)
    rates = [epoch.eer for epoch in trained.epochs]
    best = trained.best.number
    assert [epoch.number for epoch in trained.epochs] == [*range(best + 3)]
    assert 0 < best < 38
    assert rates[best] == min(rates) < min(rates[:best])
    assert trained.best is trained.epochs[best]
    until = train_metric(*data, mean, replace(options, epochs=best))
    for ours, theirs in zip(
        weights_of(trained.model.metric), weights_of(until.model.metric), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_if_nothing_is_better_the_start_is_kept(data, mean):
    options = replace(FAST, lr=1e18, epochs=40, patience=3)
    trained = train_metric(*data, mean, options)
    assert len(trained.epochs) == 1 + 3
    assert trained.best.number == 0
    np.testing.assert_array_equal(trained.model.metric.whitening, np.eye(DIM))
    np.testing.assert_array_equal(trained.model.metric.projection, np.eye(DIM))


def test_without_speakers_held_out_all_epochs_are_trained(data, mean, monkeypatch):
    spy = Spy(monkeypatch, *data, mean.mean)
    options = replace(FAST, validation_share=0.0, epochs=7, patience=1, lr=1e3)
    trained = train_metric(*data, mean, options)
    assert [epoch.number for epoch in trained.epochs] == [*range(8)]
    assert {(epoch.eer, epoch.min_dcf) for epoch in trained.epochs} == {(None, None)}
    assert trained.best is trained.epochs[-1]
    assert {name for batch in spy.speakers() for name in batch} == set(data[1])


def test_a_loss_that_is_not_finite_is_an_error(data, mean):
    options = replace(FAST, loss="softmax", lr=1e25)
    with pytest.raises(DataError, match=r"epoch 1 .* not finite.* with a smaller --lr"):
        train_metric(*data, mean, options)
    # Beyond what a file of weights may hold.
    with pytest.raises(DataError, match=r"beyond 1e\+30; train with a smaller"):
        train_metric(*data, mean, replace(FAST, lr=9e29, validation_share=0.0))


# ---- who is learned from, who is held out ------------------------------------------


def test_batches_are_of_speakers_that_are_not_held_out(data, mean, monkeypatch):
    spy = Spy(monkeypatch, *data, mean.mean)
    options = replace(FAST, epochs=6, utterances_per_speaker=4)
    trained = train_metric(*data, mean, options)
    seen = {name for batch in spy.speakers() for name in batch}
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
    # What is judged are all pairs of the others.
    rows = [row for row, name in enumerate(data[1]) if name not in seen]
    found = judge(embed(data[0][rows], trained.model), [data[1][row] for row in rows])
    assert found.num_target == 15 * 15
    assert trained.best.eer == pytest.approx(found.eer, abs=1e-3)
    assert trained.best.min_dcf == pytest.approx(found.min_dcf, abs=5e-3)


@pytest.mark.parametrize("model", [None, Model()])
def test_the_model_does_not_know_who_is_held_out(model):
    vectors, names = draw(2, speakers=16)
    options = replace(FAST, epochs=1)
    before = train_metric(vectors, names, model, options).model
    unmoved = []
    for name in sorted(set(names)):
        moved = vectors + 100 * (np.array(names) == name)[:, None]
        after = train_metric(moved, names, model, options).model
        if (after.mean == before.mean).all():
            unmoved.append(name)
            if model is None:
                np.testing.assert_array_equal(after.transform, before.transform)
                np.testing.assert_array_equal(after.plda.psi, before.plda.psi)
    assert len(unmoved) == 4


def test_speakers_of_one_vector_are_left_out(data, monkeypatch, caplog):
    vectors, names = data[0], list(data[1])
    names[0], names[-1] = "one", "two"
    spy = Spy(monkeypatch, vectors, names, vectors.mean(axis=0))
    model = Model(vectors.mean(axis=0))
    train_metric(vectors, names, model, replace(FAST, validation_share=0.0))
    assert "2 of 62 speakers have one x-vector only and are left out" in caplog.text
    assert {name for batch in spy.speakers() for name in batch} == set(data[1])
    trained = train_metric(vectors, names, Model(), replace(FAST, validation_share=0.0))
    np.testing.assert_allclose(trained.model.mean, vectors[1:-1].mean(axis=0))


def test_at_most_so_many_vectors_are_judged(data, mean, monkeypatch):
    counts, plain = [], train_metric(*data, mean, FAST).epochs[0]

    def count(targets, nontargets):
        counts.append(len(targets) + len(nontargets))
        return verify(targets, nontargets)

    monkeypatch.setattr(embedding_training, "verify", count)
    # Embedded in blocks that do not divide them.
    monkeypatch.setattr(embedding_training, "_BLOCK", 7)
    assert train_metric(*data, mean, FAST).epochs[0].eer == pytest.approx(plain.eer)
    assert set(counts) == {90 * 89 / 2}
    counts.clear()
    monkeypatch.setattr(embedding_training, "_MOST_VALIDATED", 60)
    few = train_metric(*data, mean, FAST).epochs[0]
    assert set(counts) == {60 * 59 / 2}
    assert few.eer != plain.eer
    assert few.eer == pytest.approx(plain.eer, abs=0.1)


# ---- what is refused ---------------------------------------------------------------


def test_what_cannot_be_learned_from(data, mean, fitted):
    vectors, names = data
    broken = vectors.copy()
    broken[7, 3] = np.nan
    two = [names[row] for row in range(0, 72, 6)]
    small = Plda(np.zeros(5), np.eye(5), np.ones(5))
    plain = replace(FAST, epochs=1)
    for error, message, arguments in (
        (DataError, "row 7 of the x-vectors holds NaN", (broken, names, mean)),
        (DataError, "360 x-vectors and 359 speakers", (vectors, names[1:], mean)),
        (DataError, "named by str, found 5", (vectors, [5, *names[1:]], mean)),
        (DataError, "found 0 speakers with two", (vectors[:12], two, mean)),
        (DataError, "found 3 .* and 2 of them", (vectors[:18], names[:18], mean)),
        (DataError, "mean has 5", (*data, Model(np.zeros(5)))),
        (DataError, "whitening has 5", (*data, Model(transform=np.eye(5)))),
        (DataError, "PLDA has 5", (*data, Model(plda=small), MetricOptions())),
        (DataError, "is for 5 dimensions, the", (*data, replace(mean, plda=small))),
        (UsageError, "no PLDA to start from", (*data, mean, MetricOptions())),
        (
            *(UsageError, "gives 16 dimensions; ask for no more"),
            (*data, mean, replace(plain, embedding_dim=17)),
        ),
        (
            *(DataError, "the loss quadruplet needs 3 to learn"),
            (vectors[:24], names[:24], mean, replace(plain, loss="quadruplet")),
        ),
    ):
        options = arguments[3:] or (plain,)
        with pytest.raises(error, match=message):
            train_metric(*arguments[:3], *options)
    assert train_metric(vectors[:24], names[:24], mean, plain).epochs


def test_a_gpu_must_be_there_if_asked_for(data, mean, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device is available"):
        train_metric(*data, mean, FAST, device="cuda")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "arcface"}, "loss must be one of ssa, triplet"),
        ({"start": "pca"}, "start must be one of plda, whitening, random"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"lr": 1e31}, "above 0 and below 1e"),
        ({"loss": "ssa", "gamma": -0.1}, "gamma must be 0 or more"),
        ({"gamma": 0.9}, "gamma 0.9 applies to ssa, not to aam-softmax"),
        ({"triplets": "sampled"}, "triplets sampled applies to ssa"),
        ({"triplet_form": "paper"}, "triplet-form paper applies to ssa"),
        ({"validation_share": 0.6}, "validation-share must be between 0 and 0.5"),
        ({"validation_share": float("nan")}, "validation-share must be between"),
        ({"embedding_dim": 0}, "embedding-dim must be between 1 and"),
        ({"hidden_layers": -1}, "hidden-layers must be between 0 and"),
        ({"hidden_layers": 101}, "hidden-layers must be between 0 and 100"),
        ({"hidden_dim": 10_001}, "hidden-dim must be between 1 and 10,000"),
        ({"embedding_dim": 10_001}, "embedding-dim must be between 1 and 10,000"),
        ({"epochs": 100_001}, "epochs must be between 1 and 100,000"),
        ({"hidden_dim": 0}, "hidden-dim must be between 1 and"),
        ({"speakers_per_batch": 1}, "speakers-per-batch must be between 2 and"),
        ({"loss": "quadruplet", "speakers_per_batch": 2}, "must be 3 or more, found 2"),
        ({"utterances_per_speaker": 1}, "utterances-per-speaker must be between 2"),
        ({"epochs": 0}, "epochs must be between 1 and"),
        ({"patience": 0}, "patience must be 1 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"epochs": 2.5}, "epochs"),
        ({"objective": LossOptions(distance="plain")}, "not to aam-softmax"),
        ({"loss": "ssa", "objective": LossOptions(sampling="hard")}, "sampled"),
    ],
)
def test_wrong_options_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        MetricOptions(**values)


def test_the_entrance_says_what_it_takes(data, mean):
    trained = ssahc.train_metric(*data, model=mean, options=FAST, device="cpu")
    assert trained.epochs == train_metric(*data, mean, FAST, device="cpu").epochs
    for wrong, message in (
        ({"model": "model/"}, "a model comes from read_model_dir or Model, found 'mod"),
        ({"options": LossOptions()}, "options come from MetricOptions, found LossOpt"),
        ({"device": "gpu"}, "device must be auto, cpu or cuda, found 'gpu'"),
    ):
        with pytest.raises(UsageError, match=message):
            ssahc.train_metric(*data, **wrong)
