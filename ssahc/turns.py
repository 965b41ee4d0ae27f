"""From labelled windows to speaker turns, as Kaldi's ``make_rttm.py``."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from ssahc.types import FloatArray, Turn

if TYPE_CHECKING:
    from pyannote.core import Annotation


class Piece(NamedTuple):
    """The time that one window keeps, in seconds."""

    start: float
    end: float
    window: int


def make_turns(segments: FloatArray, speakers: Sequence[str]) -> list[Turn]:
    """Join labelled windows into turns.

    The pieces of the windows (see `split_windows`) are joined if they are of one
    speaker and one ends exactly where the next starts. The turns do not overlap and
    cover exactly what the windows cover.

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
    turns: list[Turn] = []
    for piece in split_windows(segments):
        speaker = speakers[piece.window]
        last = turns[-1] if turns else None
        if last and last.end == piece.start and last.speaker == speaker:
            turns[-1] = Turn(last.start, piece.end, speaker)
        else:
            turns.append(Turn(piece.start, piece.end, speaker))
    return turns


def split_windows(segments: FloatArray) -> list[Piece]:
    """Share out the time that several windows cover.

    Where a window reaches into the next one, both are cut in the middle of what they
    share. A window inside another (for which ``make_rttm.py`` writes negative
    durations) keeps its time and splits the outer one, windows may come in any order,
    and windows of no length keep nothing.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.

    Returns
    -------
    list of Piece
        By start time; they do not overlap.
    """
    windows = [
        Piece(start, end, window)
        for window, (start, end) in enumerate(segments.tolist())
        if start < end
    ]
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


def to_annotation(turns: Sequence[Turn], recording: str) -> "Annotation":
    """Return turns as a `pyannote.core.Annotation`; turns of no length are left out."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation(uri=recording)
    for track, turn in enumerate(turns):
        # A track of its own lets two speakers share one span.
        annotation[Segment(turn.start, turn.end), track] = turn.speaker
    return annotation
