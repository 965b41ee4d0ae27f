"""Folders of training x-vectors: ``xvector.scp`` and, if labelled, ``utt2spk``.

Here ``utt2spk`` names speakers, not recordings, and utterances have no times.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from ssahc.core.errors import FormatError, counted
from ssahc.core.types import FloatArray, LabelledXvectors, find_unusable
from ssahc.io.ark import Array, read_entries
from ssahc.io.files import warn_of
from ssahc.io.folders import make_folder
from ssahc.io.objects import as_double
from ssahc.io.scp import ScpEntry, read_scp
from ssahc.io.text import read_segments, read_utt2spk
from ssahc.io.xvector_writer import write_vectors
from ssahc.io.xvectors import (
    SCP,
    SEGMENTS,
    UTT2SPK,
    differing_dimension,
    unusable_xvector,
)


@dataclass(frozen=True, eq=False)
class Xvectors:
    """The (N, D) x-vectors of N utterances, and a fault for each that is left out."""

    utterances: tuple[str, ...]
    xvectors: FloatArray
    faults: list[FormatError]


def read_xvectors(folder: Path) -> Xvectors:
    """Read the x-vectors of a folder, of which only ``xvector.scp`` is needed."""
    return _read(folder, _read_entries(folder))


def read_labelled(
    folder: Path, *, utt2spk: Path | None = None, may_name_recordings: bool = False
) -> tuple[LabelledXvectors, list[FormatError]]:
    """Read the x-vectors of a folder and their speakers.

    As in Kaldi, utterances without an x-vector and x-vectors without a speaker are left
    out, with a warning. X-vectors that cannot be used are left out, too: their faults
    are returned. `utt2spk` is used instead of the folder's. Raises a FormatError if no
    x-vector can be used, or ``utt2spk`` names recordings instead of speakers, unless
    recordings may be of one speaker each and have the same name.
    """
    entries = _read_entries(folder)
    path = folder / UTT2SPK if utt2spk is None else utt2spk
    speaker_of = read_utt2spk(path)
    if not may_name_recordings:
        refuse_recordings(folder, path, speaker_of)
    rest = [key for key in speaker_of if key not in entries]
    what = f"left out {counted(len(rest), 'utterance')} without an x-vector"
    warn_of(path, what, rest)
    rest = [key for key in entries if key not in speaker_of]
    what = f"left out {counted(len(rest), 'utterance')} not in {path.name}"
    warn_of(folder / SCP, what, rest)
    found = _read(folder, {key: entries[key] for key in entries if key in speaker_of})
    speakers = tuple(speaker_of[utterance] for utterance in found.utterances)
    return LabelledXvectors(found.utterances, speakers, found.xvectors), found.faults


def _read_entries(folder: Path) -> dict[str, ScpEntry]:
    if not folder.is_dir():
        raise FormatError(f"no such folder; it should hold {SCP}", path=folder)
    return read_scp(folder / SCP)


def refuse_recordings(folder: Path, utt2spk: Path, speaker_of: dict[str, str]) -> None:
    """Raise a FormatError if every "speaker" is the recording of its segment."""
    if not (folder / SEGMENTS).exists():
        return
    segments = read_segments(folder / SEGMENTS)
    if all(
        utterance in segments and segments[utterance].recording == speaker
        for utterance, speaker in speaker_of.items()
    ):
        raise FormatError(
            "names the recording of every segment as its speaker, as in a folder to be "
            "diarized; ssahc fit --unsupervised learns without knowing who speaks. If "
            f"each recording is of one speaker, move {SEGMENTS} out of the folder",
            path=utt2spk,
        )


def _read(folder: Path, entries: dict[str, ScpEntry]) -> Xvectors:
    faults: list[FormatError] = []
    vectors: dict[str, Array] = {}
    for key, vector in read_entries(entries.values(), "vector"):
        if isinstance(vector, FormatError):
            faults.append(vector)
        elif len(vector) == 0:
            faults.append(unusable_xvector(entries[key], "is empty"))
        else:
            vectors[key] = vector
    # The majority decides on the dimension, not the first.
    counts = Counter(len(vector) for vector in vectors.values())
    usual = max(counts, key=counts.__getitem__, default=0)
    one = next((key for key, vector in vectors.items() if len(vector) == usual), "")
    for key in [key for key, vector in vectors.items() if len(vector) != usual]:
        dim = len(vectors.pop(key))
        faults.append(differing_dimension(entries[key], dim, one, usual))
    keys = list(vectors)
    matrix = as_double(list(vectors.values())).reshape(len(keys), usual)
    usable = np.ones(len(keys), bool)
    for rows, fault in find_unusable(matrix):
        # A vector of NaN alone is found twice.
        for row in rows[usable[rows]].tolist():
            faults.append(unusable_xvector(entries[keys[row]], fault))
        usable[rows] = False
    if not usable.any():
        empty = FormatError("lists no x-vector", path=folder / SCP)
        raise faults[0] if faults else empty
    return Xvectors(tuple(compress(keys, usable)), matrix[usable], faults)


def write_labelled(folder: Path, labelled: LabelledXvectors) -> None:
    """Write x-vectors and their speakers: float32 archive, both tables in order."""
    make_folder(folder)
    write_vectors(
        folder,
        zip(labelled.utterances, labelled.speakers, labelled.xvectors, strict=True),
    )
