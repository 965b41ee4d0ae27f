"""An x-vector folder as ``extract_xvectors.sh`` leaves it.

It holds ``xvector.scp`` (with its archives), ``segments``, ``utt2spk`` and ``spk2utt``,
where "speaker" means recording.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path

import numpy as np

from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Fault, Recording
from ssahc.io.ark import ArchiveWriter, Array, as_double, read_entries
from ssahc.io.files import atomic_write, gather
from ssahc.io.folders import make_folder
from ssahc.io.scp import ScpEntry, scan_scp
from ssahc.io.text import Segment, read_segments, read_spk2utt, read_utt2spk
from ssahc.runtime.memory import check_room, lack_of_memory

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
    """

    path: Path
    utterances: dict[str, list[str]]
    segments: dict[str, Segment]
    entries: dict[str, ScpEntry]

    def select(self, names: Collection[str]) -> "XvectorDir":
        """Return the folder as if it held these recordings alone.

        Raises
        ------
        DataError
            If it does not hold one of them.
        """
        held = self.utterances.keys() | self.unlisted.keys()
        for name in names:
            if name not in held:
                some = ", ".join(sorted(self.utterances)[:3])
                raise DataError(
                    f"{self.path}: has no recording {name!r}; among its "
                    f"{len(self.utterances)} recordings are {some}"
                )
        if held == set(names):
            return self
        utterances = {key: v for key, v in self.utterances.items() if key in names}
        segments = {key: v for key, v in self.segments.items() if v.recording in names}
        listed = {utterance for group in utterances.values() for utterance in group}
        # An utterance that lies with another recording in segments is that one's fault.
        segments |= {key: self.segments[key] for key in listed & self.segments.keys()}
        entries = {key: entry for key, entry in self.entries.items() if key in listed}
        return XvectorDir(self.path, utterances, segments, entries)

    @property
    def files(self) -> list[Path]:
        """The tables and archives."""
        tables = [self.path / name for name in (SCP, SEGMENTS, UTT2SPK, SPK2UTT)]
        return [*tables, *{entry.archive for entry in self.entries.values()}]

    @cached_property
    def recording_of(self) -> dict[str, str]:
        """Utterance to its recording, by ``spk2utt``."""
        return {
            utterance: recording
            for recording, group in self.utterances.items()
            for utterance in group
        }

    @cached_property
    def unlisted(self) -> dict[str, list[str]]:
        """Recording to those of its segments that ``spk2utt`` does not list."""
        unlisted: dict[str, list[str]] = {}
        for utterance, segment in self.segments.items():
            if utterance not in self.recording_of:
                unlisted.setdefault(segment.recording, []).append(utterance)
        return unlisted


def open_xvector_dir(path: Path | str) -> XvectorDir:
    """Read the tables of an x-vector folder, not the vectors.

    Raises
    ------
    FormatError
        If a file is missing or malformed, or ``utt2spk`` and ``spk2utt`` disagree.
    """
    path = Path(path)
    require_folder(path)
    entries = gather(scan_scp(path / SCP))
    segments = read_segments(path / SEGMENTS)
    utterances = read_spk2utt(path / SPK2UTT)
    speaker_of = read_utt2spk(path / UTT2SPK)
    require_recordings(path, utterances)
    folder = XvectorDir(path, utterances, segments, entries)
    for fault in find_disagreements(path, folder.recording_of, speaker_of):
        raise fault
    warn_of_unused(folder)
    return folder


def require_folder(path: Path) -> None:
    """Raise a FormatError if there is no such folder."""
    if not path.is_dir():
        raise FormatError(
            f"no such folder; it should hold {SCP}, {SEGMENTS}, {UTT2SPK}, {SPK2UTT}",
            path=path,
        )


def require_recordings(path: Path, utterances: dict[str, list[str]]) -> None:
    """Raise a FormatError if ``spk2utt`` is empty."""
    if not utterances:
        raise FormatError(
            f"lists no recording; make it again from {UTT2SPK}", path=path / SPK2UTT
        )


def warn_of_unused(folder: XvectorDir) -> None:
    """Log a warning if there are x-vectors that no recording uses."""
    unused = [key for key in folder.entries if key not in folder.recording_of]
    if unused:
        _logger.warning(
            "%s: %d x-vectors are in no recording of %s and are not used, the first of "
            "them %r",
            folder.path / SCP,
            len(unused),
            SPK2UTT,
            unused[0],
        )


# ---- what can be wrong -------------------------------------------------------------


def find_disagreements(
    path: Path, listed: dict[str, str], speaker_of: dict[str, str]
) -> Iterator[FormatError]:
    """Yield where ``spk2utt``, from utterance to recording, and ``utt2spk`` differ."""
    if listed == speaker_of:
        return
    for utterance in {**listed, **speaker_of}:
        here, there = speaker_of.get(utterance), listed.get(utterance)
        if here != there:
            yield FormatError(
                f"{_place(here)} here, but {_place(there)} in {SPK2UTT}; "
                f"make {SPK2UTT} again from {UTT2SPK}",
                path=path / UTT2SPK,
                key=utterance,
            )


def _place(recording: str | None) -> str:
    return "is missing" if recording is None else f"belongs to {recording!r}"


def find_unlisted(folder: XvectorDir, recording: str) -> Iterator[FormatError]:
    """Yield the segments of a recording that ``spk2utt`` does not list."""
    path = folder.path / SEGMENTS
    for utterance in folder.unlisted.get(recording, ()):
        yield FormatError(
            f"segment {utterance!r} has no x-vector: {SPK2UTT} does not list it; "
            "extract it or remove the segment",
            path=path,
        )


def find_listing_faults(folder: XvectorDir, recording: str) -> Iterator[FormatError]:
    """Yield what is wrong with a recording's line of ``spk2utt``."""
    counts = Counter(folder.utterances[recording])
    path = folder.path / SPK2UTT
    if not counts:
        yield FormatError(
            "lists no utterance for it; remove the line", path=path, key=recording
        )
    for utterance, count in counts.items():
        if count > 1:
            yield FormatError(
                f"lists utterance {utterance!r} twice; keep one",
                path=path,
                key=recording,
            )


def find_segment_fault(
    folder: XvectorDir, recording: str, utterance: str
) -> FormatError | None:
    """Return what is wrong with the segment of a listed utterance."""
    segment = folder.segments.get(utterance)
    if segment is None:
        return FormatError(
            f"no segment for utterance {utterance!r}; "
            "add its line or remove the utterance",
            path=folder.path / SEGMENTS,
        )
    if segment.recording != recording:
        return FormatError(
            f"utterance {utterance!r} belongs to {segment.recording!r} there; "
            f"make {SPK2UTT} agree",
            path=folder.path / SEGMENTS,
        )
    return None


def find_missing_vector(folder: XvectorDir, utterance: str) -> FormatError | None:
    """Return an error if the scp does not list the utterance."""
    if utterance in folder.entries:
        return None
    return FormatError(
        f"no x-vector for utterance {utterance!r}; "
        "extract it or remove the utterance from the folder",
        path=folder.path / SCP,
    )


def differing_dimension(
    entry: ScpEntry, dim: int, other: str, other_dim: int
) -> FormatError:
    """Return an error that says that two x-vectors differ in dimension."""
    return FormatError(
        f"the x-vector of {entry.key!r} has {dim} dimensions, that of {other!r} has "
        f"{other_dim}; extract both with one network",
        path=entry.archive,
    )


def unusable_xvector(entry: ScpEntry, fault: str) -> FormatError:
    """Return an error that says why an x-vector cannot be used."""
    return entry.fault(
        f"the x-vector {fault}; extract it again or remove the utterance"
    )


def is_sound(folder: XvectorDir, recording: str) -> bool:
    """Whether a recording is not at fault, as far as the tables tell."""
    return next(_find_faults(folder, recording), None) is None


def _find_faults(folder: XvectorDir, recording: str) -> Iterator[FormatError]:
    yield from find_unlisted(folder, recording)
    yield from find_listing_faults(folder, recording)
    for utterance in folder.utterances[recording]:
        if fault := find_segment_fault(folder, recording, utterance):
            yield fault
        if fault := find_missing_vector(folder, utterance):
            yield fault


# ---- reading and writing -----------------------------------------------------------


def read_recordings(
    folder: XvectorDir, *, max_bytes: float = inf
) -> Iterator[Recording | Fault]:
    """Yield every recording, each as soon as its last vector has been read.

    Archives are read once, front to back, so recordings come in the archives' order.
    A recording with a missing or broken part comes as a `Fault`, and only that one.

    Parameters
    ----------
    folder : XvectorDir
    max_bytes : float
        What this process may take in all: a recording too large for it is a `Fault`,
        and is not read.
    """
    recording_of: dict[str, str] = {}
    waiting: dict[str, dict[str, Array]] = {}
    missing: dict[str, int] = {}
    for recording in sorted(folder.unlisted.keys() - folder.utterances.keys()):
        yield Fault(recording, str(next(find_unlisted(folder, recording))))
    for recording, utterances in folder.utterances.items():
        fault = next(_find_faults(folder, recording), None)
        if fault is not None:
            yield Fault(recording, str(fault))
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
        if not waiting[recording]:
            # As read, and all of them once more as the rows of a matrix in float64.
            needed = missing[recording] * (vector.nbytes + 8 * vector.size)
            try:
                check_room(
                    needed, max_bytes, f"reading its {missing[recording]} x-vectors"
                )
            except DataError as error:
                del waiting[recording]
                yield Fault(recording, str(error))
                continue
        waiting[recording][utterance] = vector
        missing[recording] -= 1
        if missing[recording] == 0:
            yield _assemble(folder, recording, waiting.pop(recording))


def _assemble(
    folder: XvectorDir, recording: str, vectors: dict[str, Array]
) -> Recording | Fault:
    utterances = folder.utterances[recording]
    for utterance in utterances:
        if len(vectors[utterance]) == 0:
            empty = unusable_xvector(folder.entries[utterance], "is empty")
            return Fault(recording, str(empty))
    first = utterances[0]
    dim = len(vectors[first])
    odd = next((u for u in utterances if len(vectors[u]) != dim), None)
    if odd is not None:
        entry = folder.entries[odd]
        fault = differing_dimension(entry, len(vectors[odd]), first, dim)
        return Fault(recording, str(fault))
    spans = [folder.segments[utterance][1:] for utterance in utterances]
    try:
        return Recording(
            recording,
            tuple(utterances),
            np.array(spans, np.float64),
            as_double([vectors[u] for u in utterances]),
        )
    except DataError as error:
        return Fault(recording, f"{folder.path / SCP}: {error}")
    except MemoryError as error:
        return Fault(recording, lack_of_memory(error))


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
