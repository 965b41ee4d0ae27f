"""``ssahc diarize --segmentation``: from audio to turns that may overlap."""

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ssahc.cli.audio_inputs import complete_options, open_audio, tell_resampling
from ssahc.cli.diarize_config import AllOptions
from ssahc.cli.inputs import SpeakersOf, read_speakers
from ssahc.cli.resume import is_interrupted, work_folder
from ssahc.cli.runner import (
    CONFIG,
    as_fault,
    length_of,
    nothing_done,
    print_faults,
    track,
    work_each,
)
from ssahc.core.errors import DataError, FormatError, UsageError, counted
from ssahc.core.options import flatten
from ssahc.core.turns import measure_speech
from ssahc.core.types import Fault, Turn
from ssahc.core.validation import flag
from ssahc.frontend.extraction import Audio, ExtractionOptions, read_samples
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import segment
from ssahc.frontend.segmentation.local_speakers import list_speakers
from ssahc.io.config import write_config
from ssahc.io.files import refuse_input
from ssahc.io.rttm import write_rttm
from ssahc.pipeline.overlap import THRESHOLD, diarize_chunks
from ssahc.runtime.device import Device
from ssahc.runtime.executor import RunningOptions

# Options that have a meaning here.
_USED = {
    *("xvector_dir", "audio", "extractor", "channel", "reco2file_and_channel"),
    *(
        "segmentation",
        "exclusive",
        "segmentation_step",
        "segmentation_threshold",
        "vad",
    ),
    *("num_speakers", "threshold", "min_speakers", "max_speakers"),
    *("reco2num_spk", "reco2min_max", "device", "rttm_channel"),
}


def diarize_overlap(
    out_dir: Path,
    options: AllOptions,
    running: RunningOptions,
    *,
    resume: bool,
    stale: Collection[str],
) -> tuple[list[Fault], str]:
    """Diarize audio and write ``rttm``; return what failed, and what was found.

    `stale` are files in the folder of an earlier run, which are removed.
    """
    _refuse_unused(options, resume=resume)
    is_interrupted(out_dir, resume=False)
    path = Path(options.overlap.segmentation or "")
    audio_options = complete_options(options.audio, [])
    task = OverlapTask(
        audio_options.extractor or "",
        str(path.absolute()) if path.exists() else str(path),
        options.diarize.method.device,
        options.audio.extraction,
        read_speakers(options.diarize.tables, options.diarize.method.speakers),
        options.overlap.exclusive,
    )
    # Models that cannot be used are named before anything is read.
    rates = {task.extractor.sample_rate, task.segmenter.sample_rate}
    audio = open_audio(audio_options)
    for name in ("rttm", CONFIG):
        refuse_input(out_dir / name, audio.files, "choose another folder")
    for rate in rates:
        tell_resampling(audio.recordings, rate)
    hours = {item.id: (item.seconds or 0) / 3600 for item in audio.recordings}

    def hours_of(outcome: tuple[str, list[Turn]] | Fault) -> float:
        name = outcome.recording if isinstance(outcome, Fault) else outcome[0]
        return hours.get(name, 0)

    turns: dict[str, list[Turn]] = {}
    faults: list[Fault] = list(audio.faults)
    with work_folder(out_dir, ("rttm",), stale=lambda: stale) as folder:
        is_here = running.nj == 1 and running.dask is None
        outcomes = work_each(
            audio.recordings,
            # Others load the models themselves.
            task if is_here else replace(task),
            running,
            total=len(audio.recordings),
            load=lambda item: 1.0,
        )
        with closing(outcomes):
            for outcome in track(
                outcomes, sum(hours.values()), "diarizing", hours_of=hours_of
            ):
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                else:
                    turns[outcome[0]] = outcome[1]
        total = len(audio.recordings) + len(audio.faults)
        print_faults(faults, total)
        if not turns:
            raise nothing_done()
        channel = options.diarize.rttm.rttm_channel
        write_rttm(folder / "rttm", turns, channel=channel)
        write_config(folder / CONFIG, options)
    return faults, _summary(turns, total)


def _refuse_unused(options: AllOptions, *, resume: bool) -> None:
    audio = options.audio
    if audio.extractor is None:
        raise UsageError("--segmentation is for audio, which needs --extractor as well")
    if audio.segments is not None or audio.extraction.vad != "segmentation-3.0":
        given = "--vad" if audio.segments is None else "--segments"
        raise UsageError(f"--segmentation finds speech as well; leave out {given}")
    if resume:
        raise UsageError(
            "--segmentation keeps nothing of an interrupted run; leave out --resume"
        )
    usual = flatten(AllOptions())
    for name, value in flatten(options).items():
        if value != usual.get(name) and name not in _USED:
            raise UsageError(f"--segmentation does not use {flag(name)}; leave it out")


def _summary(turns: dict[str, list[Turn]], total: int) -> str:
    speakers = sum(len({turn.speaker for turn in own}) for own in turns.values())
    seconds = overlap = 0.0
    for own in turns.values():
        times = np.array([(turn.start, turn.end) for turn in own])
        speech = measure_speech(times)
        seconds += speech
        overlap += float((times[:, 1] - times[:, 0]).sum()) - speech
    of_all = "" if len(turns) == total else f"{len(turns)} of "
    return (
        f"{of_all}{counted(total, 'recording')}, {counted(speakers, 'speaker')}, "
        f"{length_of(seconds)} of speech, {length_of(overlap)} of it overlapping"
    )


@dataclass(frozen=True, eq=False)
class OverlapTask:
    """Diarizes audio; the models are loaded once in each process.

    Parameters
    ----------
    extractor_name, segmenter_name : str
        Names, or absolute paths.
    device : Device
    extraction : ExtractionOptions
    speakers_of : SpeakersOf
    exclusive : bool
    """

    extractor_name: str
    segmenter_name: str
    device: Device
    extraction: ExtractionOptions
    speakers_of: SpeakersOf
    exclusive: bool

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor; FormatError or UsageError if it cannot be used."""
        return Extractor.load(self.extractor_name, device=self.device)

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmentation model; errors as of the extractor."""
        return Segmenter.load(self.segmenter_name, device=self.device)

    def __call__(self, batch: list[Audio]) -> list[list[Turn] | Fault]:
        """Return the turns of recordings, or what is wrong with them."""
        return [self._attempt(audio) for audio in batch]

    def _attempt(self, audio: Audio) -> list[Turn] | Fault:
        try:
            return self._diarize(audio)
        except (DataError, FormatError, MemoryError) as error:
            return as_fault(audio, error)

    def _diarize(self, audio: Audio) -> list[Turn]:
        stop = self.speakers_of(audio.id).stop(default=THRESHOLD)
        samples = read_samples(audio, self.segmenter.sample_rate)
        found = segment(samples, self.segmenter, self.extraction.segmentation)
        speakers = list_speakers(found)
        samples = read_samples(audio, self.extractor.sample_rate)
        embeddings = self.extractor.embed_spans(samples, speakers.spans)
        turns = diarize_chunks(
            found, speakers, embeddings, stop, exclusive=self.exclusive
        )
        if not turns:
            raise DataError(f"{audio.path}: no speech found; is it silent?")
        return turns
