"""The recordings of a stream: what is announced is printed, as lines of JSON."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import click
import numpy as np
from numpy.typing import ArrayLike

from ssahc.cli.messages import say_error
from ssahc.core.errors import DataError, SsahcError
from ssahc.core.types import Model, Turn
from ssahc.pipeline.online import LONGEST_LATENCY, Announcement, OnlineDiarizer
from ssahc.pipeline.options import DiarizeOptions, lacks_model


class Recordings:
    """Recordings that go on, and those that have ended.

    `turns` are the final ones of recordings that have ended; `num_failed` recordings
    could not be diarized, which is printed.

    Raises a UsageError if options do not fit the model.
    """

    def __init__(self, model: Model, latency: float, options: DiarizeOptions) -> None:
        self._model, self._latency, self._options = model, latency, options
        self._online: dict[str, OnlineDiarizer] = {}
        self._ended: set[str] = set()
        self.turns: dict[str, list[Turn]] = {}
        self.num_failed = 0
        # What does not fit is refused before there is any input.
        self._find("recording")

    def warm_up(self, dim: int) -> None:
        """Load and compile what is needed, so that the first speakers are not late."""
        if lacks_model(self._model):
            # It would be learned from noise, with warnings.
            return
        noise = np.random.default_rng(0).standard_normal((3, dim))
        with suppress(SsahcError):
            online = self._find("noise")
            online.add(noise, [[0, 1], [1, 2], [2, 3]])
            online.advance(LONGEST_LATENCY + 3.0)

    def add(self, name: str, xvectors: ArrayLike, segments: ArrayLike) -> None:
        """Take further windows of a recording; DataError if they cannot be used."""
        online = self._find(name)
        _print(name, online.add(xvectors, segments))
        self._online[name] = online

    def advance(self, name: str, seconds: float) -> None:
        """Say that a recording has come to this time; DataError if it has ended."""
        _print(name, self._find(name).advance(seconds))

    def end(self, name: str) -> None:
        """End a recording; DataError if it has no windows, or has ended before."""
        online = self._find(name)
        if name not in self._online:
            raise DataError(
                f"recording {name!r} ends without windows; was there any speech?"
            )
        del self._online[name]
        self._ended.add(name)
        try:
            ended = online.finish()
        except SsahcError as error:
            self.num_failed += 1
            say_error(f"recording {name!r}: {error}")
            return
        _print(name, ended.announcements)
        self.turns[name] = [
            replace(turn, speaker=ended.names[int(turn.speaker) - 1])
            for turn in ended.diarization.turns
        ]

    def end_all(self) -> None:
        """End the recordings that go on."""
        for name in list(self._online):
            self.end(name)

    def _find(self, name: str) -> OnlineDiarizer:
        """Return the recording, a new one if no windows of it have come."""
        if name in self._ended:
            raise DataError(
                f"recording {name!r} has ended; give what follows another name"
            )
        return self._online.get(name) or OnlineDiarizer(
            self._model,
            latency=self._latency,
            options=self._options,
            recording_id=name,
        )


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
