"""Folders of audio of which it is known who speaks: wav.scp, ref.rttm, all.uem."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssahc.cli.audio_inputs import tell_resampling
from ssahc.cli.runner import meter, warn_of
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.types import Fault, FloatArray, Turn
from ssahc.frontend.recordings import Audio, inspect_recording, read_samples
from ssahc.frontend.windows import OVERSHOOT
from ssahc.io.audio_list import AudioRecording, list_audio
from ssahc.io.rttm import Uem, read_rttm, read_uem

if TYPE_CHECKING:
    from ssahc.learning.segmentation.annotated import AnnotatedAudio

_REFERENCE, _UEM, _LIST = "ref.rttm", "all.uem", "wav.scp"
_LARGEST = 32767


class _Planned(NamedTuple):
    """A recording to read, and the spans of its UEM."""

    audio: Audio
    turns: Sequence[Turn]
    spans: FloatArray | None


@dataclass(frozen=True, eq=False)
class AnnotatedFolder:
    """A folder of audio and of who speaks: its recordings, and faults of its lists."""

    path: Path
    recordings: list[AudioRecording]
    faults: list[Fault]

    @property
    def files(self) -> list[Path]:
        """The files that `read_annotated` reads."""
        lists = [self.path / name for name in (_LIST, _REFERENCE, _UEM)]
        return lists + [recording.path for recording in self.recordings]


def list_annotated(folders: Iterable[Path]) -> list[AnnotatedFolder]:
    """List the recordings of folders with audio (see `list_audio`) and ref.rttm."""
    return [_list(folder) for folder in folders]


def _list(folder: Path) -> AnnotatedFolder:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{folder}: {what}; give a folder with audio and {_REFERENCE}")
    faults: list[Fault] = []

    def add_fault(recording: str, error: FormatError) -> None:
        faults.append(Fault(recording, str(error)))

    return AnnotatedFolder(folder, list_audio(folder, add_fault), faults)


def read_annotated(
    folders: Sequence[AnnotatedFolder], rate: int
) -> tuple[list["AnnotatedAudio"], list[Fault]]:
    """Read recordings at a rate in Hz into memory, and who speaks in them.

    If a folder has an all.uem, only its spans are annotated; a recording without turns
    that is listed there is one in which nobody speaks. What is wrong with one recording
    becomes its fault.
    """
    faults: list[Fault] = []
    planned: list[_Planned] = []
    for folder in folders:
        planned += _plan(folder, faults)
    tell_resampling([audio for audio, _, _ in planned], rate)
    # Here, since torch takes seconds to load.
    from ssahc.learning.segmentation.annotated import AnnotatedAudio

    found, longer = [], []
    total = sum((audio.seconds or 0) / 3600 for audio, _, _ in planned)
    with meter(total, "reading", in_hours=True) as advance:
        for audio, turns, spans in planned:
            try:
                samples = _read(audio, rate)
            except FormatError as error:
                faults.append(Fault(audio.id, str(error)))
                continue
            whole = np.array([[0, len(samples) / rate]])
            spans = whole if spans is None else np.minimum(spans, whole[0, 1])
            spans = spans[spans[:, 0] < spans[:, 1]]
            if len(spans) == 0:
                reason = f"{audio.path}: has nothing of what {_UEM} says is annotated"
                faults.append(Fault(audio.id, reason))
                continue
            if any(turn.end > whole[0, 1] + OVERSHOOT for turn in turns):
                longer.append(audio.id)
            found.append(AnnotatedAudio(audio.id, samples, turns, spans))
            advance(len(samples) / rate / 3600)
    warn_of("turns reach beyond the audio", longer, "do they belong together?")
    return found, faults


def _plan(folder: AnnotatedFolder, faults: list[Fault]) -> list[_Planned]:
    """Return the recordings of a folder, their turns, and the spans of its UEM."""
    reference, listed = folder.path / _REFERENCE, folder.path / _UEM
    turns = read_rttm(reference).turns
    uem = read_uem(listed) if listed.exists() else None
    faults += folder.faults
    planned: list[_Planned] = []
    without_audio = set(turns)
    for recording in folder.recordings:
        without_audio.discard(recording.id)
        try:
            spans = _spans_of(recording.id, uem)
            if recording.id not in turns and spans is None:
                raise FormatError(
                    "has no turn of this recording; add them, list it in all.uem if "
                    "nobody speaks, or leave it out",
                    path=reference,
                    key=recording.id,
                )
            audio = inspect_recording(recording)
            planned.append(_Planned(audio, turns.get(recording.id, ()), spans))
        except FormatError as error:
            faults.append(Fault(recording.id, str(error)))
    without_audio -= {fault.recording for fault in faults}
    warn_of(f"{reference}: recordings without audio", without_audio)
    if not planned and not faults:
        raise DataError(f"{folder.path}: holds no recording")
    return planned


def _spans_of(recording: str, uem: Uem | None) -> FloatArray | None:
    """Return the spans (N, 2) of a recording, on all channels; None without a UEM."""
    channels: Mapping[str, list[tuple[float, float]]] = (uem or {}).get(recording, {})
    spans = sorted(span for found in channels.values() for span in found)
    return np.array(spans) if spans else None


def _read(audio: Audio, rate: int) -> NDArray[np.int16]:
    # Block by block, so that floats take no memory.
    blocks = [
        np.clip(np.rint(block), -_LARGEST, _LARGEST).astype(np.int16)
        for block in read_samples(audio, rate)
    ]
    return np.concatenate(blocks)
