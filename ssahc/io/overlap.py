"""Regions of overlapping speech, as detectors write them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import Turn
from ssahc.core.validation import Interval, changed_fields
from ssahc.io.ark import index_table, read_entries
from ssahc.io.files import strip_rspecifier
from ssahc.io.rttm import read_rttm
from ssahc.io.speech import read_speech, unite_spans

# Speaker of a region in the RTTM of Kaldi's and pyannote's detectors, in lower case.
_LABEL = "overlap"
# Files of posteriors: Kaldi's vectors, by these names or prefixes.
_TABLES = ("ark", "scp")


@dataclass(frozen=True)
class PosteriorOptions(Options, group="Audio"):
    """How posteriors of frames become regions of overlap.

    Parameters
    ----------
    overlap_threshold : float
        With --overlap and probabilities of frames, that from which on a frame is
        overlap.
    overlap_frame_shift : float
        Seconds from a frame of them to the next.
    """

    overlap_threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    overlap_frame_shift: Annotated[float, Interval(gt=0, le=10)] = 0.01


def has_posteriors(path: Path) -> bool:
    """Whether a file of overlap is, by its name, one of posteriors of frames."""
    prefix, path = strip_rspecifier(path)
    return prefix in _TABLES or path.suffix.lower()[1:] in _TABLES


def read_overlap(
    path: Path | str, options: PosteriorOptions = PosteriorOptions()
) -> dict[str, list[tuple[float, float]]]:
    """Read regions of overlap: recording to starts and ends, in seconds and in order.

    In an RTTM they are the turns of a speaker named ``overlap``, in upper or lower
    case, as Kaldi's ``steps/overlap`` and pyannote.audio write them. Without such turns
    they are all turns, if they are of one name, else the time in which turns of two or
    more speakers overlap. UEM and Kaldi's ``segments`` list them. A Kaldi archive
    (``.ark``) or ``.scp`` has a vector for each recording, the probability of overlap
    in each frame.

    Raises
    ------
    FormatError
        If the file is malformed or holds no region.
    UsageError
        If options of posteriors are set, and the file has none.
    """
    return read_regions(path, options)[0]


def read_regions(
    path: Path | str, options: PosteriorOptions = PosteriorOptions()
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, float]]:
    """Do as `read_overlap`; return also at how many seconds posteriors end, if any."""
    path = Path(path)
    if has_posteriors(path):
        return _read_posteriors(path, options)
    return _read_lists(path, options), {}


def _read_lists(
    path: Path, options: PosteriorOptions
) -> dict[str, list[tuple[float, float]]]:
    """Read an RTTM, a UEM or Kaldi's segments."""
    for option in changed_fields(options):
        raise UsageError(
            f"{option} is for probabilities of frames (.ark, .scp), which {path} does "
            "not hold; leave it out"
        )
    if path.suffix.lower() != ".rttm":
        return {
            name: [(region.start, region.end) for region in regions]
            for name, regions in read_speech(path).items()
        }
    turns = read_rttm(path).turns
    names = {turn.speaker for group in turns.values() for turn in group}
    labels = {name for name in names if name.lower() == _LABEL}
    if len(names) == 1:
        labels = names
    regions = {}
    for recording, group in turns.items():
        if labels:
            kept = [(t.start, t.end) for t in group if t.speaker in labels]
            regions[recording] = sorted(kept)
        else:
            regions[recording] = _find_overlap(recording, group)
    if not any(regions.values()):
        raise FormatError("holds no region of overlap", path=path)
    return regions


def _find_overlap(recording: str, turns: list[Turn]) -> list[tuple[float, float]]:
    """Return where two or more speakers of a recording have turns."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for turn in turns:
        spans.setdefault(turn.speaker, []).append((turn.start, turn.end))
    alone = [unite_spans(recording, own) for own in spans.values()]
    steps = [(region.start, 1) for own in alone for region in own]
    steps += [(region.end, -1) for own in alone for region in own]
    regions, count, start = [], 0, 0.0
    # Of turns that touch, one ends before the other starts.
    for time, step in sorted(steps):
        count += step
        if (count, step) == (2, 1):
            start = time
        elif (count, step) == (1, -1):
            regions.append((start, time))
    return regions


def _read_posteriors(
    path: Path, options: PosteriorOptions
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, float]]:
    """Return where frames reach the threshold, and where the last one ends."""
    entries, fault = index_table(path, "vector")
    if fault is not None:
        raise fault
    regions, ends = {}, {}
    for name, vector in read_entries(entries.values(), "vector"):
        if isinstance(vector, FormatError):
            raise vector
        # Also if one is NaN.
        if not ((vector >= 0) & (vector <= 1)).all():
            raise FormatError(
                "expected probabilities from 0 to 1, one a frame", path=path, key=name
            )
        is_overlap = (vector >= options.overlap_threshold).astype(np.int8)
        changes = np.flatnonzero(np.diff(is_overlap, prepend=0, append=0))
        spans = (changes * options.overlap_frame_shift).round(6).reshape(-1, 2)
        regions[name] = [(start, end) for start, end in spans.tolist()]
        ends[name] = len(vector) * options.overlap_frame_shift
    if not any(regions.values()):
        raise FormatError("holds no region of overlap", path=path)
    return regions, ends
