"""What a network starts from, and whether what it learned is better."""

from dataclasses import replace

import numpy as np
import pytest
from learn_alone import learn_alone
from scipy.integrate import quad
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score

from ssahc.api import Stop, make_options
from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.embedding_net import (
    apply_embedding_net,
    as_embedding_net,
    weights_of,
)
from ssahc.backend.plda import project_to_latent
from ssahc.backend.prepared import PreparedXvectors
from ssahc.backend.preprocess import center, recording_pca, whiten_and_normalize
from ssahc.backend.shrinkage import shrunk_directions
from ssahc.clustering.ahc import average_linkage
from ssahc.core.errors import UsageError
from ssahc.core.types import NO_MODEL, EmbeddingNet, Model
from ssahc.learning.embedding_training import initial_weights
from ssahc.learning.initialization import check_start, start_network
from ssahc.learning.losses.options import MetricOptions
from ssahc.learning.losses.ssa import ExpectedTriplets
from ssahc.learning.optimizer import Learner, TrainingJob, train_networks
from ssahc.learning.options import LearningOptions
from ssahc.simulation.conversations import simulate_corpus
from ssahc.simulation.options import SimulateOptions

DIM = 24


def plant(rng, count, dim, strengths):
    """Return rows of low rank with noise of variance 1."""
    rank = len(strengths)
    left = np.linalg.qr(rng.standard_normal((count, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((dim, rank)))[0]
    signal = left * (np.sqrt(max(count, dim)) * np.array(strengths)) @ right.T
    return signal + rng.standard_normal((count, dim))


def naive_shrinkage(vectors):
    """Gavish & Donoho's factors, from singular values and an integrated density."""
    centered = vectors - vectors.mean(axis=0)
    small, large = sorted((len(vectors) - 1, vectors.shape[1]))
    values = np.linalg.svd(centered, compute_uv=False)[:small]
    ratio = small / large
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def density(x):
        return np.sqrt((high - x) * (x - low)) / (2 * np.pi * ratio * x)

    median = brentq(lambda x: quad(density, low, x)[0] - 0.5, low + 1e-9, high)
    noise = np.sqrt(np.median(values**2) / median)
    factors = []
    for y in values / noise:
        if y > 1 + np.sqrt(ratio):
            factors.append(np.sqrt((y**2 - ratio - 1) ** 2 - 4 * ratio) / y / y)
    return factors


@pytest.mark.parametrize(("count", "dim"), [(40, 15), (30, 60), (26, 20), (300, 10)])
def test_shrinkage_equals_a_naive_one_and_knows_no_unit(rng, count, dim):
    vectors = plant(rng, count, dim, [6.0, 4.0, 3.0])
    for scale in (1.0, 1e-6, 1e6):
        lengths = np.linalg.norm(shrunk_directions(scale * vectors), axis=1)
        assert 3 <= len(lengths) <= 4
        np.testing.assert_allclose(lengths, naive_shrinkage(vectors), rtol=1e-5)


@pytest.mark.parametrize(("count", "dim"), [(140, 128), (400, 64), (60, 256)])
def test_noise_alone_has_no_direction(rng, count, dim):
    noise = (rng.standard_normal((count, dim)) for _ in range(10))
    found = [len(shrunk_directions(vectors)) for vectors in noise]
    assert sum(found) <= 2, "the edge is that of infinite matrices"


def test_rounding_is_no_noise(rng):
    repeated = rng.standard_normal((10, 64)).repeat(10, axis=0)
    assert shrunk_directions(repeated).shape == (0, 64)


@pytest.mark.parametrize(
    "vectors",
    [np.ones((1, 4)), np.eye(2, 4), np.ones((6, 4)), np.zeros((6, 4)), np.eye(3, 2)],
    ids=["one", "two", "equal", "zero", "three"],
)
def test_too_little_to_tell_from_noise_starts_from_principal_directions(vectors):
    assert len(shrunk_directions(vectors)) == 0
    xvectors = PreparedXvectors(vectors, NO_MODEL)
    start = start_network(xvectors, start="whitened", projection="shrunk", pca_dim=2)
    assert start.second.shape == (min(2, len(vectors)), vectors.shape[1])
    assert np.isfinite(start.vectors).all()


def variants(model):
    offset = np.column_stack([model.transform, np.arange(len(model.transform))])
    return {
        "none": NO_MODEL,
        "whitening": Model(model.mean, model.transform),
        "affine": replace(model, transform=offset),
        "plda": model,
    }


def with_net(model, rng, hidden, columns):
    """Return the model with a network whose projection is near the PLDA's transform."""
    dim = len(model.mean)
    inner, outer = rng.standard_normal((5, dim + 1)), rng.standard_normal((dim, 5))
    whitening = np.hstack([model.transform, rng.standard_normal((dim, columns))])
    layers = ((inner, 0.2 * outer),) * hidden
    return replace(
        model, metric=EmbeddingNet(whitening, layers, model.plda.transform[:8])
    )


def first_affinity(begun):
    """The affinity of a network's outputs before the first step."""
    learner = Learner.at_start(begun.inputs, begun.first, begun.second)
    loss = ExpectedTriplets(np.arange(len(begun.inputs)) % 2, 0.4)
    output = train_networks([TrainingJob(learner, loss, 0.0, 0.0, 0)])[0].embeddings
    return output @ output.T


@pytest.mark.parametrize("projection", ["pca", "shrunk"])
@pytest.mark.parametrize("start", ["model", "whitened"])
@pytest.mark.parametrize("which", ["none", "whitening", "affine", "plda"])
def test_the_network_starts_as_what_is_clustered_first(
    recording, model, which, start, projection
):
    known = variants(model)[which]
    xvectors = PreparedXvectors(recording.xvectors, known)
    begun = start_network(xvectors, start=start, projection=projection, pca_dim=5)
    clustered = cosine_affinity(begun.vectors).dense()
    np.testing.assert_allclose(first_affinity(begun), clustered, atol=2e-5)
    whitened = whiten_and_normalize(center(recording.xvectors, known.mean), known)
    if (start, projection) == ("model", "pca"):
        directions = recording_pca(whitened)[1][:5]
        np.testing.assert_allclose(begun.vectors, whitened @ directions.T, atol=1e-9)
    if (start, which) == ("whitened", "plda"):
        latent = project_to_latent(whitened, model.plda)
        np.testing.assert_array_equal(begun.inputs, latent)
        np.testing.assert_array_equal(begun.first, np.eye(len(model.plda.psi)))


@pytest.mark.parametrize("projection", ["pca", "shrunk"])
@pytest.mark.parametrize(
    ("start", "hidden", "columns"),
    [("model", 0, 0), ("model", 0, 1), ("whitened", 0, 0), ("whitened", 2, 1)],
)
def test_recordings_start_from_the_outputs_of_an_embedding_network(
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
    clustered = cosine_affinity(begun.vectors).dense()
    np.testing.assert_allclose(first_affinity(begun), clustered, atol=2e-5)


def test_hidden_layers_require_the_whitened_start(recording, model, rng):
    deep = with_net(model, rng, 2, 0)
    check_start("whitened", deep)
    options = {"start": "model", "projection": "pca", "pca_dim": 5}
    for use in (
        lambda: check_start("model", deep),
        lambda: start_network(PreparedXvectors(recording.xvectors, deep), **options),
    ):
        with pytest.raises(UsageError, match=r"hidden layers, .* use --start whitened"):
            use()


def test_learning_does_not_depend_on_the_scale_of_the_whitening(recording, model):
    bare = Model(model.mean, model.transform)
    larger = Model(model.mean, 100 * model.transform)
    options = LearningOptions(guard=False)
    first, second = (learn_alone(recording, which, options) for which in (bare, larger))
    assert first.periods[0].learned
    np.testing.assert_allclose(
        first.affinity.dense(), second.affinity.dense(), atol=1e-4
    )


def naive_separation(matrix, labels):
    total = 0.0
    for i, label in enumerate(labels):
        own = [matrix[i, j] for j in np.flatnonzero(labels == label) if j != i]
        others = [
            np.mean(matrix[i, labels == other]) for other in set(labels) - {label}
        ]
        total += np.mean(own or [0.0]) - max(others)
    return total / len(labels)


@pytest.mark.parametrize(("known", "lr"), [(2, 3e-4), (3, 3e-2), (None, 3e-2)])
def test_the_guard_keeps_what_stands_apart_in_the_start(corpus, known, lr):
    model, kept = corpus["b"].model, []
    for item in corpus["a"].conversations:
        start, end, guarded = (
            learn_alone(item.recording, model, options, num_speakers=known)
            for options in (
                LearningOptions(min_xvectors=10_000),
                LearningOptions(lr=lr, guard=False),
                LearningOptions(lr=lr),
            )
        )
        matrix = start.affinity.dense().astype(float)
        counts = [known] if known else range(2, end.periods[0].num_clusters + 1)
        before, after = (
            max(
                naive_separation(matrix, average_linkage(found).cut(Stop(count)))
                for count in counts
            )
            for found in (start.affinity.dense(), end.affinity.dense())
        )
        kept.append(guarded.periods[0].learned)
        assert kept[-1] == (after >= before)
        expected = end if kept[-1] else start
        np.testing.assert_array_equal(
            guarded.affinity.dense(), expected.affinity.dense()
        )
        if not kept[-1]:
            assert guarded.periods[0].stopped == "worse_clusters"
            assert guarded.periods[0].losses == end.periods[0].losses


@pytest.mark.parametrize(
    ("preset", "losses", "sums"),
    [
        ("paper-ssa1", (0.423173, 0.51719, 0.445881), (251.057, 613.295, 372.582)),
        (
            "paper-ssa2",
            (0.398889, 0.501298, 0.407586),
            (235.417, 547.518, 340.740),
        ),
    ],
)
def test_presets_do_what_they_did_before_there_were_other_starts(
    corpus, preset, losses, sums
):
    """Figures of the commit before; then x-vectors were the same to the last bit."""
    options, model = make_options(preset).learning, corpus["b"].model
    for item, loss, total in zip(corpus["a"].conversations, losses, sums, strict=True):
        learned = learn_alone(item.recording, model, options, num_speakers=2)
        assert learned.affinity.features.shape[1] == 10
        assert learned.periods[0].losses[-1] == pytest.approx(loss, abs=2e-5)
        assert learned.affinity.dense().sum() == pytest.approx(total, abs=0.05)


def alone(conversation):
    """Return the windows that a single speaker is heard in, and this speaker."""
    rows, speakers = [], []
    for row, (start, end) in enumerate(conversation.recording.segments):
        heard = {
            turn.speaker
            for turn in conversation.turns
            if turn.start < end and turn.end > start
        }
        if len(heard) == 1:
            rows.append(row)
            speakers += heard
    return np.array(rows), np.array(speakers)


def test_defaults_tell_speakers_apart_better_than_the_paper():
    corpus = simulate_corpus(
        SimulateOptions(recordings=5, duration=90, max_speakers=6, dim=64, seed=5)
    )
    model, areas = corpus["b"].model, []
    for options in (make_options("paper-ssa1").learning, LearningOptions()):
        found = []
        for item in corpus["a"].conversations:
            learned = learn_alone(item.recording, model, options)
            rows, speakers = alone(item)
            pairs = np.triu_indices(len(rows), 1)
            same = (speakers[:, None] == speakers)[pairs]
            affinities = learned.affinity.dense()[np.ix_(rows, rows)][pairs]
            found.append(roc_auc_score(same, affinities))
        areas.append(np.mean(found))
    assert areas[1] > areas[0] + 0.003


# ---- embedding networks ------------------------------------------------------------


def initial_net(model, options, seed=0):
    generator = np.random.default_rng(seed)
    return as_embedding_net(initial_weights(model, DIM, options, generator))


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
