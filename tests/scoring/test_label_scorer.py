"""Labels and thresholds score as `score_recording` scores their turns."""

import numpy as np
import pytest

from ssahc.clustering.ahc import average_linkage
from ssahc.clustering.stopping import Stop
from ssahc.core.turns import make_turns
from ssahc.core.types import Turn
from ssahc.scoring.der import score_recording
from ssahc.scoring.label_scorer import LabelScorer, score_thresholds
from ssahc.scoring.regions import ScoringOptions

UEMS = (None, [(2.0, 9.0)], [(0.0, 3.1), (5.0, 20.0)], [(1.0, 8.0), (4.0, 12.0)])


def seconds(score):
    return [score.scored, score.missed, score.false_alarm, score.confusion]


def random_spans(rng, count):
    return np.sort(rng.uniform(0, 20, size=(count, 2)))


@pytest.mark.parametrize("ignore_overlaps", [True, False])
@pytest.mark.parametrize("collar", [0.0, 0.25, 0.6])
def test_labels_score_as_their_turns(rng, collar, ignore_overlaps):
    options = ScoringOptions(collar, ignore_overlaps)
    confused = 0
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
        expected = score_recording(reference, turns, options, uem=uem)
        score = LabelScorer(segments, reference, options, uem=uem).score(labels)
        np.testing.assert_allclose(seconds(score), seconds(expected), atol=1e-9)
        confused += expected.confusion > 0
    assert confused > 10


def test_thresholds_score_as_the_labels_there(corpus):
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
        expected = score_recording(item.turns, turns)
        np.testing.assert_allclose(seconds(score), seconds(expected), atol=1e-6)
