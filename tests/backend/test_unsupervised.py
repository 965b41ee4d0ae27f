"""Training without labels: equal to the definition, refused on unsuitable data."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import eigh

from ssahc.backend import unsupervised
from ssahc.backend.plda_training import covariances
from ssahc.backend.unsupervised import fit_unlabelled
from ssahc.core.errors import DataError
from ssahc.core.types import Fault, Plda, Recording
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus


@pytest.fixture(scope="module")
def conversations():
    options = SimulateOptions(recordings=12, duration=60, dim=12, train_speakers=0)
    return simulate_corpus(options)["a"].conversations


def windows_of(conversations):
    return [item.recording for item in conversations]


def whole_turns(conversations, rng):
    """One x-vector per turn, each up to the next: neighbours are other speakers."""
    recordings = []
    for item in conversations:
        voices = {turn.speaker: rng.standard_normal(12) for turn in item.turns}
        turns = sorted(item.turns)
        starts = np.array([turn.start for turn in turns])
        segments = np.column_stack([starts, np.append(starts[1:], starts[-1] + 1)])
        xvectors = np.stack([voices[turn.speaker] for turn in turns])
        xvectors += rng.standard_normal(xvectors.shape)
        names = tuple(f"{item.recording.id}-{row}" for row in range(len(turns)))
        recordings.append(Recording(item.recording.id, names, segments, xvectors))
    return recordings


def test_covariances_equal_the_definition(conversations):
    # The same by a plain double loop over windows.
    recordings = windows_of(conversations)
    model = fit_unlabelled(recordings)
    stacked = np.concatenate([recording.xvectors for recording in recordings])
    np.testing.assert_allclose(model.mean, stacked.mean(axis=0))
    whitened = (stacked - model.mean) @ model.transform.T
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(12), atol=1e-9)
    differences, everything = [], []
    for recording in recordings:
        rows = (recording.xvectors - model.mean) @ model.transform.T
        rows *= np.sqrt(12) / np.linalg.norm(rows, axis=1, keepdims=True)
        everything.append(rows)
        times = recording.segments
        for index, (_, end) in enumerate(times):
            for later in range(index + 1, len(rows)):
                if times[later - 1, 1] + 0.02 < times[later, 0]:
                    break
                if times[later, 0] >= end - 0.02:
                    differences.append(rows[index] - rows[later])
                    break
    within = np.cov(np.transpose(differences), bias=True)
    middle = np.mean(differences, axis=0)
    within = (within + np.outer(middle, middle)) / 2
    total = np.cov(np.concatenate(everything).T, bias=True)
    # Negative between-speaker variances are clipped to 0.
    psi, columns = eigh(total - within, within)
    assert psi.min() < 0 < psi[1]
    loading = np.linalg.inv(columns.T)
    between = (loading * np.maximum(psi, 0)) @ loading.T
    ours = covariances(model.plda)
    np.testing.assert_allclose(ours[0], within, atol=1e-9)
    np.testing.assert_allclose(ours[1], between, atol=1e-9)


def shown(recording, rows):
    """Return the recording with these windows."""
    return replace(
        recording,
        utterances=tuple(recording.utterances[row] for row in rows),
        segments=recording.segments[rows],
        xvectors=recording.xvectors[rows],
    )


def test_whole_turns_are_refused(conversations, rng):
    with pytest.raises(DataError, match="the segments seem to be whole turns"):
        fit_unlabelled(whole_turns(conversations, rng))


def test_one_speaker_per_recording_is_refused():
    alone = {"min_speakers": 1, "max_speakers": 1}
    options = SimulateOptions(recordings=12, duration=60, dim=12, **alone)
    recordings = windows_of(simulate_corpus(options)["a"].conversations)
    with pytest.raises(DataError, match="or every recording has one speaker"):
        fit_unlabelled(recordings)


def test_too_little_data_is_refused(conversations):
    recordings = windows_of(conversations)
    with pytest.raises(DataError, match="there is no recording"):
        fit_unlabelled([])
    with pytest.raises(DataError, match="12 dimensions without labels at least 24"):
        fit_unlabelled([shown(recordings[0], np.arange(20))])
    apart = []
    for recording in recordings:
        starts = 5.0 * np.arange(len(recording))
        segments = np.column_stack([starts, starts + 1.5])
        apart.append(replace(recording, segments=segments))
    with pytest.raises(DataError, match="found 0 pairs of neighbouring windows"):
        fit_unlabelled(apart)


def test_unusable_recordings_are_refused(conversations):
    first, second = recordings = windows_of(conversations)[:2]
    odd = replace(second, xvectors=second.xvectors[:, :5])
    with pytest.raises(DataError, match="'a001' has x-vectors of 5 dimensions, 'a000'"):
        fit_unlabelled([first, odd])
    broken = Fault("a007", "its x-vector holds NaN")
    with pytest.raises(DataError, match="'a007' cannot be used: its x-vec"):
        fit_unlabelled(iter([*recordings, broken]))
    with pytest.raises(DataError, match="expected recordings to learn from"):
        fit_unlabelled(["a0"])


@pytest.mark.parametrize(("psi", "warned"), [([2, 1, 1, 0], 0), ([2, 1, 0, 0], 1)])
def test_clipped_variances_are_reported(
    conversations, monkeypatch, caplog, psi, warned
):
    plda = Plda(np.zeros(4), np.eye(4), np.array(psi, float))
    monkeypatch.setattr(unsupervised, "diagonalize", lambda *_: plda)
    caplog.set_level("INFO", "ssahc")
    fit_unlabelled(windows_of(conversations))
    first, *others = caplog.messages
    assert re.fullmatch(r"learned from \d{3,} pairs of neighbouring windows", first)
    assert len(others) == warned
    assert all("2 of 4 variances between speakers" in warning for warning in others)
