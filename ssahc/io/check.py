"""Find all problems of an x-vector folder without diarizing it.

Problems that only follow from another one are left out.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from ssahc.core.errors import FormatError, counted
from ssahc.core.turns import measure_speech
from ssahc.core.types import NO_MODEL, Model, find_unusable
from ssahc.io.ark import Array, read_entries
from ssahc.io.files import OnFault, warn_of
from ssahc.io.objects import as_double
from ssahc.io.scp import ScpEntry, read_scp
from ssahc.io.text import (
    Segment,
    read_reco2num_spk,
    read_segments,
    read_utt2spk,
    times_of,
)
from ssahc.io.xvectors import (
    SCP,
    SEGMENTS,
    SPK2UTT,
    UTT2SPK,
    XvectorDir,
    differing_dimension,
    find_disagreements,
    find_faults,
    find_speakers,
    find_unlisted,
    read_listing,
    require_folder,
    unusable_xvector,
    warn_of_unit,
    warn_of_unused,
)

_logger = logging.getLogger(__name__)
RECO2NUM_SPK = "reco2num_spk"
# A table with a fault in every line must not fill the memory with problems.
_MOST_KEPT = 1000

T = TypeVar("T")
Vectors = Iterable[tuple[str, Array | FormatError]]
Track = Callable[[Vectors, int], Vectors]


@dataclass
class Report:
    """Contents and problems of an x-vector folder.

    There are no problems if every recording can be diarized and all have one dimension.
    `problems` are the first thousand of `num_problems`, `xvectors` is the number of
    readable ones of recordings, `dim` their most frequent dimension (0 without any),
    and `seconds` the time covered by windows, overlap counted once.
    """

    problems: list[FormatError] = field(default_factory=list)
    num_problems: int = 0
    recordings: int = 0
    xvectors: int = 0
    dim: int = 0
    seconds: float = 0.0

    def add(self, problems: Iterable[FormatError]) -> None:
        """Add problems. One that is repeated, as of an archive, counts once."""
        last = None
        for problem in problems:
            if problem is not last:
                self.num_problems += 1
                if len(self.problems) < _MOST_KEPT:
                    self.problems.append(problem)
            last = problem


@dataclass(frozen=True)
class _Table(Generic[T]):
    """The sound lines of a table, and the keys of the others."""

    entries: dict[str, T] = field(default_factory=dict)
    at_fault: set[str] = field(default_factory=set)
    lost: bool = False

    def spoils(self, key: str | None) -> bool:
        """Whether a reported fault explains that the table lacks this key."""
        return self.lost or key in self.at_fault


def find_problems(
    path: Path,
    model: Model = NO_MODEL,
    *,
    progress: Track = lambda vectors, _: vectors,
) -> Report:
    """Read an x-vector folder and report all its problems.

    Vectors are read once, front to back, and are not kept; `progress` takes them and
    their number, and passes them on. They must have the dimension of the model. What
    does not keep a recording from being diarized is logged as a warning.
    """
    report = Report()
    try:
        require_folder(path)
    except FormatError as error:
        report.add([error])
        return report
    entries = _read(read_scp, path / SCP, report)
    segments = _read(read_segments, path / SEGMENTS, report)
    utterances = _read(read_listing, path / SPK2UTT, report)
    speaker_of = _read(read_utt2spk, path / UTT2SPK, report)
    folder = XvectorDir(path, utterances.entries, segments.entries, entries.entries)
    speakers = find_speakers(folder, speaker_of.entries)
    if speakers is not None:
        report.add([speakers])
    elif not utterances.lost:
        report.add(_compare(folder, utterances, speaker_of))
        report.add(_find_gaps(folder, utterances, segments, entries))
        warn_of_unused(folder)
    warn_of_unit(folder)
    empty = [key for key, (_, start, end) in folder.segments.items() if start == end]
    warn_of(path / SEGMENTS, f"{counted(len(empty), 'segment')} without length", empty)
    if speakers is None and (path / RECO2NUM_SPK).exists():
        counts = _read(read_reco2num_spk, path / RECO2NUM_SPK, report)
        report.add(_check_counts(folder, counts))
    dims: Counter[int] = Counter()
    examples: dict[tuple[int, str | None], str] = {}
    report.add(_check_vectors(folder, dims, examples, progress))
    report.recordings = len(folder.utterances)
    report.xvectors = dims.total()
    report.dim = max(dims, key=dims.__getitem__, default=0)
    report.add(_compare_dimensions(folder, report.dim, examples, model))
    report.seconds = sum(
        _covered(folder, group) for group in utterances.entries.values()
    )
    return report


def _read(
    read: Callable[[Path, OnFault], dict[str, T]], path: Path, report: Report
) -> _Table[T]:
    """Read the sound lines of a table; the faults of the others go to the report."""
    at_fault = set()

    def note(key: str, error: FormatError) -> None:
        report.add([error])
        at_fault.add(key)

    try:
        return _Table(read(path, note), at_fault)
    except FormatError as error:
        report.add([error])
        return _Table(lost=True)


# ---- tables ------------------------------------------------------------------------


def _compare(
    folder: XvectorDir, utterances: _Table[list[str]], speaker_of: _Table[str]
) -> Iterator[FormatError]:
    """Yield disagreements between sound lines of both tables."""

    def sound(table: dict[str, str]) -> dict[str, str]:
        return {
            utterance: recording
            for utterance, recording in table.items()
            if not speaker_of.spoils(utterance) and not utterances.spoils(recording)
        }

    return find_disagreements(
        folder.path, sound(folder.recording_of), sound(speaker_of.entries)
    )


def _find_gaps(
    folder: XvectorDir,
    utterances: _Table[list[str]],
    segments: _Table[Segment],
    entries: _Table[ScpEntry],
) -> Iterator[FormatError]:
    """Yield missing or repeated entries of recordings, and unlisted segments."""
    for recording in folder.unlisted:
        if not utterances.spoils(recording):
            yield from find_unlisted(folder, recording)
    spoils = {
        SPK2UTT: utterances.spoils,
        SEGMENTS: segments.spoils,
        SCP: entries.spoils,
    }
    for recording in folder.utterances:
        for utterance, fault in find_faults(folder, recording):
            if not spoils[fault.path.name](utterance):
                yield fault


def _check_counts(folder: XvectorDir, counts: _Table[int]) -> Iterator[FormatError]:
    """Yield recordings without a number of speakers; warn of excessive numbers."""
    path = folder.path / RECO2NUM_SPK
    for recording, group in folder.utterances.items():
        wanted = counts.entries.get(recording, 0)
        if wanted > len(group) > 0:
            _logger.warning(
                f"{path}: recording {recording!r}: {counted(wanted, 'speaker')}, "
                f"but only {counted(len(group), 'window')}"
            )
        if wanted == 0 and not counts.spoils(recording):
            yield FormatError(
                f"does not list this recording; add '{recording} COUNT'",
                path=path,
                key=recording,
            )


def _covered(folder: XvectorDir, utterances: Iterable[str]) -> float:
    """Return how many seconds of a recording lie in at least one window."""
    listed = [utterance for utterance in utterances if utterance in folder.segments]
    return measure_speech(times_of(folder.segments, listed))


# ---- vectors -----------------------------------------------------------------------


def _check_vectors(
    folder: XvectorDir,
    dims: Counter[int],
    examples: dict[tuple[int, str | None], str],
    progress: Track,
) -> Iterator[FormatError]:
    """Yield vectors that cannot be read or used; count the dimensions of the others.

    An utterance of each dimension and recording is kept as an example.
    """
    # Without spk2utt all vectors are read, since it is unknown which are used.
    recording_of: Mapping[str, str | None] = folder.recording_of
    if not recording_of:
        recording_of = dict.fromkeys(folder.entries)
    wanted = [entry for key, entry in folder.entries.items() if key in recording_of]
    unreadable: list[tuple[ScpEntry, FormatError]] = []
    for key, vector in progress(read_entries(wanted, "vector"), len(wanted)):
        entry = folder.entries[key]
        if unreadable and (
            not isinstance(vector, FormatError)
            or entry.archive != unreadable[0][0].archive
        ):
            yield _join(unreadable, recording_of)
            unreadable = []
        if isinstance(vector, FormatError):
            unreadable.append((entry, vector))
            continue
        if len(vector) == 0:
            yield unusable_xvector(folder.entries[key], "is empty")
            continue
        dims[len(vector)] += 1
        examples.setdefault((len(vector), recording_of[key]), key)
        for _, fault in find_unusable(as_double(vector[None])):
            yield unusable_xvector(folder.entries[key], fault)
            break
    if unreadable:
        yield _join(unreadable, recording_of)


def _join(
    faults: list[tuple[ScpEntry, FormatError]],
    recording_of: Mapping[str, str | None],
) -> FormatError:
    """Return one problem for x-vectors in a row that cannot be read; warn of how many.

    Where an archive is cut off, or belongs to another scp, there are thousands.
    """
    (start, first), (end, last) = faults[0], faults[-1]
    # An archive that is missing has one error.
    if last is not first:
        recordings = {recording_of[entry.key] for entry, _ in faults}
        _logger.warning(
            f"{start.archive}: {len(faults)} x-vectors of "
            f"{counted(len(recordings), 'recording')} cannot be read, from "
            f"{start.key!r} to {end.key!r}; the error is that of the first"
        )
    return first


def _compare_dimensions(
    folder: XvectorDir,
    usual: int,
    examples: dict[tuple[int, str | None], str],
    model: Model,
) -> Iterator[FormatError]:
    """Yield a problem for each recording, and the model, of another dimension."""
    one = next((key for (dim, _), key in examples.items() if dim == usual), "")
    for (dim, _), utterance in examples.items():
        if dim != usual:
            yield differing_dimension(folder.entries[utterance], dim, one, usual)
    if examples and model.mean is not None and len(model.mean) != usual:
        yield FormatError(
            f"x-vectors have {usual} dimensions, the model has {len(model.mean)}; "
            "give the model that belongs to them",
            path=folder.path / SCP,
        )
