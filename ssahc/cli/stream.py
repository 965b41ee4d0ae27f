"""``ssahc stream``."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import click

from ssahc.cli.audio_inputs import check_dims, extractor_files
from ssahc.cli.inputs import CONFLICTS, ModelFiles, find_inputs, load_model
from ssahc.cli.messages import say, say_error
from ssahc.cli.parsing import (
    Verb,
    config_option,
    options_of,
    preset_option,
    resolve,
)
from ssahc.cli.runner import RttmOptions
from ssahc.cli.stream_audio import (
    StreamAudio,
    open_extractor,
    read_blocks,
    take_audio,
)
from ssahc.cli.stream_input import INPUT, UntilSignal, enlarge_pipe
from ssahc.cli.stream_lines import take_lines
from ssahc.cli.stream_recordings import Recordings
from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import Model
from ssahc.core.validation import Interval
from ssahc.frontend.extractors.installed import SMALL
from ssahc.frontend.online_extraction import OnlineExtractor
from ssahc.io.files import check_output
from ssahc.io.rttm import write_rttm
from ssahc.io.window_lines import is_name, read_lines
from ssahc.pipeline.online import DEFAULT_LATENCY, LONGEST_LATENCY
from ssahc.pipeline.options import DiarizeOptions


@dataclass(frozen=True)
class StreamConfig(Options, group="Input and output"):
    """All options of ``ssahc stream``.

    Parameters
    ----------
    latency : float
        Seconds from the moment of speech after which its speaker is announced.
    recording : str
        Name of the recording, of audio and for lines that give none.
    final_rttm : Path, optional
        Where the turns of the final answer are written when the stream has ended.
    rttm : RttmOptions
    audio : StreamAudio
    files : ModelFiles
    method : DiarizeOptions
    """

    latency: Annotated[float, Interval(ge=0, le=LONGEST_LATENCY)] = DEFAULT_LATENCY
    recording: str = "recording"
    final_rttm: Path | None = None
    rttm: RttmOptions = field(default_factory=RttmOptions)
    audio: StreamAudio = field(default_factory=StreamAudio)
    files: ModelFiles = field(default_factory=ModelFiles)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_name(self.recording):
            raise UsageError(f"--recording must be one word, found {self.recording!r}")
        if self.files.plda_scores is not None:
            raise UsageError("a stream has no scores; leave out plda_scores")
        if self.final_rttm is not None:
            # A stream of days must not fail at its end.
            inputs = find_inputs(self.files)
            if self.audio.is_expected:
                inputs += extractor_files(self.audio.extractor or SMALL)
            check_output(self.final_rttm, inputs)


@click.command("stream", cls=Verb)
@options_of(StreamConfig, without={"plda_scores"})
@preset_option
@config_option
def command(preset: str | None, config: Path | None, **given: Any) -> None:
    """Diarize audio, or windows, that come on standard input, while they come.

    With --extractor, standard input is raw audio: signed 16-bit samples, little endian,
    one channel, such as from arecord -t raw -f S16_LE -r 16000 -c 1.

    Else each line is a window: {"start": 0.0, "end": 1.5, "xvector": [0.1, ...]}, in
    order of time, with a "recording" if there are several at once. A line {"time":
    12.5} says that the stream has come to this time, for what is due in a pause, and
    {"end": true} that the recording has ended.

    Speakers are printed as lines of JSON within --latency of the moment of speech. What
    turns out to be wrong later is printed again, with "correction": true; the last line
    of a window counts. When the stream ends, everything is diarized as by ssahc
    diarize, and what differs is printed.

    Ctrl-C ends the stream as the end of its input does.

    Exit status: 0; 1 if lines were skipped or recordings failed (each is named); 2 on
    wrong usage, or if there were no windows or all recordings failed; 130 after Ctrl-C.
    """
    run = resolve(
        StreamConfig, given, config=config, preset=preset, displaces=CONFLICTS
    )
    enlarge_pipe(sys.stdin.buffer)
    model, online = _open(run)
    is_final = run.final_rttm is not None
    recordings = Recordings(model, run.latency, run.method, is_final=is_final)
    source: UntilSignal[Any]
    if online is None:
        source = UntilSignal(read_lines(sys.stdin.buffer))
    else:
        recordings.warm_up(online.extractor.dim)
        source = UntilSignal(read_blocks(sys.stdin.buffer, online.sample_rate))
    with source:
        if online is None:
            num_faults = take_lines(source, recordings, run.recording)
            nothing = "no windows; expected lines of JSON, or audio with --extractor"
        else:
            num_faults = take_audio(source, online, recordings, run.recording)
            nothing = f"no speech in {online.seconds:.1f} s of audio; is it silent?"
        if source.status:
            say("interrupted: what has come is diarized; interrupt again to give it up")
        recordings.end_all()
    num_failed = recordings.num_failed
    if not recordings.turns and not source.status:
        # Lines that were skipped may all have been something else than windows.
        if num_failed == 0 and (online is None or num_faults == 0):
            say_error(f"{INPUT}: {nothing}")
        sys.exit(2)
    if run.final_rttm is not None and recordings.turns:
        channel = run.rttm.rttm_channel
        write_rttm(run.final_rttm, recordings.turns, channel=channel)
    sys.exit(source.status or (1 if num_faults or num_failed else 0))


def _open(run: StreamConfig) -> tuple[Model, OnlineExtractor | None]:
    """Return the model, by default the extractor's, and of audio what extracts it."""
    if not run.audio.is_expected:
        return load_model(run.files), None
    online = open_extractor(run.audio, run.method.device, run.recording)
    if run.files == ModelFiles():
        return online.extractor.model, online
    model = load_model(run.files)
    check_dims(model, online.extractor)
    return model, online
