import numpy as np
import pytest

from ssahc.cluster.ahc import average_linkage
from ssahc.cluster.stop import Stop
from ssahc.errors import DataError
from ssahc.scoring import Score, ScoringOptions, score_recording
from ssahc.tuning import (
    LabelScorer,
    best_threshold,
    pool_thresholds,
    score_thresholds,
)
from ssahc.turns import make_turns
from ssahc.types import Turn

UEMS = (None, [(2.0, 9.0)], [(0.0, 3.1), (5.0, 20.0)], [(1.0, 8.0), (4.0, 12.0)])


def parts(score):
    return [score.scored, score.missed, score.false_alarm, score.confusion]


def random_spans(rng, count):
    return np.sort(rng.uniform(0, 20, size=(count, 2)))


@pytest.mark.parametrize("ignore_overlaps", [True, False])
@pytest.mark.parametrize("collar", [0.0, 0.25, 0.6])
def test_labels_score_as_their_turns_do(rng, collar, ignore_overlaps):
    options = ScoringOptions(collar, ignore_overlaps)
    scored = 0
    for trial in range(40):
        names = rng.choice(list("xyz"), size=rng.integers(1, 9))
        reference = [
            Turn(start, end, name)
            for (start, end), name in zip(random_spans(rng, len(names)), names)
        ]
        segments = random_spans(rng, rng.integers(1, 20))
        labels = rng.integers(4, size=len(segments))
        labels = np.unique(labels, return_inverse=True)[1]
        uem = UEMS[trial % len(UEMS)]
        turns = make_turns(segments, [str(label) for label in labels])
        slow = score_recording(reference, turns, options, uem=uem)
        fast = LabelScorer(segments, reference, options, uem=uem).score(labels)
        np.testing.assert_allclose(parts(fast), parts(slow), atol=1e-9)
        scored += slow.confusion > 0
    assert scored > 10


def test_thresholds_score_as_their_cuts_do(corpus, rng):
    item = corpus["a"].conversations[0]
    segments = item.recording.segments
    vectors = item.recording.xvectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    history = average_linkage(unit @ unit.T)
    scorer = LabelScorer(segments, item.turns)
    thresholds = [-1.0, 0.0, 0.1, 0.2, 0.5, 2.0]
    scores = score_thresholds(
        history, scorer, thresholds, min_speakers=2, max_speakers=5
    )
    assert list(scores) == thresholds
    for threshold, score in scores.items():
        labels = history.cut(Stop(None, threshold, 2, 5))
        turns = make_turns(segments, [str(label) for label in labels])
        slow = score_recording(item.turns, turns)
        np.testing.assert_allclose(parts(score), parts(slow), atol=1e-6)


def test_pooling_adds_seconds_and_the_lowest_rate_wins():
    one = {0.0: Score(10, 1, 0, 0), 0.1: Score(10, 0, 0, 2), 0.2: Score(10, 5, 0, 0)}
    two = {0.0: Score(90, 0, 0, 9), 0.1: Score(90, 0, 0, 8), 0.2: Score(90, 0, 0, 0)}
    pooled = pool_thresholds([one, two])
    assert parts(pooled[0.1]) == [100, 0, 0, 10]
    assert best_threshold(pooled) == 0.2
    equal = dict.fromkeys((0.3, 0.1, 0.2), Score(10, 1, 0, 0))
    assert best_threshold(equal) == 0.2


def test_nothing_to_tune_on():
    with pytest.raises(DataError, match="no reference speech"):
        best_threshold({0.0: Score()})
    with pytest.raises(DataError, match="no reference speech"):
        best_threshold({})
