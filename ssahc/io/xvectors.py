"""An x-vector folder as ``extract_xvectors.sh`` leaves it.

It holds ``xvector.scp`` (with its archives), ``segments``, ``utt2spk`` and ``spk2utt``,
where "speaker" means recording.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import inf
from pathlib import Path

from ssahc.core.errors import DataError, FormatError, counted
from ssahc.core.types import BriefRepr, Fault, Recording, suspect_unit
from ssahc.io.ark import Array, read_entries
from ssahc.io.files import OnFault, raise_fault, warn_of
from ssahc.io.objects import as_double
from ssahc.io.scp import ScpEntry, read_scp
from ssahc.io.text import Segment, read_segments, read_spk2utt, read_utt2spk, times_of
from ssahc.runtime.memory import check_room, lack_of_memory

SCP, SEGMENTS, UTT2SPK, SPK2UTT = "xvector.scp", "segments", "utt2spk", "spk2utt"
# Shell commands that make utt2spk and spk2utt for diarization.
_MAKE_TABLES = (
    f"awk '{{print $1, $2}}' {SEGMENTS} > {UTT2SPK}; "
    "awk '{u[$2] = u[$2] FS $1} END {for (r in u) print r u[r]}' "
    f"{UTT2SPK} | sort > {SPK2UTT}"
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class XvectorDir(BriefRepr):
    """The tables of an x-vector folder; vectors are read by `read_recordings`.

    `utterances` maps a recording to its utterances in the order of ``spk2utt``,
    `segments` and `entries` map an utterance to its segment and to its location in an
    archive.
    """

    path: Path
    utterances: dict[str, list[str]]
    segments: dict[str, Segment]
    entries: dict[str, ScpEntry]

    def select(self, names: Collection[str]) -> "XvectorDir":
        """Return the folder reduced to these recordings; DataError if it lacks one."""
        held = self.utterances.keys() | self.unlisted.keys()
        for name in names:
            if name not in held:
                some = ", ".join(sorted(self.utterances)[:3])
                raise DataError(
                    f"{self.path}: has no recording {name!r}; it holds "
                    f"{counted(len(self.utterances), 'recording')}, such as {some}"
                )
        kept = set(names)
        if held == kept:
            return self
        utterances = {key: v for key, v in self.utterances.items() if key in kept}
        listed = {utterance for group in utterances.values() for utterance in group}
        # A listed utterance is kept even if segments gives it to another recording.
        segments = {
            key: segment
            for key, segment in self.segments.items()
            if segment.recording in kept or key in listed
        }
        entries = {key: entry for key, entry in self.entries.items() if key in listed}
        return XvectorDir(self.path, utterances, segments, entries)

    @property
    def files(self) -> list[Path]:
        """The tables and archives."""
        tables = [self.path / name for name in (SCP, SEGMENTS, UTT2SPK, SPK2UTT)]
        return [*tables, *{entry.archive for entry in self.entries.values()}]

    @cached_property
    def recording_of(self) -> dict[str, str]:
        """Utterance to its recording, according to ``spk2utt``."""
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
    entries = read_scp(path / SCP)
    segments = read_segments(path / SEGMENTS)
    utterances = read_listing(path / SPK2UTT)
    speaker_of = read_utt2spk(path / UTT2SPK)
    folder = XvectorDir(path, utterances, segments, entries)
    if fault := find_speakers(folder, speaker_of):
        raise fault
    for fault in find_disagreements(path, folder.recording_of, speaker_of):
        raise fault
    warn_of_unused(folder)
    warn_of_unit(folder)
    return folder


def require_folder(path: Path) -> None:
    """Raise a FormatError if there is no such folder."""
    if not path.is_dir():
        fault = "no such folder"
        if path.is_file():
            fault = (
                "is a file, expected a folder (ssahc import makes one of .npz files)"
            )
        hold = f"it should hold {SCP}, {SEGMENTS}, {UTT2SPK}, {SPK2UTT}"
        raise FormatError(f"{fault}; {hold}", path=path)


def read_listing(path: Path, on_fault: OnFault = raise_fault) -> dict[str, list[str]]:
    """Read ``spk2utt``; raise a FormatError if it lists no recordings."""
    utterances = read_spk2utt(path, on_fault)
    if not utterances:
        raise FormatError(
            f"lists no recordings; make it again from {UTT2SPK}", path=path
        )
    return utterances


def warn_of_unused(folder: XvectorDir) -> None:
    """Log a warning if there are x-vectors of no recording."""
    unused = [key for key in folder.entries if key not in folder.recording_of]
    count = len(unused)
    what = f"ignoring {counted(count, 'x-vector')} that {SPK2UTT} does not list"
    warn_of(folder.path / SCP, what, unused)


def warn_of_unit(folder: XvectorDir) -> None:
    """Log a warning if times look like milliseconds or samples."""
    if warning := suspect_unit(times_of(folder.segments, folder.segments)):
        _logger.warning(f"{folder.path / SEGMENTS}: {warning}")


# ---- faults ------------------------------------------------------------------------


def find_speakers(folder: XvectorDir, speaker_of: dict[str, str]) -> FormatError | None:
    """Return an error if a table names speakers where recordings are expected."""
    recordings = {segment.recording for segment in folder.segments.values()}
    for name, table in ((UTT2SPK, speaker_of), (SPK2UTT, folder.recording_of)):
        shared = table.keys() & folder.segments.keys()
        if shared and recordings.isdisjoint(table.values()):
            first = min(shared)
            return FormatError(
                f"names speakers, such as {table[first]!r}; to diarize, it must name "
                "the recording of every utterance, such as "
                f"{folder.segments[first].recording!r}: {_MAKE_TABLES}",
                path=folder.path / name,
            )
    return None


def find_disagreements(
    path: Path, listed: dict[str, str], speaker_of: dict[str, str]
) -> Iterator[FormatError]:
    """Yield utterances whose recordings in ``spk2utt`` and ``utt2spk`` differ."""
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


def find_faults(
    folder: XvectorDir, recording: str
) -> Iterator[tuple[str | None, FormatError]]:
    """Yield what is wrong with a listed recording in the tables, and its utterance.

    The utterance is None for faults of the recording's line of ``spk2utt``.
    """
    counts = Counter(folder.utterances[recording])
    listing = folder.path / SPK2UTT
    if not counts:
        fault = "lists no utterances; remove the line"
        yield None, FormatError(fault, path=listing, key=recording)
    for utterance, count in counts.items():
        if count > 1:
            fault = f"lists utterance {utterance!r} twice; keep one"
            yield None, FormatError(fault, path=listing, key=recording)
        if segment_fault := find_segment_fault(folder, recording, utterance):
            yield utterance, segment_fault
        if utterance not in folder.entries:
            fault = (
                f"no x-vector for utterance {utterance!r}; "
                "extract it or remove the utterance from the folder"
            )
            yield utterance, FormatError(fault, path=folder.path / SCP)


def find_segment_fault(
    folder: XvectorDir, recording: str, utterance: str
) -> FormatError | None:
    """Return what is wrong with the segment of a listed utterance."""
    segment = folder.segments.get(utterance)
    if segment is None:
        fault = (
            f"no segment for utterance {utterance!r}; "
            "add its line or remove the utterance"
        )
    elif segment.recording != recording:
        fault = (
            f"utterance {utterance!r} belongs to {segment.recording!r} here, but to "
            f"{recording!r} in {SPK2UTT}; make them agree"
        )
    else:
        return None
    return FormatError(fault, path=folder.path / SEGMENTS)


def differing_dimension(
    entry: ScpEntry, dim: int, other: str, other_dim: int
) -> FormatError:
    """Return the error of an x-vector with another dimension than another one."""
    return FormatError(
        f"the x-vector of {entry.key!r} has {dim} dimensions, that of {other!r} has "
        f"{other_dim}; extract both with one network",
        path=entry.archive,
    )


def unusable_xvector(entry: ScpEntry, fault: str) -> FormatError:
    """Return the error of an x-vector that cannot be used."""
    return entry.fault(
        f"the x-vector {fault}; extract it again or remove the utterance"
    )


def first_fault(folder: XvectorDir, recording: str) -> FormatError | None:
    """Return what is wrong with a recording in the tables; None if nothing is."""
    listed = (fault for _, fault in find_faults(folder, recording))
    return next(chain(find_unlisted(folder, recording), listed), None)


# ---- reading and writing -----------------------------------------------------------


def read_recordings(
    folder: XvectorDir, *, max_bytes: float = inf
) -> Iterator[Recording | Fault]:
    """Yield every recording, each as soon as its last vector has been read.

    Archives are read once, front to back, so recordings come in the archives' order.
    A recording with a missing or broken part comes as a `Fault`; the others are not
    affected.

    Parameters
    ----------
    folder : XvectorDir
    max_bytes : float
        Memory limit of this process. A recording that would exceed it comes as a
        `Fault` and is not read.
    """
    recording_of: dict[str, str] = {}
    waiting: dict[str, dict[str, Array]] = {}
    for recording in sorted(folder.unlisted.keys() - folder.utterances.keys()):
        yield Fault(recording, str(next(find_unlisted(folder, recording))))
    for recording, utterances in folder.utterances.items():
        if fault := first_fault(folder, recording):
            yield Fault(recording, str(fault))
            continue
        waiting[recording] = {}
        recording_of.update(dict.fromkeys(utterances, recording))
    wanted = (entry for key, entry in folder.entries.items() if key in recording_of)
    for utterance, vector in read_entries(wanted, "vector"):
        recording = recording_of[utterance]
        if recording not in waiting:
            continue
        vectors, count = waiting[recording], len(folder.utterances[recording])
        try:
            if isinstance(vector, FormatError):
                raise vector
            if not vectors:
                # As read, and once more as the rows of a float64 matrix.
                needed = count * (vector.nbytes + 8 * vector.size)
                check_room(
                    needed, max_bytes, f"reading its {counted(count, 'x-vector')}"
                )
        except (DataError, FormatError) as error:
            del waiting[recording]
            yield Fault(recording, str(error))
            continue
        vectors[utterance] = vector
        if len(vectors) == count:
            yield _assemble(folder, recording, waiting.pop(recording))


def _assemble(
    folder: XvectorDir, recording: str, vectors: dict[str, Array]
) -> Recording | Fault:
    utterances = folder.utterances[recording]
    first = utterances[0]
    dim = len(vectors[first])
    for utterance in utterances:
        entry, found = folder.entries[utterance], len(vectors[utterance])
        if found == 0:
            return Fault(recording, str(unusable_xvector(entry, "is empty")))
        if found != dim > 0:
            return Fault(recording, str(differing_dimension(entry, found, first, dim)))
    times = times_of(folder.segments, utterances)
    try:
        xvectors = as_double([vectors[utterance] for utterance in utterances])
        return Recording(recording, tuple(utterances), times, xvectors)
    except DataError as error:
        return Fault(recording, f"{folder.path / SCP}: {error}")
    except MemoryError as error:
        return Fault(recording, lack_of_memory(error))
