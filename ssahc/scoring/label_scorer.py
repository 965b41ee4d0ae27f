"""Scoring many labellings of the windows of one recording.

The windows decide which time is covered, and with it missed speech and false alarms;
labels decide on confusion alone. Labels are therefore scored in microseconds, from the
seconds that every window shares with every reference speaker.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from ssahc.clustering.stopping import Stop
from ssahc.core.errors import DataError
from ssahc.core.turns import Piece, make_turns, split_windows
from ssahc.core.types import FloatArray, IntArray, RttmObject, Turn, as_matrix
from ssahc.scoring.der import Score, count_errors, measure_states
from ssahc.scoring.regions import (
    ScoringOptions,
    Spans,
    find_regions,
    intersect,
)


class SupportsCut(Protocol):
    """A clustering that can be cut anywhere: a merge history or a resegmentation."""

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of clusters at a stop; it determines the labels."""

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels at a stop."""


class LabelScorer:
    """Score labels of the windows of one recording, as `score_recording` would.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.
    reference : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        Spans to score, in seconds.
    objects : sequence of RttmObject, optional
        Other objects of the reference.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM, or a time is invalid.
    """

    def __init__(
        self,
        segments: FloatArray,
        reference: Sequence[Turn],
        options: ScoringOptions = ScoringOptions(),
        *,
        uem: Spans | None = None,
        objects: Sequence[RttmObject] = (),
    ) -> None:
        segments = as_matrix(segments, "segments")
        regions = find_regions(reference, options, uem=uem, objects=objects)
        covered = make_turns(segments, ["1"] * len(segments))
        score = count_errors(measure_states(reference, covered, regions.scored), {})
        self.scored = score.scored
        self.missed, self.false_alarm = score.missed, score.false_alarm
        # (N, R) seconds that each window shares with each reference speaker: where
        # speakers are mapped, and where errors count.
        pieces, count = split_windows(segments), len(segments)
        self.mapped = _shared_seconds(reference, regions.mapped, pieces, count)
        self.counted = _shared_seconds(reference, regions.scored, pieces, count)

    def score(self, labels: IntArray) -> Score:
        """Score labels (N,) of the windows; DataError unless they are 0..K-1."""
        from scipy.optimize import linear_sum_assignment

        labels, count = np.asarray(labels), len(self.mapped)
        is_whole = labels.shape == (count,) and labels.dtype.kind in "iu"
        if not is_whole or (labels < 0).any():
            raise DataError(
                f"expected {count} labels, whole numbers from 0, found {labels}"
            )
        member = np.eye(labels.max() + 1)[labels]
        ours, theirs = linear_sum_assignment(member.T @ self.mapped, maximize=True)
        correct = (member.T @ self.counted)[ours, theirs].sum()
        confusion = max(self.scored - self.missed - float(correct), 0.0)
        return Score(self.scored, self.missed, self.false_alarm, confusion)


def _shared_seconds(
    reference: Sequence[Turn], where: Spans, pieces: Sequence[Piece], count: int
) -> FloatArray:
    """Return the (count, R) seconds of each speaker in the pieces of each window."""
    speakers = sorted({turn.speaker for turn in reference})
    seconds = np.zeros((count, len(speakers)))
    edges = np.array([(piece.start, piece.end) for piece in pieces]).reshape(-1, 2)
    windows = [piece.window for piece in pieces]
    for column, speaker in enumerate(speakers):
        turns = [
            (turn.start, turn.end) for turn in reference if turn.speaker == speaker
        ]
        bounds = np.array(intersect(turns, where))
        if len(bounds) == 0:
            continue
        # Speech up to a given time is piecewise linear between the bounds.
        until = np.cumsum(bounds[:, 1] - bounds[:, 0])
        heights = np.column_stack([np.append(0.0, until[:-1]), until]).ravel()
        low, high = np.interp(edges, bounds.ravel(), heights).T
        np.add.at(seconds[:, column], windows, high - low)
    return seconds


def score_thresholds(
    clustering: SupportsCut,
    scorer: LabelScorer,
    thresholds: Iterable[float],
    *,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> dict[float, Score]:
    """Return the score of one recording at each of many thresholds."""
    by_count: dict[int, Score] = {}
    scores: dict[float, Score] = {}
    for threshold in thresholds:
        stop = Stop(None, threshold, min_speakers, max_speakers)
        count = clustering.num_clusters(stop)
        if count not in by_count:
            by_count[count] = scorer.score(clustering.cut(stop))
        scores[threshold] = by_count[count]
    return scores
