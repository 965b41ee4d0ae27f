"""What simulated recordings share with real ones: drift, shares, shape of the space."""

import numpy as np
import pytest

from benchmarks.studies.embeddings import measure_drift, measure_shares, measure_space
from benchmarks.support.halves import Item
from ssahc.core.errors import UsageError
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.simulation.conversations import simulate_corpus
from ssahc.simulation.kinds import KINDS
from ssahc.simulation.options import SimulateOptions
from ssahc.simulation.turns import draw_turns


def draw(**options):
    """Return the items of half "a", each with the model of half "b"."""
    halves = simulate_corpus(SimulateOptions(**options))
    conversations, model = halves["a"].conversations, halves["b"].model
    return [Item(one.recording, one.turns, model) for one in conversations]


@pytest.mark.parametrize(("drift", "seconds"), [(0.0, 15.0), (0.45, 15.0), (1.0, 60.0)])
def test_a_speaker_drifts_as_far_and_as_fast_as_asked(drift, seconds):
    options = SimulateOptions(
        recordings=1,
        duration=800.0,
        dim=64,
        min_speakers=1,
        max_speakers=1,
        noise=0.0,
        drift=drift,
        drift_seconds=seconds,
    )
    half = simulate_corpus(options)["a"]
    recording = half.conversations[0].recording
    plda = half.model.plda
    vectors = (recording.xvectors - half.model.mean) @ half.model.transform.T
    # In units of the variance between speakers of a recording.
    latent = vectors @ plda.transform.T / np.sqrt(1.2 * plda.psi)
    energy = (latent**2).mean(axis=1)
    distances = energy[:, None] + energy - 2 * latent @ latent.T / 64
    centers = recording.segments.mean(axis=1)
    gaps = np.abs(centers[:, None] - centers)
    for lag in (1.5, 15.0, 60.0, 200.0):
        expected = 2 * drift * (1 - np.exp(-lag / seconds))
        near = distances[np.abs(gaps - lag) < 0.4]
        assert near.mean() == pytest.approx(expected, abs=0.01 + 0.15 * expected)


def test_speakers_drift_apart_from_each_other():
    usual = {"recordings": 4, "min_speakers": 3, "max_speakers": 3, "noise": 0.0}
    steady, drifting = (draw(**usual, drift=drift) for drift in (0.0, 0.9))
    for one, other in zip(steady, drifting, strict=True):
        assert one.turns == other.turns
    # Windows of two speakers are as far apart as without drift, those of one are not.
    assert measure_drift(steady)[-2] == pytest.approx(0.0, abs=0.01)
    assert measure_drift(drifting)[-2] == pytest.approx(0.9, abs=0.15)


@pytest.mark.parametrize("concentration", [0.5, 20.0])
def test_shares_of_the_speech_are_as_uneven_as_asked(concentration):
    options = SimulateOptions(duration=500.0, concentration=concentration)
    generator = np.random.default_rng(1)
    drawn = [draw_turns(4, options, generator) for _ in range(40)]
    shares = [measure_shares(turns) for turns in drawn]
    # The expectation of the sum of squared shares under a Dirichlet distribution.
    expected = (concentration + 1) / (4 * concentration + 1)
    squares = np.mean([(share**2).sum() for share in shares])
    assert squares == pytest.approx(expected, rel=0.1)
    if concentration == 20.0:
        lengths = [turn.end - turn.start for turns in drawn for turn in turns]
        assert np.mean(lengths) == pytest.approx(3.4, rel=0.05)


def test_one_share_of_nearly_everything_is_possible():
    options = SimulateOptions(concentration=0.01, min_speakers=3)
    for seed in range(20):
        turns = draw_turns(3, options, np.random.default_rng(seed))
        assert len(measure_shares(turns)) == 3


def test_dead_dimensions_are_zero_and_the_model_leaves_them_out():
    for relu in (False, True):
        item = draw(recordings=1, dim=40, dead_dims=5, relu=relu, mean_scale=0.0)[0]
        xvectors, model = item.recording.xvectors, item.model
        dead = (xvectors == 0).all(axis=0)
        assert dead.sum() == 5
        assert (model.transform[:, dead] == 0).all()
        assert (model.mean[dead] == 0).all()
        assert model.transform.shape == (35, 40)


def test_vectors_are_rectified_and_of_unit_length():
    usual = {"recordings": 1, "duration": 30.0, "dim": 12}
    plain = draw(**usual)[0].recording.xvectors
    relu = draw(**usual, relu=True)[0].recording.xvectors
    assert np.array_equal(relu, np.maximum(plain, 0))
    both = draw(**usual, relu=True, unit_length=True)[0].recording.xvectors
    lengths = np.linalg.norm(relu, axis=1, keepdims=True)
    np.testing.assert_allclose(both * lengths, relu)


def test_the_model_of_rectified_vectors_is_fitted_to_them():
    items = draw(recordings=8, dim=16, relu=True, unit_length=True, mean_scale=1.0)
    model = items[0].model
    vectors = np.concatenate([item.recording.xvectors for item in items])
    whitened = (vectors - model.mean) @ model.transform.T
    variances = np.linalg.eigvalsh(np.cov(whitened.T))
    assert 0.2 < variances.min() < variances.max() < 4


def test_the_spectrum_is_as_uneven_as_asked():
    def variances(anisotropy):
        items = draw(
            recordings=1,
            dim=150,
            anisotropy=anisotropy,
            speaker_variance=1e-9,
        )
        coloring = np.linalg.inv(items[0].model.transform)
        return np.log(np.linalg.svd(coloring, compute_uv=False) ** 2)

    # The halves differ a little.
    assert variances(0.0).std() < 0.3
    assert variances(1.5).std() == pytest.approx(1.5, rel=0.15)


def test_a_large_mean_and_few_directions_of_speakers():
    usual = {"recordings": 10, "dim": 64, "noise": 0.5, "duration": 60.0}
    usual |= {"speaker_variance": 2.0}
    wide = measure_space(draw(**usual, mean_scale=1.0))
    narrow = measure_space(draw(**usual, mean_scale=10.0, speaker_decay=4.0))
    assert narrow.mean > 4 * wide.mean
    assert narrow.between < wide.between / 2


# Around what is measured on real sets (docs/results/simulated.md): distances of one
# speaker over those of two, of neighbours and of windows 30 s apart; size of the mean;
# share of zeros; largest share of the speech.
REAL = {
    "campp": ((0.60, 0.72), (0.75, 0.87), (0.7, 1.0), 0.5, (0.5, 0.7)),
    "resemblyzer": ((0.60, 0.72), (0.72, 0.86), (0.9, 1.4), 0.5, (0.5, 0.7)),
    "telephone": ((0.60, 0.72), (0.72, 0.84), (1.2, 2.0), 0.0, (0.45, 0.65)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_have_the_figures_of_real_sets(kind):
    near, far, mean, zeros, largest = REAL[kind]
    options = {**KINDS[kind], "recordings": 10, "duration": 120.0}
    # Fewer dimensions, for speed.
    dead = options.get("dead_dims", 0) // 3
    items = draw(**options | {"dim": 80, "dead_dims": dead})
    drift = measure_drift(items)
    assert near[0] < drift[0] < near[1]
    assert far[0] < drift[5] < far[1]
    space = measure_space(items)
    assert space.dead >= dead
    assert mean[0] < space.mean < mean[1]
    assert space.zeros == pytest.approx(zeros, abs=0.05)
    most = [measure_shares(item.turns).max() for item in items]
    assert largest[0] < np.mean(most) < largest[1]


def test_contradictory_options_are_refused():
    with pytest.raises(UsageError, match="dead-dims"):
        SimulateOptions(dim=10, dead_dims=9)
    # Of two dimensions, a ReLU soon leaves nothing.
    options = SimulateOptions(dim=2, relu=True, recordings=1)
    with pytest.raises(UsageError, match="dead-dims"):
        simulate_corpus(options)


def test_the_command_line_takes_a_kind_and_changes_to_it(ssahc_here, tmp_path):
    flags = ("--recordings", 1, "--duration", 20, "--dim", 16, "--dead-dims", 2)
    flags += ("--train-speakers", 0)
    assert ssahc_here("simulate", tmp_path, "--like", "resemblyzer", *flags)
    (recording,) = read_recordings(open_xvector_dir(tmp_path / "a"))
    assert recording.xvectors.shape[1] == 16
    np.testing.assert_allclose(np.linalg.norm(recording.xvectors, axis=1), 1, rtol=1e-5)
    assert (recording.xvectors >= 0).all()
