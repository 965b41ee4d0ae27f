"""Recordings: audio files, and their samples."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ssahc.core.types import Float32Array
from ssahc.frontend.resampling import resample_blocks
from ssahc.io.audio import audio_blocks, inspect_audio
from ssahc.io.audio_list import AudioRecording
from ssahc.io.speech import SpeechRegion


class Audio(NamedTuple):
    """A recording to read.

    Its `sample_rate` and `seconds` are those of the header, if that says how long it
    is; `channel` counts from 1, None being the mean of all; `speech` holds the regions
    of speech if they are known.
    """

    id: str
    path: Path
    sample_rate: int
    seconds: float | None = None
    channel: int | None = None
    speech: Sequence[SpeechRegion] | None = None


def inspect_recording(recording: AudioRecording, channel: int | None = None) -> Audio:
    """Return a recording with what the header of its file says; see `inspect_audio`."""
    info = inspect_audio(recording.path, channel=channel)
    count = info.num_samples
    seconds = None if count is None else count / info.sample_rate
    return Audio(recording.id, recording.path, info.sample_rate, seconds, channel)


def read_samples(
    audio: Audio, rate: int, on_read: Callable[[int], None] = lambda count: None
) -> Iterator[Float32Array]:
    """Yield blocks (n,) of the channel of a recording, resampled to a rate in Hz."""
    blocks = audio_blocks(audio.path, channel=audio.channel)
    for block in resample_blocks(blocks, audio.sample_rate, rate):
        yield block
        on_read(len(block))
