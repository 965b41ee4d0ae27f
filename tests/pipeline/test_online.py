"""A stream is announced in time, with steady names, and ends as a recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ssahc
from ssahc.pipeline.online_clustering import match_names
from ssahc.pipeline.online_windows import UNKNOWN, KeptWindows

DIM = 8


def stream(turns, seed=0, dim=DIM):
    """X-vectors and segments of half-overlapping windows, five to a turn."""
    rng = np.random.default_rng(seed)
    voices = 4 * rng.normal(size=(max(turns) + 1, dim))
    speakers = np.repeat(turns, 5)
    xvectors = voices[speakers] + rng.normal(size=(len(speakers), dim))
    starts = 0.75 * np.arange(len(speakers))
    return xvectors.astype(np.float32), np.column_stack([starts, starts + 1.5])


def replay(announcements):
    """Return the speaker of each window, checking that corrections are called so."""
    said = {}
    for item in announcements:
        assert item.is_correction == (item.window in said)
        assert said.get(item.window) != item.speaker
        said[item.window] = item.speaker
    return [said[window] for window in range(len(said))]


@pytest.fixture(scope="module")
def plda_model():
    return ssahc.Model(
        mean=np.zeros(DIM),
        plda=ssahc.Plda(np.zeros(DIM), 2 * np.eye(DIM), np.linspace(4, 2, DIM)),
    )


CALL = [0, 1, 0, 2, 1]
LENGTH = 5 * len(CALL)


@pytest.mark.parametrize(
    ("with_model", "values"),
    [(True, {}), (False, {"num_speakers": 2}), (True, {"system": "spectral"})],
)
def test_the_end_is_that_of_the_recording(plda_model, with_model, values):
    xvectors, segments = stream([0, 1, 0])
    model = plda_model if with_model else None
    online = ssahc.OnlineDiarizer(model, **values)
    announced = online.add(xvectors, segments)
    ended = online.finish()
    offline = ssahc.diarize(xvectors, segments, model=model, **values)
    assert ended.diarization.labels.tolist() == offline.labels.tolist()
    names = [ended.names[label] for label in offline.labels]
    assert replay(announced + ended.announcements) == names
    assert len(set(ended.names)) == offline.num_speakers


def test_speakers_are_found_while_the_stream_goes_on(plda_model):
    xvectors, segments = stream(CALL)
    online = ssahc.OnlineDiarizer(plda_model)
    said = replay(online.add(xvectors, segments))
    # The last window is not due yet.
    truth = np.repeat(CALL, 5)[: len(said)]
    assert len(segments) - len(said) == 1
    pairs = set(zip(said, truth.tolist()))
    assert len(pairs) == len(set(said)) == 3


@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, LENGTH), min_size=1, max_size=6))
def test_batches_make_no_difference(plda_model, cuts):
    xvectors, segments = stream(CALL)
    at_once = ssahc.OnlineDiarizer(plda_model).add(xvectors, segments)
    online = ssahc.OnlineDiarizer(plda_model)
    announced = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), LENGTH]):
        announced += online.add(xvectors[begin:end], segments[begin:end])
    assert announced == at_once


@pytest.mark.parametrize("latency", [0.0, 2.0, 3.5])
def test_speakers_are_announced_within_the_latency(plda_model, latency):
    """From the moment of speech, which in an overlap is the later window's half."""
    xvectors, segments = stream([0, 1, 0])
    online = ssahc.OnlineDiarizer(plda_model, latency=latency)
    begins = segments[:, 0] + [0, *[0.375] * (len(segments) - 1)]
    due = np.maximum(begins + latency, segments[:, 1])
    said = set()
    for row, (vector, segment) in enumerate(zip(xvectors, segments)):
        said |= {item.window for item in online.add([vector], [segment])}
        # What would be late when the next window comes is not kept waiting for it.
        assert said == set(np.flatnonzero(due[: row + 1] <= segment[1] + 0.75))
    # In a pause, the clock says what is due.
    said |= {item.window for item in online.advance(due[-1] - 0.01)}
    assert said == set(np.flatnonzero(due < due[-1] - 0.01)) or latency == 0
    said |= {item.window for item in online.advance(due[-1])}
    assert len(said) == len(due)


def test_a_clock_changes_nothing_but_the_time(plda_model):
    xvectors, segments = stream(CALL)
    at_once = ssahc.OnlineDiarizer(plda_model).add(xvectors, segments)
    online = ssahc.OnlineDiarizer(plda_model)
    announced = []
    for vector, segment in zip(xvectors, segments):
        announced += online.advance(segment[1] - 0.5)
        announced += online.add([vector], [segment])
    assert announced == at_once


def test_few_windows_are_kept(plda_model):
    kept = KeptWindows.none(1)
    for number in range(60):
        kept = kept.followed_by(number, np.full(2, number), np.ones(1))
    names = np.where(np.arange(60) < 50, np.arange(60) % 10 == 0, UNKNOWN).astype(int)
    names[50:] = UNKNOWN
    kept = KeptWindows(
        kept.numbers, kept.segments, kept.xvectors, names, kept.clusters
    ).thinned(latest=15, earlier=20)
    # All ten latest have no name; five more are the latest, and twenty earlier ones
    # are left at most. The rare speaker keeps its windows.
    assert kept.numbers[-15:].tolist() == list(range(45, 60))
    assert len(kept) <= 35
    assert {0, 10, 20, 30, 40} <= set(kept.numbers.tolist())


def test_names_follow_most_windows():
    labels = np.array([0, 0, 0, 1, 1, 2])
    names = np.array([1, 1, 0, 0, 0, UNKNOWN])
    assert match_names(labels, names) == {0: 1, 1: 0}


def test_a_part_of_a_speaker_keeps_its_name(plda_model):
    """And names that corrections took from all windows are given again."""
    xvectors, segments = stream(CALL)
    online = ssahc.OnlineDiarizer(plda_model, final_clustering="kmeans")
    announced = online.add(xvectors, segments)
    replay(announced)
    # x-means finds another number of speakers in almost every clustering.
    assert len(announced) > 2 * len(segments)
    assert max(int(item.speaker) for item in announced) < 15


def test_options_that_no_stream_can_use_wait_for_its_end(plda_model):
    xvectors, segments = stream(CALL)
    values = {"first_pass_max_utterances": 5}
    online = ssahc.OnlineDiarizer(plda_model, **values)
    online.add(xvectors, segments)
    offline = ssahc.diarize(xvectors, segments, model=plda_model, **values)
    assert online.finish().diarization.labels.tolist() == offline.labels.tolist()


def test_a_stream_that_is_spilled_ends_alike(plda_model, monkeypatch):
    xvectors, segments = stream(CALL)
    monkeypatch.setattr("ssahc.pipeline.online._IN_MEMORY", 100)
    online = ssahc.OnlineDiarizer(plda_model)
    online.add(xvectors, segments)
    offline = ssahc.diarize(xvectors, segments, model=plda_model)
    assert online.finish().diarization.labels.tolist() == offline.labels.tolist()


def test_what_cannot_be_used_leaves_the_stream_as_it_was(plda_model):
    xvectors, segments = stream([0, 1])
    online = ssahc.OnlineDiarizer(plda_model)
    announced = online.add(xvectors[:5], segments[:5])
    faulty = xvectors[5:].copy()
    faulty[2, 0] = np.nan
    for vectors, times, message in (
        (faulty, segments[5:], "'window 7' holds NaN"),
        (xvectors[5:, :4], segments[5:], "4 dimensions"),
        (xvectors[5:], segments[5:][::-1], "order of time"),
        (xvectors[5:], segments[:5], "order of time"),
        (xvectors[5:], segments[5:, ::-1], "start <= end"),
        (xvectors[5:], segments[6:], "segments of shape"),
        (xvectors[5:], 16000 * segments[5:], "60000 to 84000 s; are these samples"),
        (xvectors[:0], segments[5:], "x-vectors"),
        (np.zeros((3, 0)), segments[:0], "segments of shape"),
    ):
        with pytest.raises(ssahc.DataError, match=message):
            online.add(vectors, times)
    with pytest.raises(ssahc.DataError, match="time in seconds"):
        online.advance(np.nan)
    announced += online.add(xvectors[5:], segments[5:])
    assert announced == ssahc.OnlineDiarizer(plda_model).add(xvectors, segments)


def test_a_model_of_other_xvectors_is_refused(plda_model):
    xvectors, segments = stream([0], dim=5)
    with pytest.raises(ssahc.DataError, match="5 dimensions, the model's mean 8"):
        ssahc.OnlineDiarizer(plda_model).add(xvectors, segments)


def test_a_stream_ends_once_and_needs_windows(plda_model):
    online = ssahc.OnlineDiarizer(plda_model)
    assert online.add([], []) == []
    assert online.advance(10.0) == []
    with pytest.raises(ssahc.DataError, match="no windows"):
        online.finish()
    online.add(*stream([0]))
    online.finish()
    for call in (online.finish, lambda: online.add(*stream([0]))):
        with pytest.raises(ssahc.UsageError, match="has ended"):
            call()


@pytest.mark.parametrize("latency", [-1, 61, float("nan")])
def test_a_latency_is_a_few_seconds(latency):
    with pytest.raises(ssahc.UsageError, match="between 0 and 60"):
        ssahc.OnlineDiarizer(latency=latency)
