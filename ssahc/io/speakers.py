"""Files of the speakers of a run: their mean x-vectors and what they are worth.

``speakers.ark`` and ``speakers.scp`` have the mean x-vector of each speaker, and
``speakers_plda.ark`` and ``speakers_plda.scp`` the mean in the latent space of the
model's PLDA. The key of a speaker is ``recording-speaker``, with the name it has in the
RTTM. ``spk2utt`` lists the windows of each speaker, and ``num_windows`` how many
independent ones they are worth. ``speaker_space.json`` says which model and extractor
the means are of: those of other ones cannot be compared.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ssahc.core.errors import FormatError
from ssahc.core.types import (
    LARGEST,
    BriefRepr,
    Centroid,
    FloatArray,
    Model,
)
from ssahc.io.ark import ArchiveWriter, read_entries
from ssahc.io.files import atomic_write, open_regular, unreadable
from ssahc.io.objects import as_double
from ssahc.io.scp import read_scp
from ssahc.io.text import read_num_windows

_XVECTORS = ("speakers.ark", "speakers.scp")
_LATENT = ("speakers_plda.ark", "speakers_plda.scp")
_SPK2UTT, _NUM_WINDOWS, SPACE = "spk2utt", "num_windows", "speaker_space.json"
# What is compared, and all that is written.
LATENT_FILES = (*_LATENT, _NUM_WINDOWS, SPACE)
SPEAKER_FILES = (*_XVECTORS, _SPK2UTT, *LATENT_FILES)
# Bytes; a space of a thousand dimensions takes 20,000.
_LARGEST_SPACE = 1 << 22
_DIGEST = 64


@dataclass(frozen=True, eq=False, repr=False)
class SpeakerSpace(BriefRepr):
    """The space in which means of speakers are compared.

    Parameters
    ----------
    model : str
        SHA-256 of the model, in hexadecimal (`identify_model`).
    psi : (d,) array
        Variance between speakers along each dimension; that within them is 1.
    extractor : str, optional
        Name of the extractor, where it is known.
    """

    model: str
    psi: FloatArray
    extractor: str | None = None


def identify_model(model: Model) -> str:
    """Return the SHA-256 of the parts of a model that make its latent space.

    Values are taken as float32, since models are stored so.
    """
    parts = [model.mean, model.transform]
    if model.plda is not None:
        parts += [model.plda.mean, model.plda.transform, model.plda.psi]
    digest = sha256()
    for part in parts:
        shape = None if part is None else part.shape
        digest.update(repr(shape).encode())
        if part is not None:
            digest.update(part.astype("<f4").tobytes())
    return digest.hexdigest()


def speaker_key(recording: str, speaker: str) -> str:
    """Return the key of a speaker in archives and tables.

    In the name, a hyphen is written "%2D", so that no two speakers have one key.
    """
    name = speaker.replace("%", "%25").replace("-", "%2D")
    return f"{recording}-{name}"


# ---- writing -----------------------------------------------------------------------


def write_speakers(
    folder: Path,
    speakers: Iterable[tuple[str, Centroid, Sequence[str]]],
    space: SpeakerSpace | None,
) -> None:
    """Write the speakers of a run: recording, centroid, and utterances of each.

    Without a space, what is in it is left out.
    """
    with (
        ArchiveWriter(*(folder / name for name in _XVECTORS)) as archive,
        atomic_write(folder / _SPK2UTT) as spk2utt,
    ):

        def rows() -> Iterable[tuple[str, FloatArray | None, float]]:
            for recording, centroid, utterances in speakers:
                key = speaker_key(recording, centroid.speaker)
                archive.write(key, centroid.xvector.astype(np.float32))
                spk2utt.write(f"{key} {' '.join(utterances)}\n")
                yield key, centroid.latent, centroid.num_windows

        write_latent(folder, rows(), space)


def write_latent(
    folder: Path,
    rows: Iterable[tuple[str, FloatArray | None, float]],
    space: SpeakerSpace | None,
) -> None:
    """Write key, mean in the latent space, and number of windows of speakers."""
    with atomic_write(folder / _NUM_WINDOWS) as table:
        if space is None:
            for key, _, num_windows in rows:
                table.write(f"{key} {num_windows:.3f}\n")
            return
        with ArchiveWriter(*(folder / name for name in _LATENT)) as archive:
            for key, latent, num_windows in rows:
                if latent is None:
                    raise AssertionError("in a space, all speakers have means")
                archive.write(key, latent.astype(np.float32))
                table.write(f"{key} {num_windows:.3f}\n")
    document = {
        "model": space.model,
        "extractor": space.extractor,
        "psi": space.psi.tolist(),
    }
    with atomic_write(folder / SPACE) as file:
        json.dump(document, file)
        file.write("\n")


# ---- reading -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredSpeakers:
    """Speakers of a folder, as far as they can be read.

    `rows` maps keys to rows of `latent` (M, d) and `num_windows` (M,); `faults` maps
    keys to what is wrong with them.
    """

    space: SpeakerSpace
    rows: Mapping[str, int]
    latent: FloatArray
    num_windows: FloatArray
    faults: Mapping[str, str]


def read_speakers(folder: Path) -> StoredSpeakers:
    """Read the speakers of a folder, in the latent space.

    Raises a FormatError if the folder has none, or a table cannot be used at all.
    """
    if not folder.is_dir():
        raise FormatError("no such folder; expected one of ssahc diarize", path=folder)
    if not (folder / SPACE).exists():
        raise FormatError(_why_none(folder), path=folder)
    space = read_space(folder / SPACE)
    counts = read_num_windows(folder / _NUM_WINDOWS)
    entries = read_scp(folder / _LATENT[1])
    faults = {
        key: f"{folder / _LATENT[1]}: has no mean of {key!r}; diarize again"
        for key in counts.keys() - entries.keys()
    }
    vectors: dict[str, Any] = {}
    known = [entry for key, entry in entries.items() if key in counts]
    for key, vector in read_entries(known, "vector"):
        fault = _find_fault(key, vector, folder / _LATENT[0], len(space.psi))
        if fault is None:
            vectors[key] = vector
        else:
            faults[key] = fault
    keys = [key for key in counts if key in vectors]
    return StoredSpeakers(
        space,
        {key: row for row, key in enumerate(keys)},
        as_double([vectors[key] for key in keys]).reshape(-1, len(space.psi)),
        np.array([counts[key] for key in keys]),
        faults,
    )


def _why_none(folder: Path) -> str:
    if (folder / _NUM_WINDOWS).exists():
        return (
            "has no means of speakers in the space of a model, since the run had none; "
            "diarize with --model-dir"
        )
    return "holds no speakers; run ssahc diarize with --write-speakers"


def _find_fault(key: str, vector: Any, archive: Path, dim: int) -> str | None:
    if isinstance(vector, FormatError):
        return str(vector)
    if len(vector) != dim:
        problem = f"has {len(vector)} dimensions, {SPACE} has {dim}"
    elif not (np.abs(vector) < LARGEST).all():
        problem = f"holds NaN, infinity or a value beyond {LARGEST:g}"
    else:
        return None
    return str(FormatError(f"{problem}; diarize again", path=archive, key=key))


def read_space(path: Path) -> SpeakerSpace:
    """Read ``speaker_space.json``; raise a FormatError if it is not one."""
    try:
        with open_regular(path) as file:
            data = file.read(_LARGEST_SPACE)
        document = json.loads(data)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is not JSON ({error}); diarize again", path=path) from error
    space = _parse_space(document)
    if space is None:
        raise FormatError(
            'expected {"model": SHA-256, "extractor": name or null, "psi": numbers of '
            "0 or more}; diarize again",
            path=path,
        )
    return space


def _parse_space(document: Any) -> SpeakerSpace | None:
    if not isinstance(document, dict):
        return None
    model, extractor, psi = (document.get(n) for n in ("model", "extractor", "psi"))
    if not isinstance(model, str) or len(model) != _DIGEST:
        return None
    if extractor is not None and not isinstance(extractor, str):
        return None
    if not isinstance(psi, list) or not psi:
        return None
    if not all(type(value) in (int, float) and 0 <= value < LARGEST for value in psi):
        return None
    return SpeakerSpace(model, np.array(psi, np.float64), extractor)
