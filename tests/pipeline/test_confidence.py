"""Confidence: between 0 and 1, whatever the names, and lower where voices mix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ssahc
from ssahc.backend.affinity import ScoreMatrix, cosine_affinity
from ssahc.core.turns import make_turns, rate_turns, split_windows
from ssahc.core.types import Turn
from ssahc.pipeline.confidence import keeps_speaker, measure_margins

SYSTEMS = [
    {},
    {"num_speakers": 2},
    {"system": "cosine"},
    {"system": "plda", "resegmentation": "vbx"},
    {"system": "spectral"},
    {"system": "cosine", "final_clustering": "kmeans"},
    {"system": "cosine", "max_spk_fraction": 0.6, "num_speakers": 2},
]


@pytest.mark.parametrize("options", SYSTEMS, ids=str)
def test_every_system_rates_every_window_and_turn(corpus, options):
    recording = corpus["a"].conversations[0].recording
    found = ssahc.diarize_recording(
        recording, corpus["b"].model, ssahc.make_options(**options)
    )
    confidence = found.window_confidence
    assert confidence.shape == (len(recording),)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert all(0 <= turn.confidence <= 1 for turn in found.turns)
    assert confidence.min() <= found.confidence <= confidence.max()


@pytest.mark.parametrize("known", [1, 2])
def test_a_single_window_and_a_known_single_speaker(known, rng):
    for count in (1, 12):
        segments = 0.75 * np.arange(count)[:, None] + [0, 1.5]
        vectors = rng.normal(size=(count, 8))
        found = ssahc.diarize(vectors, segments, num_speakers=known, system="cosine")
        assert np.isfinite(found.window_confidence).all()
        if known == 1:
            assert {turn.confidence for turn in found.turns} == {1.0}


def test_a_window_of_another_voice_is_less_certain(rng):
    voices = rng.normal(size=(2, 64))
    spoken = np.repeat([0, 1, 0, 1], 15)
    vectors = voices[spoken] + 0.5 * rng.normal(size=(60, 64))
    vectors[20] = voices.mean(axis=0)
    segments = 1.5 * np.arange(60)[:, None] + [0, 1.5]
    for system in ("cosine", None):
        found = ssahc.diarize(vectors, segments, system=system)
        others = np.delete(found.window_confidence, 20)
        assert found.window_confidence[20] < others.min()


def test_margins_as_by_loops(rng):
    affinity = cosine_affinity(rng.normal(size=(9, 4)))
    labels = np.array([0, 1, 0, 2, 1, 0, 1, 0, 0])
    matrix = affinity.dense().astype(float)
    deviation = matrix[np.triu_indices(9, 1)].std()
    for affinities in (affinity, ScoreMatrix(matrix)):
        for window, margin in enumerate(measure_margins(affinities, labels)):
            mean = {}
            for speaker in range(3):
                others = [
                    matrix[window, other]
                    for other in range(9)
                    if labels[other] == speaker and other != window
                ]
                mean[speaker] = sum(others) / len(others) if others else 0.0
            own = mean.pop(labels[window])
            assert margin == pytest.approx(
                (own - max(mean.values())) / deviation, abs=1e-5
            )


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    names=st.permutations(range(4)),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_names_do_not_matter_and_equal_solutions_keep_all(labels, names, data):
    weights = np.array([data.draw(st.integers(1, 9)) for _ in labels], float)
    labels, names = np.unique(labels, return_inverse=True)[1], np.array(names)
    assert keeps_speaker(labels, labels, weights).all()
    assert keeps_speaker(labels, names[labels], weights).all()
    # The larger part of a speaker is right, and all speakers but one of a joint one.
    assert keeps_speaker(labels, np.zeros_like(labels), weights) @ weights == max(
        np.bincount(labels, weights)
    )


def test_a_turn_has_the_mean_of_its_speakers_windows_by_seconds():
    segments = np.array([[0, 2.0], [1, 3], [3, 4], [5, 6], [5.5, 5.75]])
    labels, confidence = np.array([0, 0, 1, 0, 1]), np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    turns = [
        *make_turns(segments, [str(label + 1) for label in labels]),
        Turn(0, 6, "1"),
        Turn(0, 2, "2"),
    ]
    pieces = split_windows(segments)
    for turn, rated in zip(turns, rate_turns(turns, segments, labels, confidence)):
        assert rated == turn
        total = sure = 0.0
        for start, end, window in pieces:
            if str(labels[window] + 1) == turn.speaker:
                shared = max(min(end, turn.end) - max(start, turn.start), 0)
                total, sure = total + shared, sure + shared * confidence[window]
        expected = None if total == 0 else pytest.approx(sure / total)
        assert rated.confidence == expected
