"""An x-vector folder as ``extract_xvectors.sh`` leaves it.

It holds ``xvector.scp`` (with its archives), ``segments``, ``utt2spk`` and ``spk2utt``,
where "speaker" means recording.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssahc.errors import DataError, FormatError
from ssahc.io.ark import ArchiveWriter, Array, ScpEntry, read_entries, read_scp
from ssahc.io.files import atomic_write, make_folder
from ssahc.io.text import Segment, read_segments, read_spk2utt, read_utt2spk
from ssahc.types import Fault, Recording

_logger = logging.getLogger(__name__)
SCP, SEGMENTS, UTT2SPK, SPK2UTT = "xvector.scp", "segments", "utt2spk", "spk2utt"


@dataclass(frozen=True)
class XvectorDir:
    """The tables of an x-vector folder; vectors are read by `read_recordings`.

    Attributes
    ----------
    path : Path
    utterances : dict
        Recording to its utterances, in the order of ``spk2utt``.
    segments : dict
        Utterance to its segment.
    entries : dict
        Utterance to its place in an archive.
    unlisted : dict
        Recording to the first of its segments that ``spk2utt`` does not list.
    """

    path: Path
    utterances: dict[str, list[str]]
    segments: dict[str, Segment]
    entries: dict[str, ScpEntry]
    unlisted: dict[str, str]


def open_xvector_dir(path: Path) -> XvectorDir:
    """Read the tables of an x-vector folder, not the vectors.

    Raises
    ------
    FormatError
        If a file is missing or malformed, or ``utt2spk`` and ``spk2utt`` disagree.
    """
    if not path.is_dir():
        raise FormatError(
            f"no such folder; it should hold {SCP}, {SEGMENTS}, {UTT2SPK}, {SPK2UTT}",
            path=path,
        )
    entries = {entry.key: entry for entry in read_scp(path / SCP)}
    segments = read_segments(path / SEGMENTS)
    utterances = read_spk2utt(path / SPK2UTT)
    speaker_of = read_utt2spk(path / UTT2SPK)
    listed = {
        utterance: recording
        for recording, group in utterances.items()
        for utterance in group
    }
    for utterance in {**listed, **speaker_of}:
        here, there = speaker_of.get(utterance), listed.get(utterance)
        if here != there:
            raise FormatError(
                f"{_place(here)} here, but {_place(there)} in {SPK2UTT}; "
                f"make {SPK2UTT} again from {UTT2SPK}",
                path=path / UTT2SPK,
                key=utterance,
            )
    if not utterances:
        raise FormatError("lists no recording", path=path / SPK2UTT)
    unused = [utterance for utterance in entries if utterance not in listed]
    if unused:
        _logger.warning(
            "%s: %d x-vectors are in no recording of %s and are not used, the first of "
            "them %r",
            path / SCP,
            len(unused),
            SPK2UTT,
            unused[0],
        )
    unlisted: dict[str, str] = {}
    for utterance, segment in segments.items():
        if utterance not in listed:
            unlisted.setdefault(segment.recording, utterance)
    return XvectorDir(path, utterances, segments, entries, unlisted)


def _place(recording: str | None) -> str:
    return "is missing" if recording is None else f"belongs to {recording!r}"


def read_recordings(folder: XvectorDir) -> Iterator[Recording | Fault]:
    """Yield every recording, each as soon as its last vector has been read.

    Archives are read once, front to back, so recordings come in the archives' order.
    A recording with a missing or broken part comes as a `Fault`, and only that one.
    """
    recording_of: dict[str, str] = {}
    waiting: dict[str, dict[str, Array]] = {}
    missing: dict[str, int] = {}
    for recording in sorted(folder.unlisted.keys() - folder.utterances.keys()):
        yield Fault(recording, _unlisted(folder, recording))
    for recording, utterances in folder.utterances.items():
        reason = _find_fault(folder, recording, utterances)
        if reason is not None:
            yield Fault(recording, reason)
            continue
        missing[recording] = len(utterances)
        waiting[recording] = {}
        recording_of.update(dict.fromkeys(utterances, recording))
    wanted = (entry for key, entry in folder.entries.items() if key in recording_of)
    for utterance, vector in read_entries(wanted, "vector"):
        recording = recording_of[utterance]
        if recording not in waiting:
            continue
        if isinstance(vector, FormatError):
            del waiting[recording]
            yield Fault(recording, str(vector))
            continue
        waiting[recording][utterance] = vector
        missing[recording] -= 1
        if missing[recording] == 0:
            yield _assemble(folder, recording, waiting.pop(recording))


def _unlisted(folder: XvectorDir, recording: str) -> str:
    return (
        f"{folder.path / SEGMENTS}: segment {folder.unlisted[recording]!r} has no "
        f"x-vector: {SPK2UTT} does not list it; extract it or remove the segment"
    )


def _find_fault(
    folder: XvectorDir, recording: str, utterances: list[str]
) -> str | None:
    if recording in folder.unlisted:
        return _unlisted(folder, recording)
    if not utterances:
        return f"{folder.path / SPK2UTT}: lists no utterance for it; remove the line"
    if len(set(utterances)) < len(utterances):
        return f"{folder.path / SPK2UTT}: lists an utterance twice; keep one"
    for utterance in utterances:
        segment = folder.segments.get(utterance)
        if segment is None:
            return (
                f"{folder.path / SEGMENTS}: no segment for utterance {utterance!r}; "
                "add its line or remove the utterance"
            )
        if segment.recording != recording:
            return (
                f"{folder.path / SEGMENTS}: utterance {utterance!r} belongs to "
                f"{segment.recording!r} there; make {SPK2UTT} agree"
            )
        if utterance not in folder.entries:
            return (
                f"{folder.path / SCP}: no x-vector for utterance {utterance!r}; "
                "extract it or remove the utterance from the folder"
            )
    return None


def _assemble(
    folder: XvectorDir, recording: str, vectors: dict[str, Array]
) -> Recording | Fault:
    utterances = folder.utterances[recording]
    first = utterances[0]
    dim = len(vectors[first])
    odd = next((u for u in utterances if len(vectors[u]) != dim), None)
    if odd is not None:
        return Fault(
            recording,
            f"{folder.entries[odd].archive}: the x-vector of {odd!r} has "
            f"{len(vectors[odd])} dimensions, that of {first!r} has {dim}; "
            "extract both with one network",
        )
    spans = [folder.segments[utterance][1:] for utterance in utterances]
    try:
        return Recording(
            recording,
            tuple(utterances),
            np.array(spans, np.float64),
            np.stack([vectors[u] for u in utterances]).astype(np.float64),
        )
    except DataError as error:
        return Fault(recording, f"{folder.path / SCP}: {error}")


def write_xvector_dir(path: Path, recordings: list[Recording]) -> None:
    """Write recordings as an x-vector folder: float32 archive, tables in order."""
    make_folder(path)
    with ArchiveWriter(path / "xvector.ark", path / SCP) as archive:
        for recording in recordings:
            for utterance, vector in zip(
                recording.utterances, recording.xvectors, strict=True
            ):
                archive.write(utterance, vector.astype(np.float32))
    with (
        atomic_write(path / SEGMENTS) as segments,
        atomic_write(path / UTT2SPK) as utt2spk,
        atomic_write(path / SPK2UTT) as spk2utt,
    ):
        for recording in recordings:
            spk2utt.write(f"{recording.id} {' '.join(recording.utterances)}\n")
            for utterance, (start, end) in zip(
                recording.utterances, recording.segments.tolist(), strict=True
            ):
                segments.write(f"{utterance} {recording.id} {start:.3f} {end:.3f}\n")
                utt2spk.write(f"{utterance} {recording.id}\n")
