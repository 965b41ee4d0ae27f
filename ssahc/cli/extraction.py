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
    find_model,
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
    meter,
    nothing_done,
    print_faults,
    work_each,
)
from ssahc.core.errors import FormatError, UsageError, counted
from ssahc.core.turns import measure_speech
from ssahc.core.types import Fault, Recording
from ssahc.frontend.extractors import Extractor
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
    extractor: Extractor,
    running: RunningOptions,
    *,
    device: Device = "auto",
    resume: bool = False,
    reuse: bool = False,
) -> list[Fault]:
    """Extract the x-vectors of all recordings; return those that failed, printed.

    Options are those that `complete_options` returns. `resume` continues an interrupted
    run, or tries again what failed in a finished one; a UsageError is raised if its
    options or inputs were others. `reuse` takes what a finished run has left, but
    starts over if they were others. If there is nothing to do, no file is touched.
    """
    # Other processes load the extractor themselves.
    is_here = running.nj == 1 and running.dask is None
    model = extractor if is_here else str(options.extractor)
    task = ExtractTask(model, device, options.extraction)
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
    tell_resampling(audio.recordings, extractor.sample_rate)
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
                taken = journal.done
                faults = _extract(audio, task, running, journal)
                is_same = (
                    finished is not None
                    and taken == journal.done == finished.utterances.keys()
                )
                if not is_same:
                    _write(folder, audio, journal, find_model(options))
            except BaseException:
                total = len(names) + len(audio.faults)
                keep_done(folder, out_dir, len(journal.done), total)
                raise
        if is_same:
            # Files written anew would be later than a diarization of them, which
            # could not be resumed.
            clear_unfinished(folder)
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
    total, done = sum(hours.values()), sum(hours[name] for name in journal.done)
    faults: list[Fault] = []
    with meter(total, "extracting", done=done, in_hours=True) as advance:
        # What is told of a recording while it is being read.
        told = 0.0

        def tell(seconds: float) -> None:
            nonlocal told
            told += seconds / 3600
            advance(seconds / 3600)

        is_elsewhere = isinstance(task.extractor, str)
        outcomes = work_each(
            chain(audio.faults, waiting),
            task if is_elsewhere else replace(task, on_read=tell),
            running,
            total=len(waiting),
            # A recording is enough for a batch.
            load=lambda item: 1.0,
        )
        with closing(outcomes):
            for outcome in outcomes:
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                    name = outcome.recording
                else:
                    name, recording = outcome
                    journal.add(recording)
                    del recording
                del outcome
                advance(hours.get(name, 0) - told)
                told = 0.0
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
