"""``ssahc diarize --segmentation``: what chunks of audio say of its speakers."""

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import inf
from pathlib import Path

from ssahc.cli.audio_inputs import AudioOptions, open_audio
from ssahc.cli.diarize_config import DiarizeConfig
from ssahc.cli.runner import as_fault, meter, warn_of, work_each
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.types import Fault
from ssahc.frontend.extraction import segment_recording
from ssahc.frontend.recordings import Audio
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import (
    Segmentation,
    SegmentationOptions,
)
from ssahc.io.overlap import read_regions
from ssahc.io.text import times_of
from ssahc.io.xvectors import XvectorDir
from ssahc.pipeline.overlap import fewest_speakers
from ssahc.runtime.device import Device
from ssahc.runtime.executor import RunningOptions
from ssahc.scoring.regions import Spans

# By how much posteriors may end too early or too late: detectors drop frames, and frame
# shifts are rounded.
_SLACK_SECONDS, _SLACK_SHARE = 2.0, 0.02

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class Chunks:
    """The chunks of a recording, and how many speakers it has at least."""

    segmentation: Segmentation
    fewest: int


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of --overlap, by recording, and where posteriors end, in seconds."""

    path: Path = Path()
    spans: Mapping[str, Spans] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)

    def check_names(self, folder: XvectorDir) -> None:
        """Raise a FormatError if no recording is known; warn if some are not."""
        names = folder.utterances.keys()
        unknown = self.spans.keys() - names
        if unknown == self.spans.keys():
            raise FormatError(
                f"has none of the recordings of {folder.path}: expected names such as "
                f"{min(names, default='')!r}, found {min(unknown)!r}; rename them",
                path=self.path,
            )
        warn_of(f"{self.path}: not diarized", unknown)

    def find_misfits(
        self, folder: XvectorDir, seconds: Mapping[str, float]
    ) -> list[Fault]:
        """Return the recordings whose posteriors are too short or too long for them.

        `seconds` are the lengths of audio, where known. Posteriors of the whole audio
        do not end before the windows, and not after the audio.
        """
        faults = []
        for name in sorted(self.ends.keys() & folder.utterances.keys()):
            end = self.ends[name]
            last = times_of(folder.segments, folder.utterances[name]).max(initial=0)
            most = seconds.get(name, inf)
            limits = f"at {last:.1f} s or later, where the windows end"
            if most < inf:
                limits += f", and at {most:.1f} s, where the audio ends, or before"
            if _is_before(end, last) or _is_before(most, end):
                error = FormatError(
                    f"expected posteriors that end {limits}, found {end:.1f} s; is "
                    "--overlap-frame-shift that of the detector?",
                    path=self.path,
                    key=name,
                )
                faults.append(Fault(name, str(error)))
        return faults


def _is_before(time: float, other: float) -> bool:
    """Whether a time is well before another one, both in seconds."""
    return time < other - max(_SLACK_SECONDS, _SLACK_SHARE * other)


def open_regions(run: DiarizeConfig) -> Regions:
    """Read the regions of --overlap, if it is given."""
    path = run.overlap.overlap
    if path is None:
        return Regions()
    return Regions(path, *read_regions(path, run.overlap.posteriors))


def refuse_segmentation(run: DiarizeConfig) -> None:
    """Raise a UsageError for --segmentation without audio."""
    if run.overlap.segmentation is not None:
        raise UsageError("--segmentation is for audio, not for x-vectors")


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
