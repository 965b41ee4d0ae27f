"""Audio files, read in blocks by soundfile.

Samples come on the scale of 16-bit audio, -32768 to 32767, whatever the file's own
encoding is, since Kaldi's features are defined on it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssahc.core.errors import FormatError, counted
from ssahc.core.types import Float32Array
from ssahc.io.files import open_regular, unreadable

if TYPE_CHECKING:
    from soundfile import SoundFile

# Of what libsndfile reads: it would also take MATLAB's and HTK's files for audio.
_FORMATS = {
    *("AIFF", "AU", "CAF", "FLAC", "MP3", "NIST", "OGG", "RF64", "W64", "WAV", "WAVEX"),
}
_FULL_SCALE = np.float32(32768)
# Of floating point, nothing that was recorded is this many times over full scale.
_LOUDEST = 100.0
# Hz; rates beyond are of damaged headers.
RATES = (1000, 768_000)
# Samples of all channels in a block, and of one.
_LARGEST_BLOCK = 1 << 20
_BLOCK = 1 << 16
# Seconds that may be missing at the end: decoders of lossy formats cut a little.
_TOLERANCE = 0.1
_LONGEST_SECONDS = 1e8
# What libsndfile's log says of a header whose length is not the file's.
_WRONG_LENGTH = re.compile(
    r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
# What it says of an OGG file whose last page is incomplete.
_CUT_OGG = "Ogg: Junk after the last page"
_SPHERE_COUNT = re.compile(rb"^sample_count -i (\d+)$", re.MULTILINE)
_NOTHING = "holds no samples; record, copy or convert it again"


class AudioInfo(NamedTuple):
    """What the header of an audio file says; `num_samples` is None if it does not."""

    sample_rate: int
    num_channels: int
    num_samples: int | None


def inspect_audio(path: Path, *, channel: int | None = None) -> AudioInfo:
    """Return rate, channels and length of an audio file without decoding it.

    Raises
    ------
    FormatError
        If it is missing, empty, truncated, not audio, or has no such channel.
    """
    with _open(path, channel) as file:
        return _info(file)


def audio_blocks(path: Path, *, channel: int | None = None) -> Iterator[Float32Array]:
    """Yield samples (n,) of an audio file, at its own rate.

    Parameters
    ----------
    path : Path
        WAV (PCM, floating point, mu-law, A-law), FLAC, OGG, MP3, SPHERE (but not with
        shorten compression), AIFF, AU, CAF or W64.
    channel : int, optional
        Channel to read, counted from 1. Default: the mean of all.

    Raises
    ------
    FormatError
        As `inspect_audio`; also if it cannot be decoded to its end, or a sample is NaN
        or far over full scale.
    """
    with _open(path, channel) as file:
        expected = _info(file).num_samples
        total = 0
        while len(block := _read(file)):
            _check_samples(block, total, file.samplerate, path)
            total += len(block)
            yield _FULL_SCALE * _mix(block, channel)
        if total == 0:
            raise FormatError(_NOTHING, path=path)
        if expected is not None:
            _refuse_truncated(expected, total, file.samplerate, path)


def read_audio(path: Path, *, channel: int | None = None) -> tuple[Float32Array, int]:
    """Return the samples (N,) and the rate of an audio file; see `audio_blocks`."""
    rate = inspect_audio(path, channel=channel).sample_rate
    return np.concatenate(list(audio_blocks(path, channel=channel))), rate


@contextmanager
def _open(path: Path, channel: int | None) -> "Iterator[SoundFile]":
    """Open a file and check its header."""
    import soundfile

    try:
        # Unbuffered: libsndfile reads on from where the descriptor is.
        with open_regular(path, buffering=0) as raw:
            head = raw.read(1024)
            if not head:
                raise FormatError("is empty; record or copy it again", path=path)
            raw.seek(0)
            # By its descriptor: a name would have soundfile guess formats from it.
            with soundfile.SoundFile(raw.fileno(), closefd=False) as file:
                _check_header(file, head, path, channel)
                yield file
    except OSError as error:
        raise unreadable(path, error) from error
    except soundfile.LibsndfileError as error:
        raise FormatError(_explain(head, error.error_string), path=path) from error


def _explain(head: bytes, reason: str) -> str:
    if head.startswith(b"NIST_1A"):
        return (
            f"this SPHERE file cannot be read ({reason.rstrip('.')}); convert it with "
            "sph2pipe -f wav"
        )
    if "not recognised" in reason or "not a regular file" in reason:
        return (
            "is not audio of a kind that can be read (WAV, FLAC, OGG, MP3, SPHERE); "
            "convert it, for example with ffmpeg -i IN OUT.wav"
        )
    return f"is damaged or truncated ({reason.rstrip('.')}); copy or convert it again"


def _info(file: "SoundFile") -> AudioInfo:
    known = file.frames < _LONGEST_SECONDS * file.samplerate
    return AudioInfo(file.samplerate, file.channels, file.frames if known else None)


def _check_header(
    file: "SoundFile", head: bytes, path: Path, channel: int | None
) -> None:
    if file.format not in _FORMATS:
        raise FormatError(
            f"is a {file.format} file, expected audio (WAV, FLAC, OGG, MP3, SPHERE); "
            "convert it",
            path=path,
        )
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise FormatError(
            f"its header says {file.samplerate} samples a second, which no audio has; "
            "record or convert it again",
            path=path,
        )
    if channel is not None and not 1 <= channel <= file.channels:
        raise FormatError(
            f"has no channel {channel}, only {counted(file.channels, 'channel')}, "
            "counted from 1; choose another",
            path=path,
        )
    if file.frames == 0:
        raise FormatError(_NOTHING, path=path)
    sphere = _SPHERE_COUNT.search(head) if file.format == "NIST" else None
    expected = int(sphere[1]) if sphere else file.frames
    for said, found in _WRONG_LENGTH.findall(file.extra_info):
        # Programs that write to a pipe put the largest number there is in the header.
        if not _is_placeholder(int(said)) and int(found) > 0:
            expected = max(expected, file.frames * int(said) // int(found))
    _refuse_truncated(expected, file.frames, file.samplerate, path)
    if _CUT_OGG in file.extra_info:
        raise FormatError(
            f"truncated: only {file.frames / file.samplerate:.1f} s are there; copy it "
            "again, or convert what is left with ffmpeg -i IN OUT.wav",
            path=path,
        )


def _is_placeholder(size: int) -> bool:
    return 0x7FFFF000 <= size <= 0x80000000 or size >= 0xFFFFF000


def _refuse_truncated(expected: int, found: int, rate: int, path: Path) -> None:
    if expected - found > _TOLERANCE * rate:
        raise FormatError(
            f"truncated: its header says {expected / rate:.1f} s, {found / rate:.1f} s "
            "are there; copy it again",
            path=path,
        )


def _mix(block: Float32Array, channel: int | None) -> Float32Array:
    if channel is None and block.shape[1] > 1:
        return block.mean(axis=1)
    return block[:, (channel or 1) - 1]


def _read(file: "SoundFile") -> Float32Array:
    """Return the next samples (n, channels), on a scale of 1."""
    count = min(_BLOCK, _LARGEST_BLOCK // file.channels)
    block: Float32Array = file.read(count, dtype="float32", always_2d=True)
    return block


def _check_samples(block: Float32Array, first: int, rate: int, path: Path) -> None:
    # NaN is not below anything.
    usable = (np.abs(block) < _LOUDEST).all(axis=1)
    if usable.all():
        return
    row = int(np.argmin(usable))
    at = f"sample {first + row} (at {(first + row) / rate:.3f} s)"
    value = float(np.abs(block[row]).max())
    if np.isfinite(value):
        raise FormatError(
            f"{at} is {value:g}, where full scale is 1: was 16-bit audio written as "
            "floating point? Divide it by 32768",
            path=path,
        )
    raise FormatError(f"{at} is NaN or infinite; record or convert it again", path=path)
