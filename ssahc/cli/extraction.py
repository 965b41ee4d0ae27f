"""Extraction of x-vectors into a folder, for ``ssahc extract`` and ``diarize``."""

import logging
import shutil
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ssahc.cli.audio_inputs import (
    MODEL_FILES,
    AudioList,
    AudioOptions,
    detects_by_energy,
    model_folder,
    open_audio,
    tell_resampling,
)
from ssahc.cli.extract_journal import ExtractJournal
from ssahc.cli.extract_task import ExtractTask
from ssahc.cli.overwrite import read_earlier
from ssahc.cli.resume import (
    begin,
    check_same_run,
    is_interrupted,
    keep_done,
    work_folder,
)
from ssahc.cli.runner import (
    CONFIG,
    length_of,
    nothing_done,
    print_faults,
    track,
    work_each,
)
from ssahc.core.errors import FormatError, UsageError, counted
from ssahc.core.turns import measure_speech
from ssahc.core.types import Fault, Recording
from ssahc.frontend.extractors.installed import SEGMENTERS, weights_of
from ssahc.frontend.silero import open_silero
from ssahc.io.files import refuse_input
from ssahc.io.folders import UNFINISHED, clear_unfinished
from ssahc.io.xvector_writer import FILES, write_xvector_dir
from ssahc.io.xvectors import XvectorDir, open_xvector_dir, read_recordings
from ssahc.runtime.device import Device
from ssahc.runtime.executor import RunningOptions

# What an extraction writes, besides its options.
_FILES = (*FILES, *MODEL_FILES)

_logger = logging.getLogger("ssahc")


def extract_into(
    out_dir: Path,
    options: AudioOptions,
    running: RunningOptions,
    *,
    device: Device = "auto",
    resume: bool = False,
    reuse: bool = False,
) -> list[Fault]:
    """Extract the x-vectors of all recordings; return those that failed, printed.

    `resume` continues an interrupted run, or tries again what failed in a finished one;
    a UsageError is raised if its options or inputs were others. `reuse` takes what a
    finished run has left, but starts over if they were others. If there is nothing to
    do, no file is touched.
    """
    if options.extractor is None:
        raise AssertionError("complete_options asks for it")
    task = ExtractTask(options.extractor, device, options.extraction)
    # A model that cannot be used is named before anything is read.
    rate = task.loaded.sample_rate
    if options.extraction.vad == "silero" and options.segments is None:
        open_silero()
    if options.extraction.vad in SEGMENTERS and options.segments is None:
        weights_of(options.extraction.vad)
    audio = open_audio(options)
    for name in (*_FILES, CONFIG):
        refuse_input(out_dir / name, audio.files, "choose another folder")

    def find_stale() -> Collection[str]:
        # Only of an earlier run: what else is there is refused.
        return (
            MODEL_FILES
            if read_earlier(out_dir, _FILES, "extract", mark="extractor")
            else ()
        )

    find_stale()
    finished = _find_finished(out_dir, options, audio, resume=resume, reuse=reuse)
    names = {recording.id for recording in audio.recordings}
    if finished is not None and finished.utterances.keys() == names:
        _logger.info(
            f"{out_dir} has the x-vectors of {counted(len(names), 'recording')}"
        )
        print_faults(audio.faults, len(names) + len(audio.faults))
        return audio.faults
    tell_resampling(audio.recordings, rate)
    # Of a Kaldi model, it is what its recipe does.
    if detects_by_energy(options) and model_folder(options) is None:
        _logger.info(
            "speech is detected by its energy, as for telephone calls; in rooms and "
            "noise use --vad segmentation-3.0 or silero, or give --segments"
        )
    with work_folder(out_dir, _FILES, stale=find_stale) as folder:
        if is_interrupted(out_dir, resume=resume):
            check_same_run(folder, options, audio.files)
        else:
            clear_unfinished(folder)
            begin(folder, options, audio.files)
        with ExtractJournal(folder) as journal:
            try:
                if finished is not None:
                    _take_over(finished, names, journal)
                faults = _extract(audio, task, running, journal)
                _write(folder, audio, journal, model_folder(options))
            except BaseException:
                total = len(names) + len(audio.faults)
                keep_done(folder, out_dir, len(journal.done), total)
                raise
    return faults


def _find_finished(
    out_dir: Path,
    options: AudioOptions,
    audio: AudioList,
    *,
    resume: bool,
    reuse: bool,
) -> XvectorDir | None:
    """Return the folder if a finished run has left it that may be continued."""
    interrupted = (out_dir / UNFINISHED / CONFIG).exists()
    if interrupted or not (resume or reuse) or not (out_dir / CONFIG).exists():
        return None
    try:
        check_same_run(out_dir, options, audio.files)
        return open_xvector_dir(out_dir)
    except (FormatError, UsageError):
        if resume:
            raise
        return None


def _take_over(folder: XvectorDir, names: set[str], journal: ExtractJournal) -> None:
    """Take what is wanted of a finished run into the journal of this one."""
    kept = folder.select(names & folder.utterances.keys() - journal.done)
    for recording in read_recordings(kept):
        # What cannot be read back is extracted again.
        if isinstance(recording, Recording):
            journal.add(recording)


def _extract(
    audio: AudioList,
    task: ExtractTask,
    running: RunningOptions,
    journal: ExtractJournal,
) -> list[Fault]:
    """Extract from the recordings that are not done yet; return those that failed."""
    waiting = [item for item in audio.recordings if item.id not in journal.done]
    if journal.done:
        _logger.info("already done: %s", counted(len(journal.done), "recording"))
    hours = {item.id: (item.seconds or 0) / 3600 for item in audio.recordings}

    def hours_of(outcome: tuple[str, Recording] | Fault) -> float:
        name = outcome.recording if isinstance(outcome, Fault) else outcome[0]
        return hours.get(name, 0)

    is_here = running.nj == 1 and running.dask is None
    outcomes = work_each(
        chain(audio.faults, waiting),
        # Others load the extractor themselves.
        task if is_here else replace(task),
        running,
        total=len(waiting),
        # A recording is enough for a batch.
        load=lambda item: 1.0,
    )
    total = sum(hours.values())
    done = sum(hours[name] for name in journal.done)
    faults: list[Fault] = []
    with closing(outcomes):
        for outcome in track(
            outcomes, total, "extracting", done=done, hours_of=hours_of
        ):
            if isinstance(outcome, Fault):
                faults.append(outcome)
            else:
                journal.add(outcome[1])
            del outcome
    print_faults(faults, len(hours) + len(audio.faults))
    if not journal.done:
        raise nothing_done()
    return faults


@dataclass
class _Sums:
    """What has been written."""

    recordings: int = 0
    windows: int = 0
    seconds: float = 0.0


def _write(
    folder: Path, audio: AudioList, journal: ExtractJournal, model: Path | None
) -> None:
    """Write the x-vector folder, recordings in the order of their list."""
    sums = _Sums()
    names = [item.id for item in audio.recordings if item.id in journal.done]
    write_xvector_dir(folder, _add_up(journal.read(names), sums))
    for path in (model / name for name in MODEL_FILES) if model else ():
        if path.exists():
            shutil.copyfile(path, folder / path.name)
    seconds = sum(item.seconds or 0 for item in audio.recordings)
    total = len(audio.recordings) + len(audio.faults)
    of_all = "" if sums.recordings == total else f"{sums.recordings} of "
    _logger.info(
        f"extracted {of_all}{counted(total, 'recording')}: "
        f"{counted(sums.windows, 'x-vector')}, {length_of(sums.seconds)} of "
        f"speech in {length_of(seconds)} of audio"
    )


def _add_up(recordings: Iterator[Recording], sums: _Sums) -> Iterator[Recording]:
    for recording in recordings:
        sums.recordings += 1
        sums.windows += len(recording)
        sums.seconds += measure_speech(recording.segments)
        yield recording
