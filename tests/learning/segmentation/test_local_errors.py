"""Errors of chunks by themselves."""

import numpy as np
import pytest

from ssahc.core.types import Turn
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import find_regions
from ssahc.frontend.segmentation.powerset import speaker_sets, to_powerset
from ssahc.learning.segmentation.annotated import AnnotatedAudio
from ssahc.learning.segmentation.local_errors import (
    LocalErrors,
    LocalOutput,
    best_threshold,
    count_errors,
    local_errors,
    run_chunks,
)
from ssahc.scoring.der import score_corpus
from ssahc.scoring.regions import ScoringOptions


def to_turns(active):
    edges = np.arange(len(active) + 1) / 10
    return [
        Turn(start, end, str(speaker))
        for speaker, frames in enumerate(active.T)
        for start, end in find_regions(frames, edges).tolist()
    ]


def test_errors_are_those_of_the_scorer(rng):
    total = LocalErrors()
    for speakers, found in ((1, 3), (3, 3), (5, 3)):
        reference = rng.random((50, speakers)) < 0.4
        hypothesis = rng.random((50, found)) < 0.4
        errors = count_errors(reference, hypothesis)
        uem = {"a": [(0.0, 5.0)]}
        turns = ({"a": to_turns(reference)}, {"a": to_turns(hypothesis)})
        options = ScoringOptions(collar=0, ignore_overlaps=False)
        score = score_corpus(*turns, options, uem=uem)["a"]
        expected = (score.missed, score.false_alarm, score.confusion, score.scored)
        np.testing.assert_allclose(
            [errors.missed, errors.false, errors.confused, errors.total],
            10 * np.array(expected),
        )
        assert 100 * errors.der == pytest.approx(score.der)
        total += errors
    assert total.rates()[0] == pytest.approx(sum(total.rates()[1:]))


def test_chunks_are_side_by_side_within_what_is_annotated():
    sets = speaker_sets(2, 1)

    def run(stretch, size, step):
        # Of everybody, the first speaker of the chunk: all that is loud.
        chunks = np.lib.stride_tricks.sliding_window_view(stretch, size)[::step]
        loud = chunks[:, 2 : size - 2 : 4] > 0.5
        return np.log(np.stack([~loud, loud, 0 * loud], axis=-1) + 1e-9)

    segmenter = Segmenter(sets, run, 100, 90, 4, 5)
    samples = np.zeros(10_000, np.int16)
    samples[2000:5000] = 30_000
    spans = np.array([[0.0, 60.0], [70.0, 70.5], [80.0, 80.01]])
    audio = AnnotatedAudio("a", samples, [Turn(20, 50, "x")], spans)
    outputs = list(run_chunks([audio], segmenter))
    # Chunks of 0.9 s from 0, 0.88, ... to 60 s; one of 0.5 s; one too short.
    assert len(outputs) == 68 + 1
    errors = local_errors(outputs, sets)
    assert errors.der == 0
    assert errors.total == pytest.approx(3000 / 88 * 22, rel=0.02)


def test_the_best_threshold_separates_the_speakers(rng):
    sets = speaker_sets(2, 2)
    reference = rng.random((200, 2)) < 0.5
    probabilities = np.where(reference, 0.32, 0.28)
    odds = np.where(sets[None], probabilities[:, None], 1 - probabilities[:, None])
    output = LocalOutput(np.log(odds.prod(axis=-1)).astype(np.float32), reference)
    threshold, errors = best_threshold([output], sets)
    assert threshold == 0.3
    assert errors.der == 0
    assert local_errors([output], sets).missed == reference.sum()
    # Powerset networks choose the most probable set.
    sure = np.log(np.eye(4)[to_powerset(reference, sets)] + 1e-9)
    assert local_errors([LocalOutput(sure, reference)], sets).der == 0
