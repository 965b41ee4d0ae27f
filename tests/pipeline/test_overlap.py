"""From local speakers of chunks to turns that overlap."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ssahc.clustering.stopping import Stop
from ssahc.core.types import Turn
from ssahc.frontend.segmentation.chunks import Segmentation, find_regions
from ssahc.frontend.segmentation.local_speakers import list_speakers
from ssahc.pipeline.overlap import (
    SecondSpeakerOptions,
    add_overlap,
    cluster_local_speakers,
    diarize_chunks,
    fewest_speakers,
)

FRAMES, CHUNK, STEP = 600, 100, 25
STOP = Stop(threshold=0.5)


@pytest.fixture
def conversation(rng):
    """Who of three speakers is active (F, 3), two at once at most, and chunks of it.

    With each chunk's own order of speakers; the last column of chunks is empty where
    one is silent.
    """
    active = np.zeros((FRAMES, 3), bool)
    for start in range(0, FRAMES, 50):
        active[start : start + 60, (start // 50) % 3] = True
    active[280:300] = False
    first = np.arange(0, FRAMES - CHUNK + 1, STEP)
    orders = np.array([rng.permutation(3) for _ in first])
    chunks = np.stack(
        [active[at : at + CHUNK][:, order] for at, order in zip(first, orders)]
    )
    edges = np.arange(FRAMES + 1) * 0.04
    probabilities = (0.1 + 0.8 * chunks).astype(np.float16)
    counts = active.sum(axis=1)
    return (
        active,
        Segmentation(first, probabilities, chunks, counts, edges),
        orders,
    )


@pytest.fixture
def embeddings(conversation, rng):
    _, segmentation, orders = conversation
    speakers = list_speakers(segmentation)
    voices = np.eye(8)[:3]
    owners = orders[speakers.chunks, speakers.indices]
    noise = 0.1 * rng.standard_normal((len(speakers), 8))
    return speakers, owners, (voices[owners] + noise).astype(np.float32)


def _turns(active, edges):
    regions = [find_regions(frames, edges).tolist() for frames in active.T]
    return sorted(
        (*span, speaker) for speaker, own in enumerate(regions) for span in own
    )


def test_turns_and_overlap_are_found_again(conversation, embeddings):
    active, segmentation, _ = conversation
    speakers, _, vectors = embeddings
    turns = diarize_chunks(segmentation, speakers, vectors, STOP)
    expected = _turns(active, segmentation.edges)
    names = {turn.speaker: owner for turn, (*_, owner) in zip(turns, expected)}
    assert sorted(names) == ["1", "2", "3"]
    assert [(t.start, t.end, names[t.speaker]) for t in turns] == expected
    # One at a time: the same speech, and no overlap.
    alone = diarize_chunks(segmentation, speakers, vectors, STOP, exclusive=True)
    assert all(a.end <= b.start for a, b in pairwise(alone))
    speech = find_regions(active.any(axis=1), segmentation.edges)
    total = sum(turn.end - turn.start for turn in alone)
    assert total == pytest.approx((speech[:, 1] - speech[:, 0]).sum())


def test_overlap_is_left_out_of_embeddings_and_constraints_hold(
    conversation, embeddings
):
    active, *_ = conversation
    speakers, owners, vectors = embeddings
    for row in range(len(speakers)):
        inside = np.zeros(FRAMES, bool)
        for start, end in speakers.spans[row] / 0.04:
            inside[round(start) : round(end)] = True
        assert active[inside, owners[row]].all()
        if speakers.seconds[row] >= 0.5:
            assert (active[inside].sum(axis=1) == 1).all()
    # Voices that cannot be told apart are still different people within a chunk.
    same = np.ones_like(vectors)
    labels = cluster_local_speakers(speakers, same, STOP)
    for chunk in np.unique(speakers.chunks):
        rows = speakers.chunks == chunk
        assert len(set(labels[rows])) == rows.sum()
    known = cluster_local_speakers(speakers, vectors, Stop(num_speakers=2))
    assert set(known) <= {-1, 0, 1}


def test_silence_has_no_turns(conversation):
    _, segmentation, _ = conversation
    silent = replace(
        segmentation,
        active=np.zeros_like(segmentation.active),
        counts=np.zeros_like(segmentation.counts),
    )
    speakers = list_speakers(silent)
    assert len(speakers) == 0
    assert diarize_chunks(silent, speakers, np.zeros((0, 8)), STOP) == []
    assert fewest_speakers(speakers) == 0
    turns = [Turn(0.0, 1.0, "a"), Turn(2.0, 3.0, "b")]
    assert add_overlap(turns, silent) == turns


def _first_speakers(active, edges):
    """Return the turns of one speaker at a time."""
    alone = active & (np.cumsum(active, axis=1) == 1)
    return [Turn(start, end, "abc"[who]) for start, end, who in _turns(alone, edges)]


def test_second_speakers_are_added_where_speech_overlaps(conversation):
    active, segmentation, _ = conversation
    names = "abc"
    turns = _first_speakers(active, segmentation.edges)
    found = add_overlap(turns, segmentation)
    assert [(t.start, t.end, names.index(t.speaker)) for t in found] == [
        pytest.approx(span) for span in _turns(active, segmentation.edges)
    ]
    # Nothing is added outside of turns, and nobody who has none.
    found = add_overlap(turns[:1], segmentation)
    assert found == turns[:1]


def test_brief_second_speakers_are_dropped_and_their_short_gaps_closed(conversation):
    active, segmentation, _ = conversation
    turns = _first_speakers(active, segmentation.edges)
    found = add_overlap(turns, segmentation)
    # They speak for ten frames, 0.4 s.
    kept = SecondSpeakerOptions(min_duration_on=0.4)
    assert add_overlap(turns, segmentation, kept) == found
    dropped = SecondSpeakerOptions(min_duration_on=0.41)
    alone = [(turn.speaker, pytest.approx((turn.start, turn.end))) for turn in turns]
    left = add_overlap(turns, segmentation, dropped)
    assert [(turn.speaker, (turn.start, turn.end)) for turn in left] == alone
    # Two frames of overlap less, 0.08 s.
    overlapping = np.flatnonzero(segmentation.counts == 2)
    counts = segmentation.counts.copy()
    counts[overlapping[4:6]] = 1
    cut = replace(segmentation, counts=counts)
    assert add_overlap(turns, cut) == found
    split = add_overlap(turns, cut, SecondSpeakerOptions(min_duration_off=0))
    assert len(split) == len(found) + 1


def test_a_recording_has_as_many_speakers_as_a_fifth_of_its_chunks(conversation):
    _, segmentation, _ = conversation
    speakers = list_speakers(segmentation)
    # All three speak in some chunks, but one of them for less than a second.
    assert fewest_speakers(speakers) == 2
    brief = replace(speakers, seconds=np.minimum(speakers.seconds, 0.9))
    assert fewest_speakers(brief) == 0
    # One chunk of twenty-one has all three.
    few = replace(speakers, seconds=np.where(speakers.chunks < 1, 2.0, 0.0))
    assert fewest_speakers(few) == np.bincount(speakers.chunks)[0]
    two = replace(speakers, seconds=np.where(speakers.indices == 0, 2.0, 0.0))
    two.seconds[speakers.chunks == 0] = 2.0
    assert fewest_speakers(two) == 1


def test_local_speakers_are_those_of_the_speech(conversation):
    active, segmentation, _ = conversation
    edges = segmentation.edges
    # The first turn alone.
    end = float(edges[np.flatnonzero(active[:, 1])[0]])
    speakers = list_speakers(segmentation, np.array([[0.0, end]]))
    assert set(speakers.chunks) == {0, 1}
    assert fewest_speakers(speakers) == 1
    np.testing.assert_allclose(speakers.seconds[0], end, atol=0.05)
