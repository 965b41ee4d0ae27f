"""Regions of overlapping speech, as detectors write them."""

from pathlib import Path

from ssahc.core.errors import FormatError
from ssahc.core.types import Turn
from ssahc.io.rttm import read_rttm
from ssahc.io.speech import read_speech, unite_spans

# Speaker of a region in the RTTM of Kaldi's and pyannote's detectors, in lower case.
_LABEL = "overlap"


def read_overlap(path: Path | str) -> dict[str, list[tuple[float, float]]]:
    """Read regions of overlap: recording to starts and ends, in seconds and in order.

    In an RTTM they are the turns of a speaker named ``overlap``, in upper or lower
    case, as Kaldi's ``steps/overlap`` and pyannote.audio write them. Without such turns
    they are all turns, if they are of one name, else the time in which turns of two or
    more speakers overlap. UEM and Kaldi's ``segments`` list them.

    Raises
    ------
    FormatError
        If the file is malformed or holds no region.
    """
    path = Path(path)
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
