"""Enrolled people of ``ssahc diarize --enroll``: their speech, and whose it is."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssahc.cli.runner import CONFIG, warn_of
from ssahc.cli.simulate_audio import list_voices
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.types import FloatArray, Recording
from ssahc.frontend.extraction import (
    ExtractionOptions,
    extract_recording,
    settle_detection,
)
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.recordings import inspect_recording
from ssahc.io.audio_list import AUDIO_SUFFIXES, AudioRecording, read_wav_scp
from ssahc.io.config import read_toml
from ssahc.io.labelled import read_labelled
from ssahc.io.scp import find_archives
from ssahc.io.speech import SpeechRegion
from ssahc.io.text import Segment, read_segments, read_utt2spk
from ssahc.io.xvectors import SCP, SEGMENTS, UTT2SPK
from ssahc.pipeline.identification import check_enrolled

_WAV = "wav.scp"

_logger = logging.getLogger("ssahc")


class EnrolledAudio(NamedTuple):
    """A recording of a person; `speech` is all of it if None."""

    recording: AudioRecording
    speech: Sequence[SpeechRegion] | None = None


@dataclass(frozen=True)
class Enrollment:
    """Speech of people: x-vectors, or else audio of which they are to be made.

    `recordings` maps names to x-vectors, `audio` to what x-vectors are to be made of.
    Results depend on `files`.
    """

    folder: Path
    files: Sequence[Path]
    recordings: Mapping[str, Sequence[Recording]] = field(default_factory=dict)
    audio: Mapping[str, Sequence[EnrolledAudio]] = field(default_factory=dict)


class _Session(NamedTuple):
    """A person in a recording."""

    name: str
    recording: str


def open_enrollment(folder: Path, *, of_audio: bool) -> Enrollment:
    """Read x-vectors, or list audio, of a folder; `of_audio` says of what the run is.

    Raises a FormatError or a UsageError if a run cannot use it.
    """
    if not folder.is_dir():
        raise FormatError(
            "no such folder; --enroll takes one with a folder of audio for each "
            f"person, or with {UTT2SPK} and {SCP} or {_WAV}",
            path=folder,
        )
    if (folder / SCP).exists():
        return _open_xvectors(folder)
    tables: list[Path] = []
    if (folder / _WAV).exists():
        tables = [folder / name for name in (_WAV, UTT2SPK, SEGMENTS)]
        voices = _list_data_folder(*tables)
    else:
        voices = _list_folders(folder)
    if not voices:
        raise FormatError(
            f"holds neither {SCP} nor folders of audio, one for each person",
            path=folder,
        )
    if not of_audio:
        raise UsageError(
            f"--enroll {folder}: is audio, and the run starts from x-vectors; enroll "
            f"x-vectors of the same extractor, with {UTT2SPK}, or start from audio"
        )
    _check_names(folder, voices)
    files = [path for path in tables if path.exists()]
    files += dict.fromkeys(one.recording.path for own in voices.values() for one in own)
    return Enrollment(folder, files, {}, voices)


def _list_folders(folder: Path) -> dict[str, list[EnrolledAudio]]:
    """Return the audio of people who have a folder each."""
    loose = [path for path in sorted(folder.iterdir()) if path.is_file()]
    audio = [path.name for path in loose if path.suffix.lower() in AUDIO_SUFFIXES]
    warn_of(f"{folder}: left out audio that is in no folder of a person", audio)
    voices = {}
    for name, paths in list_voices(folder).items():
        if name.startswith("."):
            # Hidden folders are those of programs.
            continue
        if not paths:
            raise FormatError(
                f"holds no audio of enrolled {name!r}; add some, or convert it to .wav "
                "or .flac, or remove the folder",
                path=folder / name,
            )
        voices[name] = [
            EnrolledAudio(AudioRecording(str(path.relative_to(folder)), path))
            for path in paths
        ]
    return voices


def _list_data_folder(
    wav: Path, utt2spk: Path, segments: Path
) -> dict[str, list[EnrolledAudio]]:
    """Return the audio of people in a data folder of Kaldi.

    Without ``segments``, an utterance is a recording. Utterances without audio are
    left out, with a warning.
    """
    recordings = {one.id: one for one in read_wav_scp(wav)}
    speaker_of = read_utt2spk(utt2spk)
    regions: dict[str, tuple[str, SpeechRegion | None]]
    regions = {name: (name, None) for name in recordings}
    if segments.exists():
        regions = {
            name: (one.recording, SpeechRegion(name, *one[1:]))
            for name, one in read_segments(segments).items()
            if one.recording in recordings
        }
    missing = [utterance for utterance in speaker_of if utterance not in regions]
    warn_of(f"{utt2spk}: left out utterances without audio", missing)
    missing = [utterance for utterance in regions if utterance not in speaker_of]
    warn_of(f"{wav}: left out utterances not in {utt2spk.name}", missing)
    speech: dict[_Session, list[SpeechRegion]] = {}
    for utterance, name in speaker_of.items():
        if utterance in regions:
            recording, region = regions[utterance]
            own = speech.setdefault(_Session(name, recording), [])
            own += [] if region is None else [region]
    if not speech:
        raise FormatError("has no utterance with audio", path=utt2spk)
    voices: dict[str, list[EnrolledAudio]] = {}
    for session, own in speech.items():
        known = sorted(own, key=lambda region: region[1:]) or None
        audio = EnrolledAudio(recordings[session.recording], known)
        voices.setdefault(session.name, []).append(audio)
    return voices


def _check_names(folder: Path, names: Mapping[str, object]) -> None:
    """Raise a FormatError for a name that a speaker without one may have."""
    for name in names:
        if name.isdecimal():
            raise FormatError(
                f"enrolled {name!r} is a number, as speakers without a name have; "
                f"rename it, such as to 'spk{name}'",
                path=folder,
            )


def _open_xvectors(folder: Path) -> Enrollment:
    files = [folder / SCP, folder / UTT2SPK, *find_archives(folder / SCP)]
    if (folder / SEGMENTS).exists():
        files.append(folder / SEGMENTS)
    recordings = read_sessions(folder)
    _check_names(folder, recordings)
    return Enrollment(folder, files, recordings)


def read_sessions(folder: Path) -> dict[str, list[Recording]]:
    """Return the x-vectors of a folder by speaker, and of these by recording."""
    labelled, faults = read_labelled(folder, may_name_recordings=True)
    warn_of(f"{folder}: left out", [str(fault) for fault in faults])
    names = dict.fromkeys(read_utt2spk(folder / UTT2SPK).values())
    for name in names:
        if name not in labelled.speakers:
            raise FormatError(
                f"lists no x-vector of enrolled {name!r} that can be used; extract "
                f"some, or remove {name!r} from {UTT2SPK}",
                path=folder / SCP,
            )
    owners = list(enumerate(labelled.speakers))
    return group_sessions(folder, labelled.utterances, labelled.xvectors, owners)


def group_sessions(
    folder: Path,
    utterances: Sequence[str],
    xvectors: FloatArray,
    owners: Iterable[tuple[int, str]],
) -> dict[str, list[Recording]]:
    """Return x-vectors by speaker, and of these by recording.

    `owners` are rows of utterances (N,) and x-vectors (N, D), and the speaker of each.
    As in Kaldi, an utterance without a segment is a recording.
    """
    segments: dict[str, Segment] = {}
    if (folder / SEGMENTS).exists():
        segments = read_segments(folder / SEGMENTS)
    rows: dict[_Session, list[int]] = {}
    for row, name in owners:
        utterance = utterances[row]
        where = segments.get(utterance, Segment(utterance, 0, 1)).recording
        rows.setdefault(_Session(name, where), []).append(row)
    recordings: dict[str, list[Recording]] = {}
    for session, own in rows.items():
        names = tuple(utterances[row] for row in own)
        times = [segments.get(name, Segment(name, 0, 1))[1:] for name in names]
        recordings.setdefault(session.name, []).append(
            Recording(
                session.recording, names, np.array(times, np.float64), xvectors[own]
            )
        )
    return recordings


def stored_extractor(folder: Path) -> str | None:
    """Return the name of the extractor of a folder of x-vectors, if it is known.

    Of a folder or file it is the last part: elsewhere it may be at another place.
    """
    extractor: object = None
    with suppress(FormatError):
        extractor = read_toml(folder / CONFIG).get("extractor")
    return Path(extractor).name if isinstance(extractor, str) else None


def refuse_other_extractor(folder: Path, source: Path, extractor: str | None) -> None:
    """Raise a UsageError if enrolled x-vectors are not of the extractor of a source.

    Networks may have the same dimension and nothing else in common.
    """
    enrolled = stored_extractor(folder)
    if None not in (enrolled, extractor) and enrolled != extractor:
        raise UsageError(
            f"{folder}: x-vectors are of extractor {enrolled}, those of {source} of "
            f"{extractor}; extract all with one"
        )


def embed_enrollment(
    enrollment: Enrollment, extractor: Extractor, options: ExtractionOptions
) -> Enrollment:
    """Return the enrolment with x-vectors, which all are of the extractor.

    Files without usable speech are named. Raises a DataError if a person has no other,
    or x-vectors are of another extractor.
    """
    recordings = dict(enrollment.recordings)
    options = settle_detection(options, extractor)
    for name, audio in enrollment.audio.items():
        faults: list[str] = []
        found = list(_extract(audio, extractor, options, faults))
        if not found:
            raise DataError(
                f"enrolled {name!r} has no usable speech: {faults[0]}; replace the "
                "audio, or remove this person"
            )
        for fault in faults:
            _logger.warning("left out of the speech of enrolled %r: %s", name, fault)
        recordings[name] = found
    check_enrolled(recordings, extractor.dim, extractor.name)
    return Enrollment(enrollment.folder, enrollment.files, recordings)


def _extract(
    listed: Sequence[EnrolledAudio],
    extractor: Extractor,
    options: ExtractionOptions,
    faults: list[str],
) -> Iterator[Recording]:
    for recording, speech in listed:
        try:
            audio = inspect_recording(recording)._replace(speech=speech)
            yield extract_recording(audio, extractor, options)
        except (DataError, FormatError) as error:
            faults.append(str(error))
