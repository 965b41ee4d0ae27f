"""Simulated corpora: turns, windows, noise and training vectors as asked for."""

import hashlib
from dataclasses import astuple, replace
from errno import ENOSPC
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.cli import simulate
from ssahc.core.errors import UsageError
from ssahc.io.rttm import read_rttm
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.simulation.conversations import simulate_corpus, simulate_training
from ssahc.simulation.options import SimulateOptions
from ssahc.simulation.turns import SHIFT, WINDOW


def test_windows_cover_the_speech(corpus):
    for half in corpus.values():
        for item in half.conversations:
            segments = item.recording.segments
            lengths = np.diff(segments, axis=1)
            assert (lengths > 0).all()
            assert (lengths <= WINDOW + 1e-6).all()
            overlapping = segments[1:, 0] < segments[:-1, 1]
            steps = np.diff(segments[:, 0])[overlapping]
            np.testing.assert_allclose(steps, SHIFT, atol=0.011)
            for turn in item.turns:
                inside = (segments[:, 0] < turn.end) & (segments[:, 1] > turn.start)
                covered = segments[inside]
                assert covered[:, 0].min() <= turn.start + 1e-6
                assert covered[:, 1].max() >= turn.end - 1e-6


def test_the_model_whitens_its_own_vectors_but_not_those_of_the_other_half():
    halves = simulate_corpus(SimulateOptions(recordings=40, duration=40, dim=16))
    half, other = halves.values()
    vectors = np.concatenate([c.recording.xvectors for c in half.conversations])
    whitened = whiten_and_normalize(center(vectors, half.model.mean), half.model)
    # Whitened by the generating model: no direction dominates.
    variances = np.linalg.eigvalsh(np.cov(whitened.T))
    assert 0.2 < variances.min() < variances.max() < 3
    assert np.array_equal(half.model.plda.psi, other.model.plda.psi)
    assert not np.allclose(half.model.mean, other.model.mean)


def test_training_vectors_share_the_speaker_space(corpus):
    options = SimulateOptions(dim=24, seed=3, train_speakers=30, train_sessions=4)
    labelled = simulate_training(options)
    assert len(set(labelled.utterances)) == len(labelled.speakers) == 120
    again = simulate_training(options)
    assert np.array_equal(labelled.xvectors, again.xvectors)
    model = corpus["a"].model
    centered = center(labelled.xvectors, model.mean)
    latent = (centered @ model.transform.T) @ model.plda.transform.T
    voices = latent.reshape(30, 4, 24)
    within = voices.var(axis=1, ddof=1).mean(axis=0)
    between = voices.mean(axis=1).var(axis=0, ddof=1) - within / 4
    # As drawn: noise of variance 1.5 and more, a session's offset, and the speakers.
    assert 0.7 < np.median(within / (1.6 + 0.3 * model.plda.psi)) < 1.4
    assert 0.7 < np.median(between / (1.2 * model.plda.psi)) < 1.4


def test_contradictory_options_are_refused():
    for wrong, message in (
        ({"min_speakers": 3, "max_speakers": 2}, "max-speakers"),
        ({"turn_seconds": 200.0}, "turn-seconds"),
    ):
        with pytest.raises(UsageError, match=message):
            SimulateOptions(**wrong)


def conversations(**options):
    """Simulate, and put the conversations of both halves in one list."""
    halves = simulate_corpus(SimulateOptions(**options))
    return [item for half in halves.values() for item in half.conversations]


def test_the_defaults_draw_the_same_corpus_in_every_version():
    options = SimulateOptions(
        recordings=3, duration=40, dim=16, seed=7, train_speakers=5
    )
    digest = hashlib.sha256()

    def add(*arrays):
        for array in arrays:
            # CPUs differ in the last bits of a product.
            digest.update((np.round(array, 6) + 0.0).tobytes())

    for half in simulate_corpus(options).values():
        model = half.model
        add(model.mean, model.transform, model.plda.mean)
        add(model.plda.transform, model.plda.psi)
        for item in half.conversations:
            # As turns were shown when the digest was taken.
            turns = ", ".join(
                f"Turn(start={turn[0]!r}, end={turn[1]!r}, speaker={turn[2]!r})"
                for turn in map(astuple, item.turns)
            )
            digest.update(f"([{turns}], {item.recording.utterances!r})".encode())
        for item in half.conversations:
            add(item.recording.segments, item.recording.xvectors)
    training = simulate_training(options)
    digest.update(repr((training.utterances, training.speakers)).encode())
    add(training.xvectors)
    assert digest.hexdigest() == (
        "0419f8dfbc6148e9833d0ae6201d4719ef42fe97b2539b33471a6c0968c0f271"
    )


@pytest.mark.parametrize(("mean", "overlap"), [(1.5, 0.0), (3.4, 0.5), (8.0, 0.2)])
def test_turns_are_as_long_and_overlap_as_often_as_asked(mean, overlap):
    drawn = conversations(
        turn_seconds=mean, overlap=overlap, dim=2, duration=400, recordings=4
    )
    lengths = [turn.end - turn.start for item in drawn for turn in item.turns]
    assert np.mean(lengths) == pytest.approx(mean, rel=0.08)
    early = [
        later.start < earlier.end
        for item in drawn
        for earlier, later in pairwise(item.turns)
    ]
    assert np.mean(early) == pytest.approx(overlap, abs=0.05)


def test_everybody_speaks_and_turns_do_not_depend_on_noise_or_training_vectors():
    usual = conversations(dim=8, recordings=3, min_speakers=5)
    for item in usual:
        assert len({turn.speaker for turn in item.turns}) == 5
    noisy = {"noise": 3.0, "slow_noise": 0.5, "noise_dof": 5.0}
    other = conversations(
        dim=8, recordings=3, min_speakers=5, train_speakers=0, **noisy
    )
    assert [item.turns for item in usual] == [item.turns for item in other]
    assert simulate_training(SimulateOptions(train_speakers=0)).xvectors.size == 0


def test_windows_may_be_whole_turns():
    for item in conversations(windows="turns", dim=4, overlap=0.5, recordings=3):
        segments = item.recording.segments
        assert segments[:, 0].tolist() == [turn.start for turn in item.turns]
        assert (segments[1:, 0] >= segments[:-1, 1]).all()
        # In frames of 10 ms: what is spoken is covered, and nothing else.
        frames = np.arange(0, segments.max() + 1, 0.01) + 0.005
        covered, spoken = (
            np.any([(a < frames) & (frames < b) for a, b in spans], axis=0)
            for spans in (segments, [(turn.start, turn.end) for turn in item.turns])
        )
        assert np.array_equal(covered, spoken)


ONE_SPEAKER = {"min_speakers": 1, "max_speakers": 1, "turn_seconds": 60.0}
NOISY = SimulateOptions(recordings=1, duration=400.0, dim=64, seed=5, **ONE_SPEAKER)


def noise(**options):
    """Return centres and latent noise of the full windows of one speaker."""
    drawn = []
    for noise in (options.pop("noise", NOISY.noise), 0.0):
        half = simulate_corpus(replace(NOISY, noise=noise, **options))["a"]
        recording = half.conversations[0].recording
        vectors = recording.xvectors - half.model.mean
        transform = half.model.plda.transform @ half.model.transform
        drawn.append(vectors @ transform.T)
    full = np.isclose(np.diff(recording.segments)[:, 0], WINDOW)
    return recording.segments[full].mean(axis=1), (drawn[0] - drawn[1])[full]


@pytest.fixture(scope="module")
def usual_noise():
    return noise()[1]


def test_noise_is_as_large_as_asked(usual_noise):
    np.testing.assert_allclose(noise(noise=6.0)[1], 2 * usual_noise, atol=1e-9)
    # A little more than asked for: some directions are noisier.
    assert 1.5 < usual_noise.var() < 1.5 * 1.3


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 5.0), (0.5, 20.0), (1.0, 5.0)])
def test_slow_noise_is_correlated_over_seconds(share, seconds):
    centers, drawn = noise(slow_noise=share, slow_seconds=seconds)
    gaps = np.abs(centers[:, None] - centers)
    products = drawn @ drawn.T / 64 / drawn.var()
    for lag in (2.0, 5.0, 10.0):
        near = np.abs(gaps - lag) < 0.4
        expected = share * np.exp(-gaps[near] / seconds).mean()
        assert products[near].mean() == pytest.approx(expected, abs=0.05)
    # Windows that overlap by half share 0.45 of the quick noise.
    neighbours = np.isclose(gaps, SHIFT)
    expected = 0.45 * (1 - share) + share * np.exp(-SHIFT / seconds)
    assert products[neighbours].mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("dof", [3.0, 10.0])
def test_heavy_tails_follow_students_t(usual_noise, dof):
    _, student = noise(noise_dof=dof)
    scales = student / usual_noise
    np.testing.assert_allclose(scales, scales[:, :1] @ np.ones((1, 64)), rtol=1e-6)
    chi_square = (dof - 2) / scales[:, 0] ** 2
    assert stats.kstest(chi_square, stats.chi2(dof).cdf).pvalue > 0.01


def test_heavy_tails_reach_the_training_vectors():
    options = SimulateOptions(dim=32, train_speakers=30, noise=50.0)
    kurtosis = [
        stats.kurtosis(simulate_training(choice).xvectors, axis=0).mean()
        for choice in (options, replace(options, noise_dof=5.0))
    ]
    assert kurtosis[0] < 0.5
    assert kurtosis[1] > 1.5


def test_the_command_line_passes_options(ssahc_here, tmp_path):
    options = {"recordings": 2, "duration": 30.0, "dim": 8, "overlap": 0.4}
    options |= {"windows": "turns", "slow_noise": 0.3, "noise_dof": 6.0}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    flags += ["--train-speakers", 3]
    assert ssahc_here("simulate", tmp_path, *flags).returncode == 0
    drawn = simulate_corpus(SimulateOptions(**options))["a"].conversations
    written = list(read_recordings(open_xvector_dir(tmp_path / "a")))
    turns = read_rttm(tmp_path / "a" / "ref.rttm").turns
    for item, recording in zip(drawn, written, strict=True):
        assert len(turns[recording.id]) == len(item.turns)
        np.testing.assert_allclose(
            recording.xvectors, item.recording.xvectors, rtol=1e-5
        )


def test_a_full_disk_leaves_earlier_output_untouched(ssahc_here, tmp_path, monkeypatch):
    small = ("simulate", tmp_path, "--recordings", 2, "--duration", 20, "--dim", 4)
    training = ("--train-speakers", 3, "--train-sessions", 2)
    assert ssahc_here(*small, *training).returncode == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    assert len(before) == 7 * 2 + 3 * 2 + 5

    def fail(*_):
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(simulate, "write_training", fail)
    result = ssahc_here(*small, *training, "--seed", 1)
    assert result.returncode == 2
    assert result.stderr == "ssahc: error: No space left on device\n"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path: path.read_bytes() for path in files} == before
