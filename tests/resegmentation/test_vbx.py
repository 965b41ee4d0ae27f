"""The preset vbx: labels of VBx, by its equations without any of our code."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.special import softmax

import ssahc
from ssahc.backend.affinity import ScoreMatrix, cosine_affinity
from ssahc.clustering.calibration import calibrate_threshold
from ssahc.core.errors import UsageError


def draw_problem(seed):
    """Return a recording, a model with LDA and a PLDA of unit lengths, and options."""
    rng = np.random.default_rng(seed)
    count, dim, given = rng.integers(20, 70), rng.integers(6, 24), 30
    psi = np.sort(rng.exponential(3.0, dim))[::-1]
    loading = rng.standard_normal((dim, dim))
    offset = 0.2 * loading @ rng.standard_normal(dim)
    scale = np.sqrt((loading**2 @ (1 + psi)).sum() + offset @ offset)
    loading, offset = loading / scale, offset / scale
    speakers = np.sqrt(psi) * rng.standard_normal((rng.integers(1, 6), dim))
    labels = rng.integers(len(speakers), size=count // 4 + 1).repeat(4)[:count]
    latent = speakers[labels] + rng.standard_normal((count, dim))
    lda, mean = rng.standard_normal((dim, given)), rng.standard_normal(given)
    lengths = rng.uniform(1, 9, (count, 1))
    xvectors = mean + lengths * ((offset + latent @ loading.T) @ np.linalg.pinv(lda).T)
    starts = np.arange(count) * 0.25
    recording = ssahc.Recording(
        "r",
        tuple(f"r-{number}" for number in range(count)),
        np.column_stack([starts, starts + 1.5]),
        xvectors,
    )
    plda = ssahc.Plda(offset, np.linalg.inv(loading), psi)
    constants = {
        "fa": float(rng.uniform(0.1, 1.0)),
        "fb": float(rng.uniform(1.0, 20.0)),
        "loop_prob": float(rng.uniform(0.2, 0.99)),
    }
    return recording, ssahc.Model(mean, lda, plda), constants


def find_crossing(scores):
    """Fit two Gaussians of one variance to scores; return where they cross."""
    weights, variance = np.array([0.5, 0.5]), scores.var()
    means = scores.mean() + scores.std() * np.array([-1.0, 1.0])
    for _ in range(20):
        logs = np.log(weights) - 0.5 * (scores[:, None] - means) ** 2 / variance
        shares = softmax(logs, axis=1)
        weights = shares.mean(axis=0)
        means = (shares * scores[:, None]).sum(axis=0) / shares.sum(axis=0)
        variance = (shares * (scores[:, None] - means) ** 2).sum() / len(scores)
    # Log of weight times density of either, as a polynomial in the score.
    slope = (means[1] - means[0]) / variance
    level = np.log(weights[1] / weights[0])
    level -= (means[1] ** 2 - means[0] ** 2) / (2 * variance)
    return -level / slope


def cluster(vectors):
    """Return AHC clusters of cosines, and the threshold that they are cut at."""
    cosines = vectors @ vectors.T
    threshold = find_crossing(cosines.ravel()) - 0.015
    merges = linkage(squareform(1 - cosines, checks=False), "average")
    return fcluster(merges, 1 - threshold, "distance") - 1


def apply_vbx(vectors, psi, clusters, fa, fb, loop_prob):
    """Infer labels by Eqs. 16 to 25 of the paper; sums over states in logs."""
    gamma = softmax(5.0 * np.eye(clusters.max() + 1)[clusters], axis=1)
    count, speakers = gamma.shape
    pi, before = np.full(speakers, 1 / speakers), -np.inf
    rho = vectors * np.sqrt(psi)
    constant = -0.5 * (vectors**2).sum(axis=1) - 0.5 * len(psi) * np.log(2 * np.pi)
    for _ in range(40):
        inverse = 1 / (1 + fa / fb * gamma.sum(axis=0)[:, None] * psi)
        alpha = fa / fb * inverse * (gamma.T @ rho)
        emitted = rho @ alpha.T - 0.5 * ((inverse + alpha**2) @ psi)
        emitted = fa * (emitted + constant[:, None])
        with np.errstate(divide="ignore"):
            change = np.log(loop_prob * np.eye(speakers) + (1 - loop_prob) * pi)
            ahead = [np.log(pi) + emitted[0]]
        for t in range(1, count):
            arrive = add_logs(ahead[-1][:, None] + change, 0)
            ahead.append(arrive + emitted[t])
        behind = [np.zeros(speakers)]
        for t in range(count - 1, 0, -1):
            behind.insert(0, add_logs(change + emitted[t] + behind[0], 1))
        total = add_logs(ahead[-1], 0)
        gamma = np.exp(np.array(ahead) + np.array(behind) - total)
        bound = total + 0.5 * fb * (np.log(inverse) - inverse - alpha**2 + 1).sum()
        drawn = gamma[0].copy()
        for t in range(1, count):
            into = add_logs(ahead[t - 1], 0) + emitted[t] + behind[t] - total
            drawn += (1 - loop_prob) * pi * np.exp(into)
        pi = drawn / drawn.sum()
        if bound - before < 1e-6:
            break
        before = bound
    return gamma.argmax(axis=1)


def expect(recording, model, constants):
    """Return the labels of VBx and of the AHC that it starts from."""
    vectors = (recording.xvectors - model.mean) @ model.transform.T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    clusters = cluster(vectors)
    latent = (vectors - model.plda.mean) @ model.plda.transform.T
    return apply_vbx(latent, model.plda.psi, clusters, **constants), clusters


def add_logs(logs, axis):
    return np.logaddexp.reduce(logs, axis=axis)


def same_partition(first, second):
    pairs = len(set(zip(first, second, strict=True)))
    return pairs == len(set(first)) == len(set(second))


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_those_of_vbx(seed):
    recording, model, constants = draw_problem(seed)
    options = ssahc.make_options("vbx", **constants)
    result = ssahc.diarize_recording(recording, model, options)
    expected, _ = expect(recording, model, constants)
    assert same_partition(result.labels.tolist(), expected.tolist())


def test_a_known_number_and_bounds_are_kept():
    recording, model, constants = draw_problem(3)
    for values, fewest, most in (
        ({"num_speakers": 1}, 1, 1),
        ({"num_speakers": 7}, 7, 7),
        ({"num_speakers": 500}, len(recording), len(recording)),
        ({"min_speakers": 6}, 6, len(recording)),
        ({"max_speakers": 2}, 1, 2),
    ):
        options = ssahc.make_options("vbx", **constants, **values)
        result = ssahc.diarize_recording(recording, model, options)
        assert fewest <= result.num_speakers <= most


def test_thresholds_of_a_sweep_are_those_of_single_runs():
    recording, model, constants = draw_problem(5)
    truth = [ssahc.Turn(0.0, 9.0, "x"), ssahc.Turn(9.0, 99.0, "y")]
    scorer = ssahc.LabelScorer(recording.segments, truth)
    grid = {"threshold": [-0.6, -0.015, 0.3], "fb": [1.0, 20.0]}
    options = ssahc.make_options("vbx", **constants)
    sweep = ssahc.sweep_recording(recording, scorer, grid, model, options)
    for (fb, threshold), score in sweep.scores.items():
        values = constants | {"fb": fb, "threshold": threshold}
        single = ssahc.make_options("vbx", **values)
        result = ssahc.diarize_recording(recording, model, single)
        assert score == scorer.score(result.labels)


def test_calibration_finds_where_two_gaussians_cross(rng):
    scores = rng.normal(-1.0, 0.5, (40, 40))
    scores[:10, :10] += 3.0
    scores = np.triu(scores) + np.triu(scores, 1).T
    threshold = calibrate_threshold(ScoreMatrix(scores))
    assert threshold == pytest.approx(find_crossing(scores.ravel()), abs=1e-5)
    for scores in (np.zeros((3, 3)), np.ones((1, 1)), np.eye(2)):
        assert -1 <= calibrate_threshold(ScoreMatrix(scores)) <= 1
    # Long recordings are calibrated on some of their windows.
    vectors = np.eye(6)[np.arange(2000) % 3] + 0.3 * rng.standard_normal((2000, 6))
    some, all_of_them = (
        calibrate_threshold(cosine_affinity(vectors[::step])) for step in (4, 1)
    )
    assert all_of_them == pytest.approx(some, abs=0.02)


def test_options_of_the_other_resegmentation_are_refused_or_displaced():
    for values in (
        {"resegmentation": "vb", "loop_prob": 0.5},
        {"loop_prob": 0.5},
        {"resegmentation": "vbx", "loop_seconds": 2.0},
        {"resegmentation": "vbx", "loop_prob": 1.0},
        {"resegmentation": "vbx", "final_clustering": "vb"},
        {"resegmentation": "vbx", "final_clustering": "kmeans"},
    ):
        with pytest.raises(UsageError, match=r"--loop|--resegmentation vbx"):
            ssahc.make_options(**values)
    recording, model, _ = draw_problem(0)
    options = ssahc.make_options("vbx", resegmentation="vb")
    assert ssahc.diarize_recording(recording, model, options).num_speakers > 0
