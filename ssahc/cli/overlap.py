"""``ssahc diarize --segmentation``: what chunks of audio say of its speakers."""

import logging
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial

from ssahc.cli.audio_inputs import AudioOptions, open_audio
from ssahc.cli.diarize_config import DiarizeConfig
from ssahc.cli.runner import as_fault, meter, work_each
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.types import Fault
from ssahc.frontend.extraction import segment_recording
from ssahc.frontend.recordings import Audio
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import (
    Segmentation,
    SegmentationOptions,
)
from ssahc.pipeline.overlap import fewest_speakers
from ssahc.runtime.device import Device
from ssahc.runtime.executor import RunningOptions

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class Chunks:
    """The chunks of a recording, and how many speakers it has at least."""

    segmentation: Segmentation
    fewest: int


def refuse_segmentation(run: DiarizeConfig) -> None:
    """Raise a UsageError for --segmentation without audio."""
    if run.overlap.segmentation is not None:
        raise UsageError("--segmentation is for audio, which needs --extractor as well")


def plan_segmentation(
    run: DiarizeConfig, audio: AudioOptions
) -> Callable[[RunningOptions, Collection[str]], dict[str, Chunks]]:
    """Load the segmentation model if there is to be one; return what segments audio.

    That takes the names of the recordings to segment. Options have the model's name, or
    its absolute path (`settle_segmentation`).
    A model that cannot be used is a FormatError or UsageError before anything is read.
    """
    if run.overlap.segmentation is None:
        return lambda running, names: {}
    task = SegmentTask(
        run.overlap.segmentation,
        run.method.device,
        audio.extraction.segmentation,
    )
    _ = task.segmenter
    return partial(_segment, audio, task)


def _segment(
    audio: AudioOptions,
    task: "SegmentTask",
    running: RunningOptions,
    names: Collection[str],
) -> dict[str, Chunks]:
    """Return the chunks of recordings that have x-vectors; warn of those that fail."""
    recordings = [item for item in open_audio(audio).recordings if item.id in names]
    hours = {item.id: (item.seconds or 0) / 3600 for item in recordings}
    is_here = running.nj == 1 and running.dask is None
    outcomes = work_each(
        recordings,
        # Others load the model themselves.
        task if is_here else replace(task),
        running,
        total=len(recordings),
        load=lambda item: 1.0,
    )
    found: dict[str, Chunks] = {}
    total = sum(hours.values())
    with closing(outcomes), meter(total, "segmenting", in_hours=True) as advance:
        for outcome in outcomes:
            if isinstance(outcome, Fault):
                _logger.warning(
                    "recording %r is diarized without segmentation: %s",
                    outcome.recording,
                    outcome.reason,
                )
                advance(hours.get(outcome.recording, 0))
            else:
                found[outcome[0]] = outcome[1]
                advance(hours[outcome[0]])
    return found


@dataclass(frozen=True, eq=False)
class SegmentTask:
    """Segments audio; the model is loaded once in each process.

    Parameters
    ----------
    model : str
        Name, or absolute path.
    device : Device
    options : SegmentationOptions
    """

    model: str
    device: Device
    options: SegmentationOptions

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model; FormatError or UsageError if it cannot be used."""
        return Segmenter.load(self.model, device=self.device)

    def __call__(self, batch: list[Audio]) -> list[Chunks | Fault]:
        """Return the chunks of recordings, or what is wrong with them."""
        return [self._attempt(audio) for audio in batch]

    def _attempt(self, audio: Audio) -> Chunks | Fault:
        try:
            found, alone = segment_recording(audio, self.segmenter, self.options)
            return Chunks(found, fewest_speakers(alone))
        except (DataError, FormatError, MemoryError) as error:
            return as_fault(audio, error)
