"""Naming enrolled people, on voices drawn from the model and moved off it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ssahc
from ssahc.linking.identify import default_threshold, identify_voices
from ssahc.linking.identify import measure_voices as measure

PSI = np.linspace(3, 1, 80)


def draw(seed, people=8, recordings=12, heard=3, shift=0.0):
    """Draw enrolled people, all of them moved, and speakers, each recording moved.

    Half of those who speak are enrolled.
    """
    rng = np.random.default_rng(seed)
    voices = rng.standard_normal((2 * people, len(PSI))) * np.sqrt(PSI)
    who = np.concatenate(
        [rng.choice(len(voices), heard, replace=False) for _ in range(recordings)]
    )
    counts = rng.uniform(5, 30, len(who))
    noise = rng.standard_normal((len(who), len(PSI))) * np.sqrt(0.3 * PSI + 0.1)
    moved = shift * rng.standard_normal((1 + recordings, len(PSI))) * np.sqrt(PSI)
    where = [f"r{number}" for number in range(recordings) for _ in range(heard)]
    enrolled = measure(voices[:people] + moved[0], np.full(people, 9.0), PSI)
    latent = voices[who] + noise + np.repeat(moved[1:], heard, axis=0)
    return measure(latent, counts, PSI), where, enrolled, who


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_enrolled_people_are_named_and_others_are_not(shift):
    for seed in range(3):
        speakers, where, enrolled, who = draw(seed, shift=shift)
        found = identify_voices(speakers, where, enrolled)
        is_enrolled = who < len(enrolled)
        assert (found.people == who)[is_enrolled].mean() > 0.9
        assert found.is_named[is_enrolled].mean() > 0.7
        assert not found.is_named[~is_enrolled].any()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    people=st.integers(1, 4),
    recordings=st.integers(1, 3),
    threshold=st.floats(-5, 5),
)
def test_names_are_one_to_one_in_each_recording(seed, people, recordings, threshold):
    speakers, where, enrolled, _ = draw(seed, people, recordings, heard=2)
    found = identify_voices(speakers, where, enrolled, threshold)
    assert np.isfinite(found.scores).all()
    assert (found.scores[found.is_named] > threshold).all()
    given = [
        (recording, person)
        for recording, person, named in zip(where, found.people, found.is_named)
        if named
    ]
    assert len(set(given)) == len(given)


def test_scores_of_different_people_are_about_standard():
    speakers, where, *_ = draw(5, people=30, recordings=40)
    others = measure(
        np.random.default_rng(1).standard_normal((30, len(PSI))) * np.sqrt(PSI),
        np.full(30, 9.0),
        PSI,
    )
    found = identify_voices(speakers, where, others)
    # Of 30 different people, the most similar one is about 2 deviations away.
    assert 1.5 < np.median(found.scores) < 2.6
    assert found.is_named.mean() < 0.01


def test_one_person_in_one_recording_needs_strong_evidence():
    named = []
    for seed in range(200):
        speakers, where, enrolled, who = draw(seed, 1, 1, heard=2, shift=0.7)
        found = identify_voices(speakers, where, enrolled)
        named.append(found.is_named[who >= len(enrolled)].any())
    assert np.mean(named) < 0.01


def test_more_people_need_higher_scores():
    thresholds = [default_threshold(number) for number in (1, 10, 100)]
    np.testing.assert_allclose(thresholds, [3.39, 4.53, 5.73], atol=0.01)


# ---- in Python ---------------------------------------------------------------------


def recording(name, *rows):
    rows = np.concatenate([np.atleast_2d(row) for row in rows])
    starts = np.arange(len(rows)) * 1.5
    return ssahc.Recording.from_arrays(name, rows, np.c_[starts, starts + 1.5])


@pytest.fixture(scope="module")
def corpus():
    """Four recordings of two of three voices each, and their model."""
    rng = np.random.default_rng(0)
    voices = 2 * rng.standard_normal((3, 32))

    def speak(voice, count):
        return voices[voice] + 0.3 * rng.standard_normal((count, 32))

    pairs = [(0, 1), (1, 2), (2, 0), (0, 1)]
    diarized = [
        recording(f"r{k}", speak(a, 12), speak(b, 12)) for k, (a, b) in enumerate(pairs)
    ]
    model = ssahc.Model(mean=np.zeros(32), transform=np.eye(32))
    options = ssahc.make_options(system="cosine", num_speakers=2)
    results = [ssahc.diarize_recording(one, model, options) for one in diarized]
    return results, {"ann": [recording("e", speak(0, 6))]}, model


def test_speakers_get_the_names_of_enrolled_people(corpus):
    results, enrolled, model = corpus
    found = ssahc.identify_speakers(results, enrolled, model, threshold=2)
    assert len(found) == 8
    assert {one.recording for one in found if one.is_named} == {"r0", "r2", "r3"}
    assert {one.name for one in found} == {"ann"}


def test_what_cannot_be_compared_is_refused(corpus):
    results, enrolled, model = corpus

    def refuse(match, people=enrolled, model=model):
        with pytest.raises(ssahc.SsahcError, match=match):
            ssahc.identify_speakers(results, people, model)

    other = recording("x", np.eye(16))
    refuse("'bob' have 16 dimensions, those of recordings 32", {"bob": [other]})
    refuse("nobody is enrolled", {})
    refuse("no speech of enrolled 'bob'", {"bob": []})
    refuse(
        "'ann' and 'bob' are enrolled with the same speech",
        enrolled | {"bob": enrolled["ann"]},
    )
    refuse("model with a mean", model=ssahc.Model(transform=np.eye(32)))
    assert ssahc.identify_speakers([], enrolled, model) == []
