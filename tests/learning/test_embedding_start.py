"""What embedding networks start from, and recordings that start from such a network."""

from dataclasses import replace

import numpy as np
import pytest

from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.embedding_net import (
    apply_embedding_net,
    as_embedding_net,
    weights_of,
)
from ssahc.backend.plda import project_to_latent
from ssahc.backend.prepared import PreparedXvectors
from ssahc.backend.preprocess import whiten_and_normalize
from ssahc.core.errors import UsageError
from ssahc.core.types import EmbeddingNet, Model
from ssahc.learning.embedding_training import initial_weights
from ssahc.learning.initialization import check_start, start_network
from ssahc.learning.losses.options import MetricOptions
from ssahc.learning.losses.ssa import ExpectedTriplets
from ssahc.learning.optimizer import Learner, TrainingJob, train_networks

DIM = 24


def initial_net(model, options, seed=0):
    generator = np.random.default_rng(seed)
    return as_embedding_net(initial_weights(model, DIM, options, generator))


# ---- the initial network -----------------------------------------------------------


@pytest.mark.parametrize("columns", [0, 1])
def test_networks_start_as_whitening_and_plda(recording, model, columns):
    offset = np.arange(DIM)[:, None] * np.ones((1, columns))
    model = replace(model, transform=np.hstack([model.transform, offset]))
    centered = recording.xvectors - model.mean

    def outputs(options):
        return apply_embedding_net(centered, initial_net(model, options))

    whitened = whiten_and_normalize(centered, model)
    latent = project_to_latent(whitened, model.plda)
    latent += model.plda.transform @ model.plda.mean
    found = outputs(MetricOptions())
    np.testing.assert_allclose(found, latent, atol=1e-9)
    first = outputs(MetricOptions(embedding_dim=3))
    np.testing.assert_allclose(first, found[:, :3], atol=1e-12)
    found = outputs(MetricOptions(start="whitening"))
    np.testing.assert_allclose(found, whitened, atol=1e-9)


def test_hidden_layers_add_nothing_at_first(recording, model):
    centered = recording.xvectors - model.mean
    deep = initial_net(model, MetricOptions(hidden_layers=2, hidden_dim=5))
    shapes = [(inner.shape, outer.shape) for inner, outer in deep.hidden]
    assert shapes == [((5, DIM + 1), (DIM, 5))] * 2
    plain = initial_net(model, MetricOptions())
    np.testing.assert_array_equal(
        apply_embedding_net(centered, deep), apply_embedding_net(centered, plain)
    )


def test_a_random_start_depends_only_on_the_seed(model):
    options = MetricOptions(start="random")
    one, same, other = (initial_net(model, options, seed) for seed in (0, 0, 1))
    bare = initial_net(Model(), options, 0)
    for ours, equal, different in zip(*map(weights_of, (one, same, other))):
        np.testing.assert_array_equal(ours, equal)
        assert not np.isclose(ours, different).any()
    np.testing.assert_array_equal(one.projection, bare.projection)


# ---- recordings that start from it -------------------------------------------------


def with_net(model, rng, hidden, columns):
    """Return the model with a network whose projection is near the PLDA's transform."""
    offset = rng.standard_normal((DIM, columns))
    layers = tuple(
        (rng.standard_normal((5, DIM + 1)), 0.2 * rng.standard_normal((DIM, 5)))
        for _ in range(hidden)
    )
    projection = model.plda.transform[:8]
    net = EmbeddingNet(np.hstack([model.transform, offset]), layers, projection)
    return replace(model, metric=net)


@pytest.mark.parametrize("projection", ["pca", "shrunk"])
@pytest.mark.parametrize(
    ("start", "hidden", "columns"),
    [("model", 0, 0), ("model", 0, 1), ("whitened", 0, 0), ("whitened", 2, 1)],
)
def test_recordings_start_from_the_outputs_of_the_network(
    recording, model, rng, start, hidden, columns, projection
):
    known = with_net(model, rng, hidden, columns)
    xvectors = PreparedXvectors(recording.xvectors, known)
    begun = start_network(xvectors, start=start, projection=projection, pca_dim=5)
    outputs = apply_embedding_net(recording.xvectors - model.mean, known.metric)
    if start == "model":
        np.testing.assert_array_equal(begun.vectors, outputs)
        np.testing.assert_array_equal(begun.second, known.metric.projection)
    else:
        np.testing.assert_array_equal(begun.inputs, outputs)
        np.testing.assert_array_equal(begun.first, np.eye(8))
        if projection == "pca":
            assert begun.second.shape == (5, 8)
    # Before the first step, the recording's network gives what is clustered first.
    learner = Learner.at_start(begun.inputs, begun.first, begun.second)
    loss = ExpectedTriplets(np.arange(len(recording)) % 2, 0.4)
    output = train_networks([TrainingJob(learner, loss, 0.0, 0.0, 0)])[0].embeddings
    np.testing.assert_allclose(
        output @ output.T, cosine_affinity(begun.vectors).dense(), atol=2e-5
    )


def test_hidden_layers_require_the_whitened_start(recording, model, rng):
    deep = with_net(model, rng, 2, 0)
    with pytest.raises(UsageError, match=r"hidden layers, .* use --start whitened"):
        check_start("model", deep)
    check_start("whitened", deep)
    check_start("model", with_net(model, rng, 0, 0))
    options = {"start": "model", "projection": "pca", "pca_dim": 5}
    with pytest.raises(UsageError, match="has hidden layers"):
        start_network(PreparedXvectors(recording.xvectors, deep), **options)
