"""Regions of speech, given as an RTTM, a UEM, or Kaldi's ``segments``."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ssahc.core.errors import FormatError
from ssahc.io.rttm import read_rttm, read_uem
from ssahc.io.text import read_segments


class SpeechRegion(NamedTuple):
    """A region of speech of a recording, in seconds, and its id."""

    name: str
    start: float
    end: float


def read_speech(path: Path) -> dict[str, list[SpeechRegion]]:
    """Read regions of speech: recording to its regions, in order of their starts.

    ``.rttm`` gives the time in which anybody speaks, ``.uem`` its spans; both are
    rounded to milliseconds. Any other file is read as Kaldi's ``segments``, whose
    regions keep their ids and may overlap. Regions of no length are left out.

    Raises
    ------
    FormatError
        If the file is malformed or holds no region.
    """
    if path.suffix.lower() == ".rttm":
        turns = read_rttm(path).turns
        spans = {name: [(t.start, t.end) for t in turns[name]] for name in turns}
        speech = {name: unite_spans(name, spans[name]) for name in spans}
    elif path.suffix.lower() == ".uem":
        uem = read_uem(path)
        speech = {
            name: unite_spans(
                name, (span for spans in channels.values() for span in spans)
            )
            for name, channels in uem.items()
        }
    else:
        speech = {}
        for name, (recording, start, end) in read_segments(path).items():
            regions = speech.setdefault(recording, [])
            if start < end:
                regions.append(SpeechRegion(name, start, end))
        for regions in speech.values():
            regions.sort(key=lambda region: region[1:])
    if not any(speech.values()):
        raise FormatError("holds no region of speech", path=path)
    return speech


def unite_spans(
    recording: str, spans: Iterable[tuple[float, float]]
) -> list[SpeechRegion]:
    """Join spans that overlap or touch; ids are of recording and milliseconds."""
    united: list[tuple[float, float]] = []
    for start, end in sorted((round(a, 3), round(b, 3)) for a, b in spans):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(end, united[-1][1])
        elif start < end:
            united.append((start, end))
    return [
        SpeechRegion(f"{recording}-{1000 * start:08.0f}-{1000 * end:08.0f}", start, end)
        for start, end in united
    ]
