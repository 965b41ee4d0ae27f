"""Linking diarizations in Python."""

from dataclasses import replace

import pytest

import ssahc
from ssahc.core.types import Model


@pytest.fixture
def diarized(corpus, model):
    """A recording and a copy of it, and another one."""
    first, second = (item.recording for item in corpus["a"].conversations[:2])
    copy = replace(first, id="copy")
    return [ssahc.diarize_recording(item, model) for item in (first, copy, second)]


def test_the_speakers_of_a_copy_are_the_same_people(diarized, model):
    names = ssahc.link_speakers(diarized, model)
    first, copy, other = (names[one.recording_id] for one in diarized)
    assert first == copy
    assert list(other) == [one.speaker for one in diarized[2].centroids]
    for found in names.values():
        assert len(set(found.values())) == len(found)
    assert next(iter(first.values())) == "S1"
    # With a threshold that nothing reaches, everybody is somebody else.
    alone = ssahc.link_speakers(diarized, model, ssahc.LinkOptions(threshold=1e9))
    everybody = [name for found in alone.values() for name in found.values()]
    assert len(set(everybody)) == len(everybody)


def test_what_cannot_be_compared_is_refused(diarized, model):
    with pytest.raises(ssahc.DataError, match="'a000' is there twice"):
        ssahc.link_speakers([diarized[0], diarized[0]], model)
    with pytest.raises(ssahc.UsageError, match="needs the model"):
        ssahc.link_speakers(diarized, Model(transform=model.transform))
    bare = [replace(diarized[0], centroids=())]
    assert ssahc.link_speakers(bare, model) == {"a000": {}}
    assert ssahc.link_speakers([], model) == {}
    latent = replace(diarized[0].centroids[0], latent=None)
    other = replace(diarized[0], centroids=(latent,))
    with pytest.raises(ssahc.DataError, match="'a000' was diarized with another"):
        ssahc.link_speakers([other], model)
