"""The network of a metric, what it starts as, and recordings that start from it."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch

from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.embedding_net import (
    apply_embedding_net,
    as_embedding_net,
    run_network,
    weights_of,
)
from ssahc.backend.plda import project_to_latent
from ssahc.backend.prepared import PreparedXvectors
from ssahc.backend.preprocess import whiten_and_normalize
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import EmbeddingNet, Model
from ssahc.learning.embedding_training import start_layers
from ssahc.learning.initialization import check_start, start_network
from ssahc.learning.losses.options import MetricOptions
from ssahc.learning.losses.ssa import ExpectedTriplets
from ssahc.learning.optimizer import Learner, TrainingJob, train_networks

DIM = 24


# ---- the network -------------------------------------------------------------------


def draw_metric(rng, hidden, columns):
    return EmbeddingNet(
        rng.standard_normal((5, 5 + columns)),
        tuple(
            (rng.standard_normal((7, 6)), rng.standard_normal((5, 7)))
            for _ in range(hidden)
        ),
        rng.standard_normal((3, 5)),
    )


def naive(vector, metric):
    """The formula of `EmbeddingNet`, number by number."""

    def affine(weights, values):
        rows = []
        for row in weights.tolist():
            offset = row[len(values)] if len(row) > len(values) else 0.0
            rows.append(offset + sum(w * v for w, v in zip(row, values)))
        return rows

    u = affine(metric.whitening, vector)
    length = sqrt(sum(value * value for value in u))
    h = [sqrt(len(u)) * value / length for value in u]
    for inner, outer in metric.hidden:
        units = [max(0.0, value) for value in affine(inner, h)]
        h = [a + b for a, b in zip(h, affine(outer, units))]
    return affine(metric.projection, h)


@pytest.mark.parametrize("columns", [0, 1])
@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_network_equals_a_naive_loop(rng, hidden, columns):
    metric, rows = draw_metric(rng, hidden, columns), rng.standard_normal((9, 5))
    ours = apply_embedding_net(rows, metric)
    np.testing.assert_allclose(ours, [naive(row, metric) for row in rows.tolist()])
    layers = weights_of(metric)
    on_torch = run_network(torch.from_numpy(rows), [*map(torch.from_numpy, layers)])
    np.testing.assert_allclose(on_torch.numpy(), ours, rtol=1e-12)
    again = as_embedding_net(layers)
    assert len(again.hidden) == hidden
    assert all(a is b for a, b in zip(weights_of(again), layers, strict=True))


def test_a_row_of_zeros_has_a_direction_of_none_and_gradients(rng):
    rows = torch.from_numpy(rng.standard_normal((3, 5)))
    rows[1] = 0
    layers = [
        torch.from_numpy(layer).requires_grad_()
        for layer in weights_of(draw_metric(rng, 0, 0))
    ]
    given = run_network(rows, layers)
    assert (given[1] == 0).all()
    gradients = torch.autograd.grad(given.square().sum(), layers)
    assert all(slope.isfinite().all() and slope.any() for slope in gradients)


def test_network_knows_its_dimension(rng):
    with pytest.raises(DataError, match="4 dimensions, the metric has 5; use the mod"):
        apply_embedding_net(rng.standard_normal((2, 4)), draw_metric(rng, 0, 0))


# ---- the start ---------------------------------------------------------------------


def start(model, options, seed=0):
    return as_embedding_net(
        start_layers(model, DIM, options, np.random.default_rng(seed))
    )


@pytest.mark.parametrize("columns", [0, 1])
def test_the_start_is_what_the_plda_makes_of_whitened_vectors(
    recording, model, columns
):
    offset = np.arange(DIM)[:, None] * np.ones((1, columns))
    model = replace(model, transform=np.hstack([model.transform, offset]))
    centered = recording.xvectors - model.mean
    latent = project_to_latent(whiten_and_normalize(centered, model), model.plda)
    given = apply_embedding_net(centered, start(model, MetricOptions()))
    np.testing.assert_allclose(
        given, latent + model.plda.transform @ model.plda.mean, atol=1e-9
    )
    first = apply_embedding_net(centered, start(model, MetricOptions(embedding_dim=3)))
    np.testing.assert_allclose(first, given[:, :3], atol=1e-12)
    whitened = apply_embedding_net(
        centered, start(model, MetricOptions(start="whitening"))
    )
    np.testing.assert_allclose(
        whitened, whiten_and_normalize(centered, model), atol=1e-9
    )


def test_hidden_layers_add_nothing_at_first(recording, model):
    centered = recording.xvectors - model.mean
    deep = start(model, MetricOptions(hidden_layers=2, hidden_dim=5))
    shapes = [(inner.shape, outer.shape) for inner, outer in deep.hidden]
    assert shapes == [((5, DIM + 1), (DIM, 5))] * 2
    plain = start(model, MetricOptions())
    np.testing.assert_array_equal(
        apply_embedding_net(centered, deep), apply_embedding_net(centered, plain)
    )


def test_a_random_start_depends_on_the_seed_only(model):
    options = MetricOptions(start="random")
    one, same, other = (start(model, options, seed) for seed in (0, 0, 1))
    bare = start(Model(), options, 0)
    for ours, equal, different in zip(*map(weights_of, (one, same, other))):
        np.testing.assert_array_equal(ours, equal)
        assert not np.isclose(ours, different).any()
    np.testing.assert_array_equal(one.projection, bare.projection)


# ---- recordings that start from it -------------------------------------------------


def with_metric(model, rng, hidden, columns):
    """Return the model with a metric that is near its PLDA's transform."""
    offset = rng.standard_normal((DIM, columns))
    layers = tuple(
        (rng.standard_normal((5, DIM + 1)), 0.2 * rng.standard_normal((DIM, 5)))
        for _ in range(hidden)
    )
    projection = model.plda.transform[:8]
    metric = EmbeddingNet(np.hstack([model.transform, offset]), layers, projection)
    return replace(model, metric=metric)


@pytest.mark.parametrize("projection", ["pca", "shrunk"])
@pytest.mark.parametrize(
    ("start", "hidden"), [("model", 0), ("whitened", 0), ("whitened", 2)]
)
@pytest.mark.parametrize("columns", [0, 1])
def test_recordings_start_from_what_the_metric_gives(
    recording, model, rng, start, hidden, columns, projection
):
    known = with_metric(model, rng, hidden, columns)
    xvectors = PreparedXvectors(recording.xvectors, known)
    begun = start_network(xvectors, start=start, projection=projection, pca_dim=5)
    given = apply_embedding_net(recording.xvectors - model.mean, known.metric)
    if start == "model":
        np.testing.assert_array_equal(begun.vectors, given)
        np.testing.assert_array_equal(begun.second, known.metric.projection)
    else:
        np.testing.assert_array_equal(begun.inputs, given)
        np.testing.assert_array_equal(begun.first, np.eye(8))
        if projection == "pca":
            assert begun.second.shape == (5, 8)
    # Before the first step the network gives what is clustered first.
    learner = Learner.at_start(begun.inputs, begun.first, begun.second)
    loss = ExpectedTriplets(np.arange(len(recording)) % 2, 0.4)
    output = train_networks([TrainingJob(learner, loss, 0.0, 0.0, 0)])[0].embeddings
    np.testing.assert_allclose(
        output @ output.T, cosine_affinity(begun.vectors).dense(), atol=2e-5
    )


def test_a_network_of_two_layers_has_no_place_for_more(recording, model, rng):
    deep = with_metric(model, rng, 2, 0)
    with pytest.raises(UsageError, match=r"hidden layers, .* use --start whitened"):
        check_start("model", deep)
    check_start("whitened", deep)
    check_start("model", with_metric(model, rng, 0, 0))
    options = {"start": "model", "projection": "pca", "pca_dim": 5}
    with pytest.raises(UsageError, match="has hidden layers"):
        start_network(PreparedXvectors(recording.xvectors, deep), **options)
