"""``ssahc stream``."""

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import click

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
from ssahc.core.errors import DataError, FormatError, SsahcError, UsageError, counted
from ssahc.core.options import Options
from ssahc.core.types import Model, Turn
from ssahc.core.validation import Interval
from ssahc.io.files import check_output
from ssahc.io.rttm import write_rttm
from ssahc.io.window_lines import is_name, parse_line, read_lines
from ssahc.pipeline.online import (
    DEFAULT_LATENCY,
    LONGEST_LATENCY,
    Announcement,
    OnlineDiarizer,
)
from ssahc.pipeline.options import DiarizeOptions

_INPUT = "standard input"
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class StreamConfig(Options, group="Input and output"):
    """All options of ``ssahc stream``.

    Parameters
    ----------
    latency : float
        Seconds from the moment of speech after which its speaker is announced.
    recording : str
        Name of the recording, for lines that give none.
    final_rttm : Path, optional
        Where the turns of the final answer are written when the stream has ended.
    rttm : RttmOptions
    files : ModelFiles
    method : DiarizeOptions
    """

    latency: Annotated[float, Interval(ge=0, le=LONGEST_LATENCY)] = DEFAULT_LATENCY
    recording: str = "recording"
    final_rttm: Path | None = None
    rttm: RttmOptions = field(default_factory=RttmOptions)
    files: ModelFiles = field(default_factory=ModelFiles)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_name(self.recording):
            raise UsageError(f"--recording must be one word, found {self.recording!r}")
        if self.final_rttm is not None:
            # A stream of days must not fail at its end.
            check_output(self.final_rttm, find_inputs(self.files))


@click.command("stream", cls=Verb)
@options_of(StreamConfig, without={"plda_scores"})
@preset_option
@config_option
def command(preset: str | None, config: Path | None, **given: Any) -> None:
    """Diarize windows that come on standard input, while they come.

    Each line is a window: {"start": 0.0, "end": 1.5, "xvector": [0.1, ...]}, in order
    of time, with a "recording" if there are several at once. A line {"time": 12.5} says
    that the stream has come to this time, for what is due in a pause.

    Speakers are printed as lines of JSON within --latency of the moment of speech. What
    turns out to be wrong later is printed again, with "correction": true; the last line
    of a window counts. When the stream ends, everything is diarized as by ssahc
    diarize, and what differs is printed.

    Ctrl-C ends the stream as the end of its input does.

    Exit status: 0; 1 if lines were skipped or recordings failed (each is named); 2 on
    wrong usage or if there were no windows; 130 after Ctrl-C.
    """
    run = resolve(
        StreamConfig, given, config=config, preset=preset, displaces=CONFLICTS
    )
    streams = _Streams(run, load_model(run.files))
    lines = _Lines()
    skipped = 0
    for number, line in lines:
        try:
            streams.take(line)
        except DataError as error:
            skipped += 1
            fault = FormatError(f"{error} (skipped)", path=_INPUT, line=number)
            say_error(str(fault))
    if lines.status:
        say("interrupted: what has come is diarized; interrupt again to give it up")
    turns, num_failed = streams.finish()
    if skipped:
        say(f"skipped {counted(skipped, 'line')} of {_INPUT}")
    if not turns and not lines.status:
        if not num_failed:
            say_error(f"{_INPUT}: no windows; expected lines of JSON, see --help")
        sys.exit(2)
    if run.final_rttm is not None and turns:
        write_rttm(run.final_rttm, turns, channel=run.rttm.rttm_channel)
    sys.exit(lines.status or (1 if skipped or num_failed else 0))


class _Interrupted(Exception):
    """Ends the wait for a line."""


class _Lines:
    """Lines of standard input and their numbers, until a signal ends them.

    What is being done with a line goes on, so that everything can be ended in order.
    A second signal is handled as before. `status` is 0, or the exit status of the
    signal.
    """

    def __init__(self) -> None:
        self.status = 0
        self._is_waiting = False
        self._handlers: dict[int, Any] = {}

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        lines = read_lines(sys.stdin.buffer)
        self._handle_signals()
        try:
            while not self.status:
                self._is_waiting = True
                line = next(lines, None)
                self._is_waiting = False
                if line is None:
                    break
                yield line
        except _Interrupted:
            pass
        finally:
            self._restore()

    def _handle_signals(self) -> None:
        for number in _STOPS:
            # nohup and background jobs ignore some of them.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._stop)

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self._restore()
        self.status = 128 + number
        if self._is_waiting:
            raise _Interrupted


class _Streams:
    """The recordings that windows have come of."""

    def __init__(self, run: StreamConfig, model: Model) -> None:
        self._run, self._model = run, model
        self._online: dict[str, OnlineDiarizer] = {}
        # Options that do not fit the model are refused before there is any input.
        self._open(run.recording)

    def _open(self, recording: str) -> OnlineDiarizer:
        return OnlineDiarizer(
            self._model,
            latency=self._run.latency,
            options=self._run.method,
            recording_id=recording,
        )

    def take(self, line: bytes) -> None:
        """Take a line, and print what is to be announced; DataError if it is faulty."""
        item = parse_line(line, self._run.recording)
        online = self._online.get(item.recording) or self._open(item.recording)
        if item.xvector is None:
            announced = online.advance(item.end)
        else:
            announced = online.add([item.xvector], [[item.start, item.end]])
            self._online[item.recording] = online
        _print(item.recording, announced)

    def finish(self) -> tuple[dict[str, list[Turn]], int]:
        """End all recordings; return their turns, and how many failed."""
        turns: dict[str, list[Turn]] = {}
        for recording, online in self._online.items():
            try:
                ended = online.finish()
            except SsahcError as error:
                say_error(f"recording {recording!r}: {error}")
                continue
            _print(recording, ended.announcements)
            turns[recording] = [
                replace(turn, speaker=ended.names[int(turn.speaker) - 1])
                for turn in ended.diarization.turns
            ]
        return turns, len(self._online) - len(turns)


def _print(recording: str, announced: Iterable[Announcement]) -> None:
    for item in announced:
        click.echo(
            json.dumps(
                {
                    "recording": recording,
                    "window": item.window,
                    "start": item.start,
                    "end": item.end,
                    "speaker": item.speaker,
                    "correction": item.is_correction,
                }
            )
        )
