"""The recordings of a stream: what is announced is printed, as lines of JSON."""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import click
import numpy as np
from numpy.typing import ArrayLike

from ssahc.cli.messages import say, say_error
from ssahc.core.errors import DataError, SsahcError
from ssahc.core.types import Model, Turn
from ssahc.pipeline.online import LONGEST_LATENCY, Announcement, OnlineDiarizer
from ssahc.pipeline.options import DiarizeOptions, lacks_model


class Recordings:
    """Recordings that go on, and those that have ended.

    `turns` are the final ones of recordings that have ended; `num_failed` recordings
    could not be diarized, which is printed. If these turns are wanted (`is_final`), the
    work goes on where announcements cannot be printed any more.

    Raises a UsageError if options do not fit the model.
    """

    def __init__(
        self, model: Model, latency: float, options: DiarizeOptions, *, is_final: bool
    ) -> None:
        self._model, self._latency, self._options = model, latency, options
        self._is_final = is_final
        self._online: dict[str, OnlineDiarizer] = {}
        self._ended: set[str] = set()
        self.turns: dict[str, list[Turn]] = {}
        self.num_failed = 0
        # What does not fit is refused before there is any input.
        self._open("recording")

    def warm_up(self, dim: int) -> None:
        """Load and compile what is needed, so that the first speakers are not late."""
        if lacks_model(self._model):
            # It would be learned from noise, with warnings.
            return
        noise = np.random.default_rng(0).standard_normal((3, dim))
        with suppress(SsahcError):
            online = self._open("noise")
            online.add(noise, [[0, 1], [1, 2], [2, 3]])
            online.advance(LONGEST_LATENCY + 3.0)

    def add(self, name: str, xvectors: ArrayLike, segments: ArrayLike) -> None:
        """Take further windows of a recording; DataError if they cannot be used."""
        self._refuse_ended(name)
        online = self._online.get(name) or self._open(name)
        self._print(name, online.add(xvectors, segments))
        self._online[name] = online

    def advance(self, name: str, seconds: float) -> None:
        """Say that a recording has come to this time; DataError if it has ended."""
        self._refuse_ended(name)
        if name in self._online:
            self._print(name, self._online[name].advance(seconds))

    def end(self, name: str) -> None:
        """End a recording; DataError if it has no windows, or has ended before."""
        self._refuse_ended(name)
        if name not in self._online:
            raise DataError(
                f"recording {name!r} ends without windows; was there any speech?"
            )
        online = self._online.pop(name)
        self._ended.add(name)
        try:
            ended = online.finish()
        except SsahcError as error:
            self.num_failed += 1
            say_error(f"recording {name!r}: {error}")
            return
        self._print(name, ended.announcements)
        self.turns[name] = [
            replace(turn, speaker=ended.names[int(turn.speaker) - 1])
            for turn in ended.diarization.turns
        ]

    def end_all(self) -> None:
        """End the recordings that go on."""
        for name in list(self._online):
            self.end(name)

    def _refuse_ended(self, name: str) -> None:
        if name in self._ended:
            raise DataError(
                f"recording {name!r} has ended; give what follows another name"
            )

    def _open(self, name: str) -> OnlineDiarizer:
        return OnlineDiarizer(
            self._model,
            latency=self._latency,
            options=self._options,
            recording_id=name,
        )

    def _print(self, recording: str, announced: Iterable[Announcement]) -> None:
        try:
            _print_lines(recording, announced)
        except OSError as error:
            # Ctrl-C also ends what reads the announcements.
            if not self._is_final:
                raise
            say(
                f"standard output: {error.strerror}; from here on, announcements are "
                "not printed"
            )
            discarded = os.open(os.devnull, os.O_WRONLY)
            os.dup2(discarded, sys.stdout.fileno())
            os.close(discarded)


def _print_lines(recording: str, announced: Iterable[Announcement]) -> None:
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
