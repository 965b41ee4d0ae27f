"""Raw audio that comes on standard input."""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ssahc.cli.audio_inputs import tell_default, tell_resampling
from ssahc.cli.messages import say, say_error
from ssahc.cli.stream_input import INPUT
from ssahc.cli.stream_recordings import Recordings
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval, changed_fields
from ssahc.frontend.extraction import ExtractionOptions
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.installed import SMALL
from ssahc.frontend.online_extraction import OnlineExtractor, settle_online_detection
from ssahc.frontend.recordings import Audio
from ssahc.frontend.silero import SileroOptions
from ssahc.frontend.vad import RegionOptions
from ssahc.frontend.windows import WindowOptions
from ssahc.io.audio import RATES
from ssahc.pipeline.online_windows import LONGEST_WINDOW
from ssahc.runtime.device import Device

# What files begin with that are taken for raw audio by mistake: regular expressions.
_FILES = {
    rb"RIFF|RF64": "a WAV file",
    rb"NIST_1A": "a SPHERE file",
    rb"fLaC": "a FLAC file",
    rb"OggS": "an Ogg file",
    rb"ID3": "an MP3 file",
    rb"....ftyp": "an MP4 file",
    rb"\x1aE\xdf\xa3": "a WebM file",
    rb"FORM....AIF": "an AIFF file",
    rb"\.snd": "an AU file",
}
_JSON = rb"\s*{\s*\""
# Bytes to tell it from, and that are read at once, at most.
_HEAD, _BLOCK = 16, 1 << 16

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class StreamAudio(Options, group="Audio"):
    """Raw audio on standard input, and how it becomes x-vectors.

    Parameters
    ----------
    extractor : str, optional
        Read audio from standard input, and make x-vectors of it with this model: a name
        (see ssahc models), a Kaldi model folder, or an ONNX file.
    sample_rate : int, optional
        Read audio of so many samples a second, by default as many as the extractor
        takes; without --extractor, with the small one of ssahc.
    vad : str
        How speech is detected: by silero-vad, since other ways need the whole
        recording.
    windows : WindowOptions
    silero : SileroOptions
    regions : RegionOptions
    """

    extractor: str | None = None
    sample_rate: Annotated[int | None, Interval(ge=RATES[0], le=RATES[1])] = None
    vad: str = "silero"
    windows: WindowOptions = field(default_factory=WindowOptions)
    silero: SileroOptions = field(default_factory=SileroOptions)
    regions: RegionOptions = field(default_factory=RegionOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor == "":
            raise UsageError("--extractor is empty; ssahc models lists what there is")
        vad = [] if self.vad == "silero" else ["--vad"]
        for part in (self.windows, self.silero, self.regions):
            for option in () if self.is_expected else [*vad, *changed_fields(part)]:
                raise UsageError(
                    f"{option} is for audio; give --extractor as well, or leave it out"
                )
        settle_online_detection(self.extraction())
        longest = self.windows.window
        if not self.windows.constant_duration:
            longest += self.windows.min_segment
        if longest > LONGEST_WINDOW:
            raise UsageError(
                f"windows of a stream have {LONGEST_WINDOW:g} seconds at most, found "
                f"--window {self.windows.window:g}"
            )

    @property
    def is_expected(self) -> bool:
        """Whether standard input is audio."""
        return self.extractor is not None or self.sample_rate is not None

    def extraction(self) -> ExtractionOptions:
        """Return the options of extraction."""
        return ExtractionOptions(
            windows=self.windows,
            vad=self.vad,
            silero=self.silero,
            regions=self.regions,
        )


def open_extractor(
    options: StreamAudio, device: Device, recording: str
) -> OnlineExtractor:
    """Load the extractor, and say what is expected on standard input."""
    if options.extractor is None:
        tell_default()
    extractor = Extractor.load(options.extractor or SMALL, device=device)
    rate = options.sample_rate or extractor.sample_rate
    online = OnlineExtractor(
        extractor, sample_rate=rate, extraction=options.extraction()
    )
    _logger.info(f"{INPUT} is audio: signed 16-bit samples, one channel, {rate} Hz")
    tell_resampling([Audio(recording, Path(INPUT), rate)], extractor.sample_rate)
    return online


def read_blocks(stream: BinaryIO, rate: int) -> Iterator[bytes]:
    """Yield what comes, as soon as it does.

    Raises a FormatError for a file, and for lines of JSON, and a UsageError for a
    terminal; they say how to get audio of this rate, in Hz.
    """
    if stream.isatty():
        raise UsageError(
            f"{INPUT} is a terminal; pipe audio into it, for example with arecord -t "
            f"raw -f S16_LE -r {rate} -c 1"
        )
    head = stream.read(_HEAD)
    for start, kind in _FILES.items():
        if re.match(start, head, re.DOTALL):
            raise FormatError(
                f"is {kind}, expected raw audio; convert it while it comes with ffmpeg "
                f"-i - -f s16le -ac 1 -ar {rate} -",
                path=INPUT,
            )
    if re.match(_JSON, head):
        raise FormatError(
            "has lines of JSON, expected raw audio; leave out --extractor and "
            "--sample-rate",
            path=INPUT,
        )
    while head:
        yield head
        head = stream.read1(_BLOCK)  # type: ignore[attr-defined]  # of all buffers


def take_audio(
    blocks: Iterable[bytes],
    online: OnlineExtractor,
    recordings: Recordings,
    recording: str,
) -> int:
    """Take audio; return how often windows were lost, which is printed each time."""
    num_faults = 0
    for samples in chain(_samples(blocks), [None]):
        try:
            xvectors, segments = (
                online.finish() if samples is None else online.add(samples)
            )
            if len(segments):
                recordings.add(recording, xvectors, segments)
        except DataError as error:
            num_faults += 1
            say_error(f"{INPUT}, at {online.seconds:.1f} s: {error}")
        recordings.advance(recording, online.seconds)
    return num_faults


def _samples(blocks: Iterable[bytes]) -> Iterator[NDArray[np.int16]]:
    rest = b""
    for block in blocks:
        rest += block
        whole = len(rest) // 2 * 2
        yield np.frombuffer(rest[:whole], "<i2")
        rest = rest[whole:]
    if rest:
        say(f"{INPUT}: the audio ends within a sample; its first byte is ignored")
