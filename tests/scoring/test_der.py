"""DER of small examples and as pyannote.metrics; JER by all speaker mappings."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from pyannote.core import Segment, Timeline
from pyannote.metrics.detection import DetectionPrecision, DetectionRecall
from pyannote.metrics.identification import IdentificationErrorRate

from ssahc.core.errors import DataError, UsageError
from ssahc.core.turns import to_annotation
from ssahc.core.types import Turn
from ssahc.scoring.der import (
    Errors,
    OverlapSeconds,
    Score,
    count_errors,
    map_speakers,
    measure_states,
    score_corpus,
    score_recording,
)
from ssahc.scoring.regions import ScoringOptions, find_regions


def random_turns(rng, speakers, *, same_speaker_gap):
    turns = []
    for speaker in range(speakers):
        clock = rng.uniform(0, 3)
        for _ in range(8):
            end = clock + 0.01 + rng.exponential(2)
            turns.append(Turn(round(clock, 2), round(end, 2), f"s{speaker}"))
            clock = end + same_speaker_gap + rng.exponential(1.5) * (rng.random() < 0.8)
    return turns


@pytest.mark.parametrize("seed", range(10))
def test_errors_are_those_of_pyannote_metrics(seed):
    rng = np.random.default_rng(seed)
    reference = random_turns(rng, rng.integers(1, 5), same_speaker_gap=0.0)
    hypothesis = random_turns(rng, rng.integers(0, 5), same_speaker_gap=0.0)
    options = ScoringOptions(0.0, ignore_overlaps=False)
    regions = find_regions(reference, options, uem=[(1.5, 12.25), (14.0, 35.0)])
    states = measure_states(reference, hypothesis, regions.scored)
    mapping = map_speakers(states)
    renamed = [
        replace(turn, speaker=mapping.get(turn.speaker, f"unmapped {turn.speaker}"))
        for turn in hypothesis
    ]
    ours, theirs = (to_annotation(t, "").support() for t in (reference, renamed))
    scored = Timeline([Segment(*span) for span in regions.scored])
    score = count_errors(states, mapping)

    def check(errors, where):
        expected = IdentificationErrorRate().compute_components(ours, theirs, uem=where)
        keys = "total", "missed detection", "false alarm", "confusion"
        found = errors.scored, errors.missed, errors.false_alarm, errors.confusion
        assert found == pytest.approx([expected[key] for key in keys], abs=1e-6)

    speech, overlap = ours.get_timeline().support(), ours.get_overlap()
    check(score, scored)
    check(score.silence, speech.gaps(scored))
    check(score.single, overlap.gaps(scored).crop(speech))
    check(score.overlap, overlap.crop(scored))
    parts = score.silence + score.single + score.overlap
    assert vars(score).items() >= vars(parts).items()
    # pyannote.metrics counts detected overlap as it does detected speech.
    both = [one.get_overlap().to_annotation() for one in (ours, theirs)]
    retrieved = DetectionPrecision().compute_components(*both, uem=scored)
    relevant = DetectionRecall().compute_components(*both, uem=scored)
    found = score.overlap_seconds
    assert [found.reference, found.hypothesis, found.both] == pytest.approx(
        [relevant["relevant"], retrieved["retrieved"], relevant["relevant retrieved"]],
        abs=1e-6,
    )


def test_rates_of_a_small_example():
    reference = [Turn(0, 4, "A"), Turn(4, 8, "B")]
    hypothesis = [Turn(0, 5, "1"), Turn(5, 7, "2"), Turn(9, 10, "2")]
    score = score_recording(reference, hypothesis, ScoringOptions(collar=0))
    # A and 1 share 4 of 5 seconds, B and 2 share 2 of 4 up to the end of the span.
    jaccard, single = pytest.approx(0.2 + 0.5), Errors(8, 1, 0, 1)
    assert score == Score(8, 1, 0, 1, jaccard=jaccard, speakers=2, single=single)
    assert (score.der, score.jer) == (25, pytest.approx(35))
    assert score.percent(score.missed) == 12.5


def test_errors_are_split_by_how_many_speak_in_the_reference():
    reference = [Turn(0, 4, "A"), Turn(2, 6, "B"), Turn(8, 9, "A")]
    hypothesis = [Turn(0, 3, "1"), Turn(3, 7, "2"), Turn(5, 5.5, "1")]
    options = ScoringOptions(0, ignore_overlaps=False)
    score = score_recording(reference, hypothesis, options)
    # One of two is missed from 2 to 4, A at the end; 2 speaks on from 6 to 7.
    assert score.silence == Errors(0, 0, 1, 0)
    assert score.single == Errors(5, 1, 0.5, 0)
    assert score.overlap == Errors(4, 2, 0, 0)
    assert score.overlap_seconds == OverlapSeconds(2, 0.5, 0)
    found = score.overlap_seconds + OverlapSeconds(2, 1.5, 1)
    assert (found.precision, found.recall, found.missed) == (50, 25, 75)
    assert np.isnan([OverlapSeconds().precision, OverlapSeconds().missed]).all()


def test_speakers_are_mapped_before_the_collar_is_removed():
    # Within the collar speaker 1 speaks longest with A; outside it, speaker 2 does.
    reference = [Turn(0, 2, "A")]
    hypothesis = [Turn(0, 0.5, "1"), Turn(0.5, 1.2, "2"), Turn(1.2, 2, "1")]
    score = score_recording(reference, hypothesis, ScoringOptions(collar=0.5))
    assert score.confusion == pytest.approx(0.7)


def test_scores_are_pooled_as_seconds():
    total = Score(10, 1, 2, 3, 0.5, 2) + Score(30, 0, 0, 2, 0.1, 1)
    assert total == Score(40, 1, 2, 5, 0.6, 3)
    assert total.der == pytest.approx(20)
    assert total.jer == pytest.approx(20)
    nothing = Score(false_alarm=1)
    assert np.isnan([nothing.der, nothing.jer, nothing.percent(1)]).all()


def test_a_missing_recording_counts_as_missed():
    scores = score_corpus({"a": [Turn(0, 4, "A")]}, {}, ScoringOptions(collar=0))
    missed = Errors(scored=4, missed=4)
    assert scores == {"a": Score(4, 4, jaccard=1, speakers=1, single=missed)}


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="reference is empty"):
        score_recording([], [Turn(0, 1, "1")])
    for collar in (-1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="collar"):
            ScoringOptions(collar)


def naive_jaccard(reference, hypothesis, spans):
    """Sum of Jaccard error rates: frames of 10 ms, all speaker mappings."""
    frames = [
        {
            speaker: {
                frame
                for turn in turns
                if turn.speaker == speaker
                for frame in range(round(turn.start * 100), round(turn.end * 100))
                if any(a * 100 <= frame < b * 100 for a, b in spans)
            }
            for speaker in {turn.speaker for turn in turns}
        }
        for turns in (reference, hypothesis)
    ]
    ours = [spoken for spoken in frames[0].values() if spoken]
    theirs = [*frames[1].values(), *([set()] * len(ours))]
    return len(ours), min(
        sum(len(a ^ b) / len(a | b) for a, b in zip(ours, mapped))
        for mapped in permutations(theirs, len(ours))
    )


@pytest.mark.parametrize("seed", range(4))
def test_jer_matches_the_naive_one(seed):
    rng = np.random.default_rng(seed)
    reference = random_turns(rng, rng.integers(1, 5), same_speaker_gap=0.02)
    hypothesis = random_turns(rng, rng.integers(0, 4), same_speaker_gap=0.0)
    whole = [(min(t.start for t in reference), max(t.end for t in reference))]
    for uem in (None, [(1.5, 4.25), (5.0, 9.0)]):
        speakers, jaccard = naive_jaccard(reference, hypothesis, uem or whole)
        for options in (ScoringOptions(), ScoringOptions(0.0, ignore_overlaps=False)):
            score = score_recording(reference, hypothesis, options, uem=uem)
            assert score.speakers == speakers
            assert score.jaccard == pytest.approx(jaccard, abs=1e-6)
