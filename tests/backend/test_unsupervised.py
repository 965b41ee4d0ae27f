"""Training without labels: equal to the definition, refused on unsuitable data."""

from dataclasses import replace

import numpy as np
import pytest

from ssahc.backend.plda import is_isotropic
from ssahc.backend.unsupervised import estimate_mean, fit_unlabelled
from ssahc.core.errors import DataError
from ssahc.core.types import Fault, Recording
from ssahc.io.model import read_model_dir, write_model_dir
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


def test_the_model_equals_the_definition(conversations):
    # The same by a plain double loop over windows.
    recordings = windows_of(conversations)
    model = fit_unlabelled(recordings)
    means = [recording.xvectors.mean(axis=0) for recording in recordings]
    mean = np.mean(means, axis=0)
    np.testing.assert_allclose(model.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(estimate_mean(iter(recordings)), mean)
    differences = []
    for recording in recordings:
        rows, times = recording.xvectors, recording.segments
        for index, (_, end) in enumerate(times):
            for later in range(index + 1, len(rows)):
                if times[later - 1, 1] + 0.02 < times[later, 0]:
                    break
                if times[later, 0] >= end - 0.02:
                    differences.append(rows[index] - rows[later])
                    break
    within = sum(np.outer(row, row) for row in differences) / (2 * len(differences))
    weight = 30 * 12 / (30 * 12 + len(differences))
    prior = np.trace(within) / 12 * np.eye(12)
    shrunk = (1 - weight) * within + weight * prior
    # Whitening makes it the identity, in whatever directions.
    whitened = model.transform @ shrunk @ model.transform.T
    np.testing.assert_allclose(whitened, np.eye(12), atol=1e-5)
    rows = np.concatenate([recording.xvectors - mean for recording in recordings])
    rows = rows @ model.transform.T
    noise = np.trace(model.transform @ within @ model.transform.T)
    share = noise / (rows**2).sum(axis=1).mean()
    np.testing.assert_allclose(model.plda.transform, np.eye(12) / np.sqrt(share))
    np.testing.assert_allclose(model.plda.psi, 1 + 0.5 / len(recordings))
    assert is_isotropic(model.plda)


def test_the_model_is_what_its_files_hold(conversations, tmp_path):
    model = fit_unlabelled(windows_of(conversations))
    write_model_dir(tmp_path / "m", model, file_format="binary")
    read = read_model_dir(tmp_path / "m")
    np.testing.assert_array_equal(read.mean, model.mean)
    np.testing.assert_array_equal(read.transform, model.transform)
    np.testing.assert_array_equal(read.plda.transform, model.plda.transform)


def test_every_recording_counts_the_same_for_the_mean(conversations):
    first, second = windows_of(conversations)[:2]
    short = shown(second, np.arange(10))
    expected = (first.xvectors.mean(axis=0) + short.xvectors.mean(axis=0)) / 2
    np.testing.assert_allclose(estimate_mean([first, short]), expected)
    # A given mean is taken.
    model = fit_unlabelled([first, short], mean=np.arange(12.0))
    np.testing.assert_array_equal(model.mean, np.arange(12))


def test_constant_dimensions_are_left_out(conversations):
    recordings = windows_of(conversations)
    dead = [
        replace(recording, xvectors=np.insert(recording.xvectors, [0, 5], 0.5, axis=1))
        for recording in recordings
    ]
    model, expected = fit_unlabelled(dead), fit_unlabelled(recordings)
    assert model.transform.shape == (12, 14)
    np.testing.assert_array_equal(model.transform[:, [0, 6]], 0)
    rows = np.delete(model.transform, [0, 6], axis=1)
    np.testing.assert_allclose(np.abs(rows), np.abs(expected.transform), rtol=1e-4)


def test_few_windows_whiten_little_and_many_fully(rng):
    scales = np.geomspace(0.3, 3, 12)
    few, many = (
        spread(fit_unlabelled([stretch(rng, scales, count)])) for count in (20, 40_000)
    )
    assert few < 2
    assert many > 8


def stretch(rng, scales, count):
    """Return a recording of one voice whose noise has these scales."""
    starts = 0.75 * np.arange(count)
    segments = np.column_stack([starts, starts + 1.5])
    xvectors = scales * rng.standard_normal((count, 12))
    return Recording.from_arrays("r", xvectors, segments)


def spread(model):
    """Return how much more a whitening stretches one direction than another."""
    values = np.linalg.svd(model.transform, compute_uv=False)
    return values[0] / values[-1]


def shown(recording, rows):
    """Return the recording with these windows."""
    return replace(
        recording,
        utterances=tuple(recording.utterances[row] for row in rows),
        segments=recording.segments[rows],
        xvectors=recording.xvectors[rows],
    )


def test_whole_turns_are_refused_or_not_learned_from(conversations, rng, caplog):
    turns = whole_turns(conversations, rng)
    with pytest.raises(DataError, match=r"distance \d\.\d\d of theirs\): the segments"):
        fit_unlabelled(turns)
    caplog.set_level("INFO", "ssahc")
    model = fit_unlabelled(turns, strict=False)
    assert "whole turns" in caplog.text
    assert "a general within-speaker variance is assumed" in caplog.text
    np.testing.assert_array_equal(model.transform, np.eye(12))


def test_one_voice_per_recording_can_be_learned_from():
    alone = {"min_speakers": 1, "max_speakers": 1}
    options = SimulateOptions(recordings=12, duration=60, dim=12, **alone)
    recordings = windows_of(simulate_corpus(options)["a"].conversations)
    assert fit_unlabelled(recordings).plda is not None


def test_windows_that_do_not_touch_tell_nothing(conversations):
    apart = []
    for recording in windows_of(conversations):
        starts = 5.0 * np.arange(len(recording))
        segments = np.column_stack([starts, starts + 1.5])
        apart.append(replace(recording, segments=segments))
    with pytest.raises(DataError, match="no two windows follow each other"):
        fit_unlabelled(apart)
    with pytest.raises(DataError, match="there is no recording"):
        fit_unlabelled([])


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


def test_the_most_frequent_dimension_is_learned_from_unless_strict(conversations):
    first, *others = windows_of(conversations)[:4]
    odd = replace(first, xvectors=first.xvectors[:, :5])
    model = fit_unlabelled([odd, *others], strict=False)
    np.testing.assert_array_equal(model.mean, fit_unlabelled(others).mean)


def test_a_mean_that_does_not_fit_is_refused(conversations):
    recordings = windows_of(conversations)[:2]
    given = fit_unlabelled(recordings, mean=[0.5] * 12)
    np.testing.assert_array_equal(given.mean, np.full(12, 0.5))
    for mean, message in (
        (np.zeros(3), "x-vectors have 12 dimensions, the mean has 3"),
        ("abc", "the mean must be an array of numbers"),
        ([np.nan] * 12, "the mean holds NaN"),
    ):
        with pytest.raises(DataError, match=message):
            fit_unlabelled(recordings, mean=mean)
