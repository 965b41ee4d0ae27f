"""From labelled windows to speaker turns, as Kaldi's ``make_rttm.py``."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.types import Float32Array, FloatArray, IntArray, Turn

if TYPE_CHECKING:
    from pyannote.core import Annotation


class Piece(NamedTuple):
    """The time that one window keeps, in seconds."""

    start: float
    end: float
    window: int


def make_turns(segments: FloatArray, speakers: Sequence[str]) -> list[Turn]:
    """Join windows (N, 2) in seconds, each with its speaker, into turns in order.

    Pieces of windows (`split_windows`) are joined if they are of one speaker and one
    ends exactly where the next starts.
    """
    pieces = split_windows(segments)
    owners = [speakers[piece.window] for piece in pieces]
    begins = [
        here
        for here, piece in enumerate(pieces)
        if here == 0
        or pieces[here - 1].end != piece.start
        or owners[here - 1] != owners[here]
    ]
    return [
        Turn(pieces[first].start, pieces[following - 1].end, owners[first])
        for first, following in pairwise([*begins, len(pieces)])
    ]


def turns_of_labels(segments: FloatArray, labels: IntArray) -> list[Turn]:
    """Return `make_turns` with speakers named "1", "2", ... as Kaldi does."""
    return make_turns(segments, [str(label + 1) for label in labels.tolist()])


def rate_turns(
    turns: Sequence[Turn],
    segments: FloatArray,
    labels: IntArray,
    confidence: FloatArray | Float32Array,
) -> list[Turn]:
    """Return turns with the mean confidence of their speaker's windows, by seconds.

    Speakers of labels (N,) are named as by `turns_of_labels`. A turn in which no window
    (N, 2) is its speaker's keeps the confidence it has.
    """
    pieces = split_windows(segments)
    spans = np.array([(piece.start, piece.end) for piece in pieces]).reshape(-1, 2)
    windows = np.array([piece.window for piece in pieces], np.int64)
    owners, rated = labels[windows], list(turns)
    for speaker in set(owners.tolist()):
        mine = owners == speaker
        places = [i for i, t in enumerate(turns) if t.speaker == str(speaker + 1)]
        times = np.array([(turns[i].start, turns[i].end) for i in places])
        lengths = spans[mine, 1] - spans[mine, 0]
        seconds, certain = (
            np.diff(np.interp(times.reshape(-1, 2), spans[mine].ravel(), _steps(each)))
            for each in (lengths, lengths * confidence[windows[mine]])
        )
        for place, shared, sure in zip(places, seconds.flat, certain.flat, strict=True):
            if shared > 0:
                mean = float(np.clip(sure / shared, 0, 1))
                rated[place] = replace(turns[place], confidence=mean)
    return rated


def mean_confidence(turns: Iterable[Turn]) -> float | None:
    """Return the mean confidence of turns that have one, by seconds; None of none."""
    rated = [turn for turn in turns if turn.confidence is not None]
    seconds = sum(turn.end - turn.start for turn in rated)
    if seconds <= 0:
        return None
    sure = sum((turn.end - turn.start) * (turn.confidence or 0.0) for turn in rated)
    return sure / seconds


def _steps(amounts: FloatArray) -> FloatArray:
    """Return the totals (2 N,) before and after each of the amounts (N,)."""
    totals = np.cumsum(amounts)
    return np.column_stack([totals - amounts, totals]).ravel()


def split_windows(segments: FloatArray) -> list[Piece]:
    """Share out the time that several windows cover; return disjoint pieces in order.

    Where a window reaches into the next one, both are cut in the middle of what they
    share. A window inside another (for which ``make_rttm.py`` writes negative
    durations) keeps its time and splits the outer one, windows may come in any order,
    and windows of no length keep nothing.
    """
    # Cuts fall between whole numbers.
    segments = np.asarray(segments, np.float64)
    order = np.lexsort(segments.T[::-1])
    starts, ends = segments[order].T
    has_length = starts < ends
    order, starts, ends = order[has_length], starts[has_length], ends[has_length]
    if (ends[1:] < ends[:-1]).any():
        return _split_nested(_pieces(starts, ends, order))
    # Without a window inside another the cuts are in order, and each window keeps what
    # lies between its cuts with the ones before and after it.
    overlaps = starts[1:] < ends[:-1]
    cuts = np.where(overlaps, (starts[1:] + ends[:-1]) / 2, ends[:-1])
    starts[1:] = np.maximum(starts[1:], cuts)
    ends[:-1] = cuts
    kept = starts < ends
    return _pieces(starts[kept], ends[kept], order[kept])


def measure_speech(segments: FloatArray) -> float:
    """Return the seconds that windows (N, 2) cover: the length of their turns."""
    starts, ends = segments[np.argsort(segments[:, 0])].T
    reached = np.maximum.accumulate(ends)
    starts[1:] = np.maximum(starts[1:], reached[:-1])
    return float(np.maximum(ends - starts, 0).sum())


def _pieces(starts: FloatArray, ends: FloatArray, windows: IntArray) -> list[Piece]:
    return list(map(Piece, starts.tolist(), ends.tolist(), windows.tolist()))


def _split_nested(windows: list[Piece]) -> list[Piece]:
    """Share out the time of windows that may lie inside others, one by one."""
    heapify(windows)
    pieces: list[Piece] = []
    covered = 0.0
    while windows:
        window = heappop(windows)
        start = max(window.start, covered)
        if start >= window.end:
            continue
        end = window.end
        if windows and windows[0].start < end:
            following = windows[0]
            if following.end >= end:
                end = max((following.start + end) / 2, start)
            else:
                end = max(following.start, start)
                heappush(windows, Piece(following.end, window.end, window.window))
        if start < end:
            pieces.append(Piece(start, end, window.window))
        covered = max(covered, end)
    return pieces


def list_speakers(turns: Sequence[Turn]) -> list[str]:
    """Return the speakers of turns: shorter names first, so that 2 is before 10."""
    return sorted({turn.speaker for turn in turns}, key=lambda name: (len(name), name))


def check_turns(turns: Iterable[Turn]) -> None:
    """Raise a DataError for a turn that ends before it starts, or never."""
    for turn in turns:
        if not -inf < turn.start <= turn.end < inf:
            raise DataError(
                f"expected turns with start <= end in seconds, found {turn}; is the "
                "end a duration?"
            )


def to_annotation(turns: Sequence[Turn], recording: str) -> "Annotation":
    """Return turns as a `pyannote.core.Annotation`; turns of no length are left out.

    Turns that end before they start, or never, are a DataError.
    """
    from pyannote.core import Annotation, Segment

    check_turns(turns)
    annotation = Annotation(uri=recording)
    for track, turn in enumerate(turns):
        # A track of its own lets two speakers share one span.
        annotation[Segment(turn.start, turn.end), track] = turn.speaker
    return annotation
