import numpy as np
import pytest

from ssahc.errors import UsageError
from ssahc.preprocess import center, whiten_and_normalize
from ssahc.simulate import (
    SHIFT,
    WINDOW,
    SimulateOptions,
    simulate_corpus,
    simulate_training,
)


def test_same_seed_same_corpus():
    options = SimulateOptions(recordings=2, duration=30, dim=8)
    first, second = simulate_corpus(options), simulate_corpus(options)
    for half in ("a", "b"):
        for one, two in zip(first[half].conversations, second[half].conversations):
            assert one.turns == two.turns
            assert np.array_equal(one.recording.xvectors, two.recording.xvectors)


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


def test_everybody_speaks():
    options = SimulateOptions(
        recordings=4, duration=120, dim=4, fewest_speakers=5, most_speakers=5
    )
    for half in simulate_corpus(options).values():
        for item in half.conversations:
            assert len({turn.speaker for turn in item.turns}) == 5


def test_the_model_fits_its_vectors():
    half = simulate_corpus(SimulateOptions(recordings=60, duration=40, dim=16))["a"]
    vectors = np.concatenate([c.recording.xvectors for c in half.conversations])
    whitened = whiten_and_normalize(center(vectors, half.model.mean), half.model)
    covariance = np.cov(whitened.T)
    # Whitened by the generating model: no direction dominates.
    assert 0.2 < np.linalg.eigvalsh(covariance).min()
    assert np.linalg.eigvalsh(covariance).max() < 3


def test_the_halves_differ_a_little(corpus):
    first, second = (half.model for half in corpus.values())
    assert np.array_equal(first.plda.psi, second.plda.psi)
    moved = whiten_and_normalize(center(first.mean[None], second.mean), second)
    assert np.isfinite(moved).all()
    assert not np.allclose(first.mean, second.mean)


def test_training_vectors_are_of_the_same_speaker_space(corpus):
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


def test_the_halves_do_not_depend_on_the_training_vectors():
    options = {"recordings": 1, "duration": 20, "dim": 8}
    without = simulate_corpus(SimulateOptions(**options, train_speakers=0))
    with_many = simulate_corpus(SimulateOptions(**options, train_speakers=50))
    for half in ("a", "b"):
        one, two = (c[half].conversations[0].recording for c in (without, with_many))
        assert np.array_equal(one.xvectors, two.xvectors)
    assert simulate_training(SimulateOptions(train_speakers=0)).xvectors.size == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_speakers": -1},
        {"train_sessions": 0},
        {"recordings": 0},
        {"dim": 1},
        {"duration": 1.0},
        {"fewest_speakers": 3, "most_speakers": 2},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(UsageError, match=r"expected|must be"):
        SimulateOptions(**wrong)
