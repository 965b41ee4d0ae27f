"""What a network starts from, and whether what it learned is better."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_alone import learn_alone
from scipy.integrate import quad
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score

from ssahc.api import Stop, make_options
from ssahc.backend.affinity import cosine_affinity
from ssahc.backend.plda import project_to_latent
from ssahc.backend.prepared import PreparedXvectors
from ssahc.backend.preprocess import center, recording_pca, whiten_and_normalize
from ssahc.backend.shrinkage import shrunk_directions
from ssahc.clustering.ahc import average_linkage
from ssahc.core.types import NO_MODEL, Model
from ssahc.learning.initialization import start_network
from ssahc.learning.losses.ssa import ExpectedTriplets
from ssahc.learning.optimizer import Learner, Training, TrainingJob, train_networks
from ssahc.learning.options import LearningOptions
from ssahc.simulation.conversations import simulate_corpus
from ssahc.simulation.options import SimulateOptions


def plant(rng, count, dim, strengths):
    """Return low-rank rows around their mean, and the same with noise of variance 1."""
    rank = len(strengths)
    left = np.linalg.qr(rng.standard_normal((count, rank + 1)))[0]
    left = np.linalg.qr(left - left.mean(axis=0))[0][:, :rank]
    right = np.linalg.qr(rng.standard_normal((dim, rank)))[0]
    scale = np.sqrt(max(count, dim)) * np.array(strengths)
    signal = left * scale @ right.T
    return signal, signal + rng.standard_normal((count, dim))


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
def test_shrinkage_equals_a_naive_one(rng, count, dim):
    vectors = plant(rng, count, dim, [6.0, 4.0, 3.0])[1]
    lengths = np.linalg.norm(shrunk_directions(vectors), axis=1)
    assert 3 <= len(lengths) <= 4
    np.testing.assert_allclose(lengths, naive_shrinkage(vectors), rtol=1e-5)


@pytest.mark.parametrize(("count", "dim"), [(140, 128), (400, 64), (60, 256)])
def test_noise_alone_has_no_direction(rng, count, dim):
    found = [
        len(shrunk_directions(rng.standard_normal((count, dim)))) for _ in range(20)
    ]
    assert sum(found) <= 4, "the edge is that of infinite matrices"


@pytest.mark.parametrize(("count", "dim"), [(140, 128), (60, 200)])
def test_shrunk_directions_come_nearer_to_the_signal_than_any_number_of_them(
    rng, count, dim
):
    signal, noisy = plant(rng, count, dim, [4.0, 2.5, 1.6, 1.2])
    shrunk = shrunk_directions(noisy)
    lengths = np.linalg.norm(shrunk, axis=1, keepdims=True)
    directions = shrunk / lengths
    centered = noisy - noisy.mean(axis=0)
    error = np.linalg.norm(centered @ shrunk.T @ directions - signal)
    kept = centered @ directions.T
    for number in range(len(shrunk) + 1):
        cut = np.linalg.norm(kept[:, :number] @ directions[:number] - signal)
        assert error < cut


def test_rounding_is_no_noise(rng):
    repeated = rng.standard_normal((10, 64)).repeat(10, axis=0)
    assert shrunk_directions(repeated).shape == (0, 64)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.sampled_from([1e-6, 0.5, 1e6]))
def test_shrinkage_knows_no_unit(seed, scale):
    vectors = plant(np.random.default_rng(seed), 30, 12, [5.0, 3.0])[1]
    lengths = np.linalg.norm(shrunk_directions(vectors), axis=1)
    scaled = np.linalg.norm(shrunk_directions(scale * vectors), axis=1)
    np.testing.assert_allclose(scaled, lengths, rtol=1e-6)
    assert (lengths <= 1).all()
    assert (np.diff(lengths) <= 0).all()


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


@pytest.mark.parametrize("projection", ["pca", "shrunk"])
@pytest.mark.parametrize("start", ["model", "whitened"])
@pytest.mark.parametrize("which", ["none", "whitening", "affine", "plda"])
def test_the_network_starts_as_what_is_clustered_first(
    recording, model, which, start, projection
):
    known = variants(model)[which]
    xvectors = PreparedXvectors(recording.xvectors, known)
    begun = start_network(xvectors, start=start, projection=projection, pca_dim=5)
    learner = Learner.at_start(begun.inputs, begun.first, begun.second)
    loss = ExpectedTriplets(np.arange(len(recording)) % 2, 0.4)
    output = train_networks([TrainingJob(learner, loss, 0.0, 0.0, 0)])[0].embeddings
    np.testing.assert_allclose(
        output @ output.T, cosine_affinity(begun.vectors).dense(), atol=2e-5
    )
    whitened = whiten_and_normalize(center(recording.xvectors, known.mean), known)
    if (start, projection) == ("model", "pca"):
        directions = recording_pca(whitened)[1][:5]
        np.testing.assert_allclose(begun.vectors, whitened @ directions.T, atol=1e-9)
    if (start, which) == ("whitened", "plda"):
        latent = project_to_latent(whitened, model.plda)
        np.testing.assert_array_equal(begun.inputs, latent)
        np.testing.assert_array_equal(begun.first, np.eye(len(model.plda.psi)))


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


@pytest.mark.parametrize("known", [2, 3, None])
@pytest.mark.parametrize("lr", [3e-4, 3e-2])
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


def test_the_guard_refuses_what_is_ruined(recording, model, monkeypatch):
    def ruin(jobs, device):
        spoilt = jobs[0].learner.inputs[:, :3].astype(float)
        return [Training((1.0, 0.5), "max_steps", spoilt, jobs[0].learner)]

    monkeypatch.setattr("ssahc.learning.ssa.train_networks", ruin)
    start = learn_alone(recording, model, LearningOptions(min_xvectors=10_000))
    guarded = learn_alone(recording, model, LearningOptions(periods=3))
    assert [period.stopped for period in guarded.periods] == ["worse_clusters"]
    np.testing.assert_array_equal(guarded.affinity.dense(), start.affinity.dense())
    ruined = learn_alone(recording, model, LearningOptions(guard=False))
    assert ruined.periods[0].learned
    assert not np.allclose(ruined.affinity.dense(), start.affinity.dense(), atol=0.1)


@pytest.mark.parametrize(
    ("preset", "losses", "sums"),
    [
        ("paper-ssa1", (0.423173, 0.51719, 0.445881), (251.057, 613.295, 372.582)),
        (
            "paper-ssa2-lambda0.2",
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
        SimulateOptions(recordings=5, duration=90, most_speakers=6, dim=64, seed=5)
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
