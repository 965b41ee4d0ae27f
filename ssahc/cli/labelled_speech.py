"""Folders of speech of which it is known whose it is: Kaldi's, or one of voices."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssahc.cli.audio_inputs import tell_resampling
from ssahc.cli.runner import meter, warn_of
from ssahc.cli.simulate_audio import list_voices
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.types import Fault, Float32Array
from ssahc.frontend.recordings import Audio, inspect_recording, read_samples
from ssahc.frontend.windows import OVERSHOOT
from ssahc.io.ark import read_entries
from ssahc.io.audio_list import AudioRecording, read_channels, read_wav_scp
from ssahc.io.labelled import refuse_recordings
from ssahc.io.scp import find_archives, read_scp
from ssahc.io.text import Segment, read_segments, read_utt2spk
from ssahc.io.xvectors import SEGMENTS, UTT2SPK
from ssahc.learning.extractor.speech import LabelledSpeech
from ssahc.runtime.memory import memory_free

_AUDIO, _FEATURES, _CHANNELS = "wav.scp", "feats.scp", "reco2file_and_channel"
_LARGEST = 32767
_BYTES = 2

Samples = NDArray[np.generic]
# Makes of the samples of an utterance what is kept of it.
Trim = Callable[[Float32Array], Float32Array]


class _Planned(NamedTuple):
    """A recording to read, and its utterances: name, speaker, and perhaps times."""

    audio: Audio
    utterances: list[tuple[str, str, Segment | None]]


def speech_files(folders: Iterable[Path]) -> list[Path]:
    """Return the files that `read_speech` may read."""
    files: list[Path] = []
    for folder in folders:
        _check_folder(folder)
        names = (_AUDIO, _FEATURES, _CHANNELS, SEGMENTS, UTT2SPK)
        tables = [folder / name for name in names if (folder / name).exists()]
        files += tables
        if folder / _FEATURES in tables:
            files += sorted(find_archives(folder / _FEATURES))
        if folder / _AUDIO in tables:
            listed = read_wav_scp(folder / _AUDIO, lambda key, error: None)
            files += [recording.path for recording in listed]
        if not tables:
            for found in list_voices(folder).values():
                files += found
    return files


def list_speakers(folders: Sequence[Path]) -> list[str]:
    """Return the speaker of every utterance that is listed in folders."""
    speakers: list[str] = []
    for folder in folders:
        _check_folder(folder)
        if _is_kaldi(folder):
            speakers += read_utt2spk(folder / UTT2SPK).values()
            continue
        voices = list_voices(folder)
        if not voices:
            raise _holds_nothing(folder)
        for speaker, paths in voices.items():
            speakers += [speaker] * len(paths)
    return speakers


def read_speech(
    folders: Sequence[Path],
    rate: int,
    *,
    dim: int | None = None,
    trim: Trim = lambda samples: samples,
    is_wanted: Callable[[str], bool] = lambda speaker: True,
) -> tuple[LabelledSpeech, list[Fault]]:
    """Read speech at a rate in Hz into memory, with its speakers.

    A folder is a data folder of Kaldi (wav.scp or feats.scp, utt2spk, perhaps segments)
    or has a folder of audio files for each speaker. What is wrong with one recording or
    utterance becomes its fault.

    Parameters
    ----------
    folders : sequence of Path
    rate : int
    dim : int, optional
        Dimension of features to read from feats.scp instead of audio.
    trim : callable
        Applied to the samples of every utterance; those left empty are not kept.
    is_wanted : callable
        Whether a speaker is read.
    """
    faults: list[Fault] = []
    if dim is not None:
        return _read_features(folders, dim, is_wanted, faults), faults
    planned: list[_Planned] = []
    for folder in folders:
        for audio, utterances in _plan(folder, faults):
            wanted = [found for found in utterances if is_wanted(found[1])]
            if wanted:
                planned.append(_Planned(audio, wanted))
    tell_resampling([audio for audio, _ in planned], rate)
    hours = sum((audio.seconds or 0) / 3600 for audio, _ in planned)
    _check_memory(hours, rate)
    names, speakers, signals = [], [], []
    with meter(hours, "reading", in_hours=True) as advance:
        for audio, utterances in planned:
            try:
                samples = np.concatenate([*read_samples(audio, rate)])
            except FormatError as error:
                faults.append(Fault(audio.id, str(error)))
                continue
            for name, speaker, segment in utterances:
                try:
                    kept = trim(_cut(name, samples, rate, segment))
                except DataError as error:
                    faults.append(Fault(name, str(error)))
                    continue
                if len(kept):
                    names.append(name)
                    speakers.append(speaker)
                    signals.append(_as_int16(kept))
            advance(len(samples) / rate / 3600)
    return LabelledSpeech(names, speakers, signals), faults


def _check_memory(hours: float, rate: int) -> None:
    """Raise a UsageError if so much audio is more than there is memory for."""
    per_hour, free = _BYTES * 3600 * rate, memory_free()
    if hours * per_hour > free:
        raise UsageError(
            f"{hours:.0f} h of audio take {hours * per_hour / 1e9:.1f} GB of memory "
            f"({per_hour / 1e6:.0f} MB an hour), and {free / 1e9:.1f} GB are free; "
            "give fewer folders"
        )


def _as_int16(samples: Float32Array) -> NDArray[np.int16]:
    return np.clip(np.rint(samples), -_LARGEST, _LARGEST).astype(np.int16)


def _cut(
    name: str, samples: Float32Array, rate: int, segment: Segment | None
) -> Float32Array:
    if segment is None:
        return samples
    seconds = len(samples) / rate
    if segment.end > seconds + OVERSHOOT or segment.start >= seconds:
        raise DataError(
            f"utterance {name!r} is {segment.start:g}-{segment.end:g} s of recording "
            f"{segment.recording!r}, which ends at {seconds:.2f} s"
        )
    return samples[round(segment.start * rate) : round(segment.end * rate)]


# ---- tables ------------------------------------------------------------------------


def _plan(folder: Path, faults: list[Fault]) -> list[_Planned]:
    """Return the recordings of a folder and their utterances."""
    _check_folder(folder)
    if _is_kaldi(folder) and not (folder / _AUDIO).exists():
        raise UsageError(
            f"{folder}: has features and no {_AUDIO}; train on them with --features"
        )
    listed = _plan_kaldi if _is_kaldi(folder) else _plan_voices
    planned = list(listed(folder, faults))
    if not planned and not faults:
        raise _holds_nothing(folder)
    return planned


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{folder}: {what}; give a folder of speech")


def _holds_nothing(folder: Path) -> DataError:
    return DataError(
        f"{folder}: holds neither {_AUDIO} nor folders of audio, one of each speaker"
    )


def _is_kaldi(folder: Path) -> bool:
    return any((folder / name).exists() for name in (_AUDIO, _FEATURES))


def _plan_voices(folder: Path, faults: list[Fault]) -> Iterator[_Planned]:
    for speaker, paths in list_voices(folder).items():
        for path in paths:
            name = str(path.relative_to(folder))
            try:
                audio = inspect_recording(AudioRecording(name, path))
            except FormatError as error:
                faults.append(Fault(name, str(error)))
                continue
            yield _Planned(audio, [(name, speaker, None)])


def _plan_kaldi(folder: Path, faults: list[Fault]) -> Iterator[_Planned]:
    speaker_of = _read_speakers(folder)
    segments = None
    if (folder / SEGMENTS).exists():
        segments = read_segments(folder / SEGMENTS)
    channels = {}
    if (folder / _CHANNELS).exists():
        channels = read_channels(folder / _CHANNELS)
    utterances_of = _group(folder, speaker_of, segments)

    def add_fault(recording: str, error: FormatError) -> None:
        faults.append(Fault(recording, str(error)))

    recordings = read_wav_scp(folder / _AUDIO, add_fault)
    lacking = utterances_of.keys() - {recording.id for recording in recordings}
    lacking -= {fault.recording for fault in faults}
    warn_of(f"{folder / _AUDIO}: left out, since they are not listed", lacking)
    for recording in recordings:
        if recording.id not in utterances_of:
            continue
        try:
            audio = inspect_recording(recording, channels.get(recording.id))
        except FormatError as error:
            add_fault(recording.id, error)
            continue
        yield _Planned(audio, utterances_of[recording.id])


def _read_speakers(folder: Path) -> dict[str, str]:
    speaker_of = read_utt2spk(folder / UTT2SPK)
    refuse_recordings(folder, folder / UTT2SPK, speaker_of)
    return speaker_of


def _group(
    folder: Path,
    speaker_of: Mapping[str, str],
    segments: Mapping[str, Segment] | None,
) -> dict[str, list[tuple[str, str, Segment | None]]]:
    """Return the utterances of each recording."""
    if segments is None:
        return {name: [(name, speaker, None)] for name, speaker in speaker_of.items()}
    lacking = segments.keys() - speaker_of.keys()
    warn_of(f"{folder / UTT2SPK}: left out, since they are not listed", lacking)
    found: dict[str, list[tuple[str, str, Segment | None]]] = {}
    for name, segment in segments.items():
        if name in speaker_of:
            group = found.setdefault(segment.recording, [])
            group.append((name, speaker_of[name], segment))
    return found


def _read_features(
    folders: Sequence[Path],
    dim: int,
    is_wanted: Callable[[str], bool],
    faults: list[Fault],
) -> LabelledSpeech:
    """Read the features (T, dim) of feats.scp."""
    names, speakers, signals = [], [], []

    def add_fault(name: str, error: FormatError) -> None:
        faults.append(Fault(name, str(error)))

    for folder in folders:
        speaker_of = _read_speakers(folder)
        path = folder / _FEATURES
        entries = read_scp(path, add_fault, with_rows=True)
        lacking = speaker_of.keys() - entries.keys()
        warn_of(
            f"{path}: left out, since they are not listed",
            lacking - {fault.recording for fault in faults},
        )
        known = [
            entry
            for key, entry in entries.items()
            if key in speaker_of and is_wanted(speaker_of[key])
        ]
        for name, matrix in read_entries(known, "matrix"):
            if isinstance(matrix, FormatError):
                add_fault(name, matrix)
            elif matrix.shape[1] != dim or not np.isfinite(matrix).all():
                found = f"{matrix.shape[1]} dimensions"
                if matrix.shape[1] == dim:
                    found = "NaN or infinity"
                add_fault(
                    name,
                    FormatError(
                        f"the features of {name!r} have {found}, expected numbers of "
                        f"{dim} dimensions (--num-ceps)",
                        path=path,
                    ),
                )
            elif len(matrix):
                names.append(name)
                speakers.append(speaker_of[name])
                signals.append(matrix.astype(np.float32))
    return LabelledSpeech(names, speakers, signals)
