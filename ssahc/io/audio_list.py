"""Lists of recordings: a ``wav.scp``, a folder of audio files, or one file."""

import logging
import os
import re
from pathlib import Path
from sys import intern
from typing import NamedTuple

from ssahc.core.errors import FormatError
from ssahc.io.files import (
    BLANKS,
    OnFault,
    is_id,
    raise_fault,
    read_fields,
    read_lines,
    strip_rspecifier,
    unreadable,
    warn_of,
)
from ssahc.io.text import parse_count

# Names of audio files in a folder end in one of these.
AUDIO_SUFFIXES = frozenset(
    """
    .aif .aifc .aiff .au .caf .flac .mp3 .nist .oga .ogg .opus .snd .sph .w64 .wav
    """.split()
)
# What may stand beside them: who speaks when, and where that is known.
_REFERENCES = frozenset({".rttm", ".uem"})
# Entries of a folder that a warning names.
_NAMED = 3
_BLANK = re.compile(f"[{BLANKS}]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_OFFSET = re.compile(r".+:[0-9]+")

_logger = logging.getLogger(__name__)


class AudioRecording(NamedTuple):
    """A recording and its audio file."""

    id: str
    path: Path


def list_audio(path: Path, on_fault: OnFault = raise_fault) -> list[AudioRecording]:
    """Return the recordings of a ``wav.scp`` (or ``scp:FILE``), a folder or a file.

    In a folder, ``wav.scp`` tells them if there is one, else every audio file is a
    recording (`AUDIO_SUFFIXES`), in alphabetical order. Its id is the file's name
    without suffix, white space being replaced by underscores. A warning names other
    files and folders in it.

    Raises
    ------
    FormatError
        If nothing is there; for a line or file that is no recording, it goes to
        `on_fault`.
    """
    prefix, path = strip_rspecifier(path)
    # os.path's, since Path's raise on names too long for the system.
    if os.path.isdir(path):
        if not os.path.exists(path / "wav.scp"):
            return _list_folder(path, on_fault)
        path = path / "wav.scp"
    if prefix == "scp" or path.suffix == ".scp":
        return read_wav_scp(path, on_fault)
    if not os.path.exists(path):
        raise FormatError("no such file or folder; check the path", path=path)
    return [AudioRecording(_to_id(path), path)]


def _list_folder(folder: Path, on_fault: OnFault) -> list[AudioRecording]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise unreadable(folder, error) from error
    # Names that start with a dot are what other systems leave beside files.
    visible = [folder / name for name in names if not name.startswith(".")]
    paths = [path for path in visible if path.suffix.lower() in AUDIO_SUFFIXES]
    others = [
        path.name
        for path in visible
        if path.suffix.lower() not in AUDIO_SUFFIXES | _REFERENCES
    ]
    if not paths:
        raise FormatError(
            "holds neither wav.scp nor audio files "
            f"({', '.join(sorted(AUDIO_SUFFIXES))})",
            path=folder,
        )
    _warn_of_others(folder, others)
    found: dict[str, Path] = {}
    for path in paths:
        try:
            key = _to_id(path)
            if key in found:
                raise FormatError(
                    f"has the id {key!r} of {found[key].name}; rename one of the two",
                    path=path,
                )
            found[key] = path
        except FormatError as error:
            on_fault(path.stem, error)
    return [AudioRecording(*item) for item in found.items()]


def _warn_of_others(folder: Path, names: list[str]) -> None:
    """Log a warning of what is not read in a folder, if there is anything."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        _logger.warning(
            "%s: not read, since the names are not those of audio files: %s%s; convert "
            "what is audio, or list files of sub-folders in a wav.scp",
            folder,
            ", ".join(names[:_NAMED]),
            more,
        )


def _to_id(path: Path) -> str:
    key = "_".join(path.stem.split())
    if not is_id(key):
        raise FormatError("its name is not UTF-8 text; rename it", path=path)
    return key


def read_wav_scp(path: Path, on_fault: OnFault = raise_fault) -> list[AudioRecording]:
    """Read ``wav.scp``: recording, then its audio file.

    A relative path starts at the working directory, as in Kaldi, or else at the scp's
    own folder. If there is no such file, as on another machine, one of its name beside
    the scp is taken, with a warning. Pipes, URLs and archives are refused.
    """
    found: dict[str, AudioRecording] = {}
    lines: dict[str, int] = {}
    moved: list[str] = []
    number = 0
    for number, line in read_lines(path):
        name, *rest = _BLANK.split(line.strip(BLANKS), maxsplit=1)
        key = intern(name)
        try:
            if not rest:
                raise ValueError(f"expected 'recording path', found {line[:80]!r}")
            if key in lines:
                raise ValueError(f"already in line {lines[key]}; keep one of the two")
            lines[key] = number
            audio, is_moved = _find(rest[0], path.parent, key)
            if is_moved:
                moved.append(rest[0])
            found[key] = AudioRecording(key, audio)
        except ValueError as error:
            on_fault(key, FormatError(str(error), path=path, line=number, key=key))
    if number == 0:
        raise FormatError("holds no recordings; is this a wav.scp?", path=path)
    what = "audio files are not where it says but beside it, and are read there"
    warn_of(path, what, moved)
    return list(found.values())


def _find(name: str, folder: Path, key: str) -> tuple[Path, bool]:
    """Return where a file of ``wav.scp`` is, and whether it is not where that says."""
    if "|" in name:
        command = name.replace("|", " ").strip()
        raise ValueError(
            f"{name[:80]!r} is a pipe, which would run a shell; run '{command[:80]} "
            f">{key}.wav' once (WAV, FLAC, OGG, MP3 and SPHERE files need no program) "
            "and give the file's path here"
        )
    if _URL.match(name):
        raise ValueError(f"{name[:80]!r} is a URL; download the file first")
    places = (Path(name), folder / name)
    beside = folder / os.path.basename(name)
    for place in (*places, beside):
        if os.path.exists(place):
            return place, place not in places
    if name == "-" or _OFFSET.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not a file of its own; store the audio in files "
            "(wav-copy reads archives)"
        )
    raise ValueError(
        f"no audio file {name[:200]!r} in the working directory or beside the scp; put "
        "it there, or correct the path"
    )


def read_channels(path: Path) -> dict[str, int]:
    """Read channels of recordings, from 1: ``reco2file_and_channel``.

    Lines are ``recording file channel`` or ``recording channel``, where the channel is
    a number from 1, or A, B, ...
    """
    channels: dict[str, int] = {}
    for number, line, (key, *values) in read_fields(path):
        text = values[-1] if 1 <= len(values) <= 2 else ""
        letter = "ABCDEFGH".find(text.upper()) + 1 if len(text) == 1 else 0
        channel = letter or parse_count(text)
        if not channel or key in channels:
            raise FormatError(
                "expected 'recording file channel', once for a recording and with a "
                f"channel such as 1 or A, found {line.strip()[:80]!r}",
                path=path,
                line=number,
            )
        channels[key] = channel
    return channels
