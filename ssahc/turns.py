"""From labelled windows to speaker turns, as Kaldi's ``make_rttm.py``."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from ssahc.types import FloatArray, Turn

if TYPE_CHECKING:
    from pyannote.core import Annotation


def make_turns(segments: FloatArray, speakers: Sequence[str]) -> list[Turn]:
    """Join labelled windows into turns.

    Where a window reaches into the next one, both are cut in the middle of what they
    share; then neighbours of one speaker are joined if one ends exactly where the next
    starts. A window inside another (for which ``make_rttm.py`` writes negative
    durations) keeps its time and splits the outer one, windows may come in any order,
    and windows of no length leave no turn. The turns do not overlap and cover exactly
    what the windows cover.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.
    speakers : sequence of str
        Speaker of every window.

    Returns
    -------
    list of Turn
        By start time.
    """
    pieces = _without_overlap(segments, speakers)
    turns: list[Turn] = []
    for piece in pieces:
        last = turns[-1] if turns else None
        if last and last.end == piece.start and last.speaker == piece.speaker:
            turns[-1] = Turn(last.start, piece.end, piece.speaker)
        else:
            turns.append(piece)
    return turns


def _without_overlap(segments: FloatArray, speakers: Sequence[str]) -> list[Turn]:
    windows = [
        Turn(start, end, speaker)
        for (start, end), speaker in zip(segments.tolist(), speakers, strict=True)
        if start < end
    ]
    heapify(windows)
    pieces: list[Turn] = []
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
                heappush(windows, Turn(following.end, window.end, window.speaker))
        if start < end:
            pieces.append(Turn(start, end, window.speaker))
        covered = max(covered, end)
    return pieces


def to_annotation(turns: Sequence[Turn], recording: str) -> "Annotation":
    """Return turns as a `pyannote.core.Annotation`; turns of no length are left out."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation(uri=recording)
    for track, turn in enumerate(turns):
        # A track of its own lets two speakers share one span.
        annotation[Segment(turn.start, turn.end), track] = turn.speaker
    return annotation
