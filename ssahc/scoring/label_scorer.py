"""Scoring many labellings of the windows of one recording.

Where the windows of a recording stay the same, so does the time that each of them
keeps, and with it what is missed and what is a false alarm: labels decide on confusion
alone. A cut is therefore scored in microseconds from the seconds that every window
shares with every reference speaker.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ssahc.clustering.stopping import Stop
from ssahc.core.errors import DataError
from ssahc.core.turns import Piece, make_turns, split_windows
from ssahc.core.types import FloatArray, IntArray, Turn, as_matrix
from ssahc.scoring.der import Score, ScoringOptions, Spans, find_scored, score_turns

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline


class Cuttable(Protocol):
    """What can be cut at any stop: all merges, or the evidence of resegmentation."""

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of clusters at a stop; all else follows from it."""

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels at a stop."""


class LabelScorer:
    """Scores any labels of the windows of one recording, as `score_recording` does.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.
    reference : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        The scored spans, in seconds.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM, or times are none.
    """

    def __init__(
        self,
        segments: FloatArray,
        reference: Sequence[Turn],
        options: ScoringOptions = ScoringOptions(),
        *,
        uem: Spans | None = None,
    ) -> None:
        segments = as_matrix(segments, "segments")
        protocol = find_scored(reference, options, uem=uem)
        score = score_turns(protocol, make_turns(segments, ["1"] * len(segments)))
        self.scored = score.scored
        self.missed, self.false_alarm = score.missed, score.false_alarm
        # (N, R) seconds that each window shares with each reference speaker, over all
        # (for the mapping of speakers) and where errors count.
        pieces, count = split_windows(segments), len(segments)
        truth = protocol.truth
        self.everywhere = _shared_seconds(truth, protocol.span, pieces, count)
        self.counted = _shared_seconds(truth, protocol.region, pieces, count)

    def score(self, labels: IntArray) -> Score:
        """Score labels 0..K-1 of the windows.

        Parameters
        ----------
        labels : (N,) int array

        Raises
        ------
        DataError
            If they are no such labels.
        """
        from scipy.optimize import linear_sum_assignment

        labels, count = np.asarray(labels), len(self.everywhere)
        is_whole = labels.shape == (count,) and labels.dtype.kind in "iu"
        if not is_whole or (labels < 0).any():
            raise DataError(
                f"expected {count} labels, whole numbers from 0, found {labels}"
            )
        member = np.eye(labels.max() + 1)[labels]
        ours, theirs = linear_sum_assignment(member.T @ self.everywhere, maximize=True)
        correct = (member.T @ self.counted)[ours, theirs].sum()
        confusion = max(self.scored - self.missed - float(correct), 0.0)
        return Score(self.scored, self.missed, self.false_alarm, confusion)


def _shared_seconds(
    truth: "Annotation", where: "Timeline", pieces: Sequence[Piece], count: int
) -> FloatArray:
    """Return the (count, R) seconds of each speaker in what each window keeps."""
    speakers = truth.labels()
    seconds = np.zeros((count, len(speakers)))
    edges = np.array([(piece.start, piece.end) for piece in pieces]).reshape(-1, 2)
    windows = [piece.window for piece in pieces]
    for column, speaker in enumerate(speakers):
        speech = truth.label_timeline(speaker).crop(where).support()
        bounds = np.array([(part.start, part.end) for part in speech])
        if len(bounds) == 0:
            continue
        # Speech up to a time is piecewise linear between the ends of its parts.
        until = np.cumsum(bounds[:, 1] - bounds[:, 0])
        heights = np.column_stack([np.append(0.0, until[:-1]), until]).ravel()
        low, high = np.interp(edges, bounds.ravel(), heights).T
        np.add.at(seconds[:, column], windows, high - low)
    return seconds


def score_thresholds(
    clustering: Cuttable,
    scorer: LabelScorer,
    thresholds: Iterable[float],
    *,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> dict[float, Score]:
    """Score the cuts of one recording at many thresholds.

    Parameters
    ----------
    clustering : MergeHistory or Resegmentation
        Of single windows.
    scorer : LabelScorer
        Of the same windows.
    thresholds : iterable of float
    min_speakers, max_speakers : int, optional
        Bounds on what a threshold decides.

    Returns
    -------
    dict
        Threshold to score.
    """
    by_count: dict[int, Score] = {}
    scores: dict[float, Score] = {}
    for threshold in thresholds:
        stop = Stop(None, threshold, min_speakers, max_speakers)
        count = clustering.num_clusters(stop)
        if count not in by_count:
            by_count[count] = scorer.score(clustering.cut(stop))
        scores[threshold] = by_count[count]
    return scores
