"""``ssahc diarize``."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from ssahc.cli.audio_inputs import (
    AUDIO_CONFLICTS,
    AudioOptions,
    is_audio,
    refuse_audio_options,
    refuse_xvectors,
)
from ssahc.cli.diarize_audio import PreparedRun, prepare_audio
from ssahc.cli.diarize_config import (
    MODEL_CONFLICTS,
    OVERLAP_CONFLICTS,
    AllOptions,
    DiarizeConfig,
    reuse_options,
    settle_system,
)
from ssahc.cli.diarize_names import (
    NamedTurns,
    Names,
    check_comparable,
    name_run_speakers,
)
from ssahc.cli.diarize_remarks import say_not_learned, warn_of_unsure
from ssahc.cli.diarize_speakers import write_run_speakers
from ssahc.cli.diarize_task import DiarizeTask
from ssahc.cli.diarize_turns import RecordingTurns
from ssahc.cli.enrollment import open_enrollment
from ssahc.cli.inputs import (
    CONFLICTS,
    Inputs,
    find_inputs,
    open_inputs,
    open_source,
    refuse_same_folder,
    warn_of_other_system,
)
from ssahc.cli.journal import (
    CONFIDENCE,
    POSTERIOR,
    SCORES,
    Plan,
    Unfinished,
    open_unfinished,
)
from ssahc.cli.learned_model import (
    GIVEN_MODELS,
    LEARNED_FILES,
    LEARNED_MODEL,
    complete_inputs,
    refuse_other_model,
)
from ssahc.cli.overlap import open_regions, refuse_segmentation
from ssahc.cli.overwrite import read_earlier
from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    preset_option,
    resolve,
    running_options,
    take_running,
)
from ssahc.cli.runner import (
    CONFIG,
    TUNING,
    length_of,
    nothing_done,
    print_faults,
    track,
    warn_of,
    work_each,
    write_results,
)
from ssahc.core.errors import UsageError, counted
from ssahc.core.options import build
from ssahc.core.types import Fault, Recording
from ssahc.frontend.extractors.installed import SMALL
from ssahc.io.config import read_config
from ssahc.io.files import refuse_input, strip_rspecifier
from ssahc.io.folders import UNFINISHED
from ssahc.io.named import NAMED
from ssahc.io.speakers import SPEAKER_FILES
from ssahc.io.xvectors import SCP, XvectorDir, first_fault, read_recordings
from ssahc.learning.options import Stopped
from ssahc.pipeline.options import DiarizeOptions
from ssahc.runtime.device import has_gpu
from ssahc.runtime.executor import Load, RunningOptions

_CONFLICTS = (CONFLICTS, AUDIO_CONFLICTS, OVERLAP_CONFLICTS, MODEL_CONFLICTS)
# Options of config files and presets that a given option displaces.
_DISPLACED = {
    name: set[str]().union(*(table.get(name, ()) for table in _CONFLICTS))
    for table in _CONFLICTS
    for name in table
}

# Of every run.
_WRITTEN = ("labels", "rttm", POSTERIOR, CONFIDENCE)

_logger = logging.getLogger("ssahc")


@click.command("diarize", cls=Verb)
@click.argument("xvector_dir", type=PATH, metavar="XVECTOR_DIR|AUDIO")
@click.argument("out_dir", type=PATH)
@options_of(AllOptions, without={"xvector_dir", "audio"})
@running_options
@click.option(
    "--resume",
    cls=GroupedOption,
    group="Execution",
    is_flag=True,
    help="Keep the results in OUT_DIR of an earlier run with the same options, finished"
    " or interrupted, and process the remaining recordings.",
)
@preset_option
@config_option
def command(
    xvector_dir: Path,
    out_dir: Path,
    resume: bool,
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Diarize the recordings of XVECTOR_DIR, or AUDIO, and write OUT_DIR/rttm.

    XVECTOR_DIR is the output of Kaldi's extract_xvectors.sh: xvector.scp, segments,
    utt2spk, spk2utt. AUDIO is a wav.scp, a folder of audio files, or one file; its
    x-vectors are kept in OUT_DIR/xvectors, for later runs as well.
    OUT_DIR also gets labels and config.toml. Without a model, one is learned from all
    recordings and kept in OUT_DIR/learned_model, unless the extractor has one
    (--default-model). The number of speakers is estimated unless --num-speakers or
    --reco2num-spk is given; OUT_DIR/speaker_posterior has the probability of each, and
    OUT_DIR/confidence that of the speaker of each window.

    Exit status: 0 if all recordings were processed; 1 if some failed (the others are
    written); 2 on wrong usage or if all failed (nothing is written). The results of an
    interrupted run are kept in OUT_DIR/.unfinished for --resume.
    """
    start = time.monotonic()
    running = take_running(given)
    if (out_dir / TUNING).exists():
        raise UsageError(
            f"{out_dir}: holds what ssahc tune wrote, whose {CONFIG} would be lost; "
            "choose another folder"
        )
    given["xvector_dir"] = xvector_dir
    options = resolve(
        AllOptions,
        given,
        config=config,
        preset=preset,
        displaces=_DISPLACED,
        base={"extractor": SMALL} if is_audio(xvector_dir) else None,
    )
    if given["extractor"] is None and (xvector_dir / SCP).exists():
        # Options of a run on audio, for x-vectors that it has left.
        options = AllOptions(reuse_options(options), build(AudioOptions, given))
    run = options.diarize
    has_audio = options.audio.extractor is not None
    if has_audio:
        refuse_xvectors(xvector_dir, out_dir)
        options = replace(options, audio=replace(options.audio, audio=xvector_dir))
    else:
        refuse_audio_options(xvector_dir, options.audio)
        refuse_segmentation(run)
        refuse_same_folder(out_dir, xvector_dir)
    warn_of_other_system(given, config)

    def find_stale() -> tuple[str, ...]:
        names = (*_WRITTEN, *_list_optional(vars(run)))
        earlier = read_earlier(out_dir, names, "diarize")
        # A run that was given a model has left that folder alone.
        learned = bool(earlier) and not earlier.keys() & GIVEN_MODELS
        learned = learned and earlier.get("default_model") != "extractor"
        if not learned and not (out_dir / UNFINISHED / CONFIG).exists():
            refuse_other_model(out_dir)
        stale = LEARNED_FILES if learned else ()
        if "xvector_dir" in earlier:
            stale += (POSTERIOR,)
        return stale + _list_optional(earlier)

    # Fail on what is in the way before anything is read.
    find_stale()
    regions = open_regions(run)
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    enrollment = None
    if run.enroll is not None:
        enrollment = open_enrollment(run.enroll, of_audio=has_audio)
    prepared = PreparedRun(run, inputs, {}, [], enrollment=enrollment)
    if has_audio:
        stored = [] if config is None else [read_config(config, AllOptions)]
        prepared = prepare_audio(
            options,
            [*stored, given],
            inputs,
            out_dir,
            running,
            resume=resume,
            enrollment=enrollment,
        )
    prepared = replace(prepared, regions=regions)
    faults, found = _run(out_dir, prepared, running, resume=resume, stale=find_stale)
    seconds = time.monotonic() - start
    where = f"turns are in {out_dir}/rttm"
    if (out_dir / LEARNED_MODEL).is_dir():
        where += f", the model it learned in {out_dir / LEARNED_MODEL}"
    _logger.info(f"diarized {found} in {seconds:.1f} s; {where}")
    sys.exit(1 if faults or prepared.failed else 0)


def _run(
    out_dir: Path,
    prepared: PreparedRun,
    running: RunningOptions,
    *,
    resume: bool,
    stale: Callable[[], Collection[str]],
) -> tuple[list[Fault], str]:
    """Diarize and write; return the recordings that failed, and what was found."""
    inputs = prepared.inputs
    run = settle_system(prepared.run, inputs)
    folder = open_source(run.source)
    read = [*find_inputs(run.source, run.files, run.tables), *folder.files]
    if run.overlap.overlap is not None:
        read.append(strip_rspecifier(run.overlap.overlap)[1])
        prepared.regions.check_names(open_source(replace(run.source, recordings=None)))
    if inputs.plda_scores is not None:
        read += inputs.plda_scores.files
    if prepared.enrollment is not None:
        read += prepared.enrollment.files
    others = dict.fromkeys((*_list_optional(vars(run)), *stale()))
    for name in (*_WRITTEN, CONFIG, *others, *LEARNED_FILES):
        refuse_input(out_dir / name, read, "choose another folder")
    plan = Plan(
        prepared.to_store(run),
        folder.utterances,
        read,
        run.write_scores,
        is_sound=lambda name: first_fault(folder, name) is None,
        addable=("write_speakers",),
    )
    files = (*_WRITTEN, *SCORES, *SPEAKER_FILES, NAMED, *LEARNED_FILES)
    with open_unfinished(
        out_dir, plan, files, resume=resume, stale=stale
    ) as unfinished:
        earlier = out_dir if resume else None
        inputs = complete_inputs(inputs, folder, unfinished.folder, earlier)
        # What cannot be compared is named before the work is done.
        check_comparable(prepared.enrollment, folder, inputs.model, prepared.stored)
        refused = prepared.regions.find_misfits(folder, prepared.seconds)
        faults = _diarize(folder, inputs, run, running, unfinished, refused)
        names = name_run_speakers(
            folder, inputs.model, run, unfinished, prepared.enrollment, out_dir
        )
        found = _write(folder, run, unfinished, prepared, names)
        if run.write_speakers:
            write_run_speakers(
                folder, inputs.model, run, unfinished, prepared.stored, names
            )
        warn_of_unsure(unfinished, out_dir)
    return faults, found


def _list_optional(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files that a run with these options writes, and others do not."""
    scores = SCORES if options.get("write_scores") else ()
    speakers = SPEAKER_FILES if options.get("write_speakers") else ()
    return scores + speakers + ((NAMED,) if options.get("enroll") else ())


def check_device(method: DiarizeOptions, running: RunningOptions) -> None:
    """Raise a UsageError for a missing GPU before recordings are read."""
    if method.device == "cuda" and running.dask is None:
        has_gpu(method.device)


def method_of_workers(
    method: DiarizeOptions, running: RunningOptions
) -> DiarizeOptions:
    """Return the options of workers; a cluster's have a memory limit of their own."""
    return method if running.dask is None else replace(method, max_memory=None)


def _diarize(
    folder: XvectorDir,
    inputs: Inputs,
    run: DiarizeConfig,
    running: RunningOptions,
    unfinished: Unfinished,
    refused: list[Fault],
) -> list[Fault]:
    """Diarize the recordings that are not done yet; return those that failed.

    Those that are `refused` are among them.
    """
    names = folder.utterances.keys() | folder.unlisted.keys()
    done_before = len(unfinished.labels)
    left = names - unfinished.labels.keys() - {fault.recording for fault in refused}
    waiting = folder.select(left)
    if waiting.utterances:
        check_device(run.method, running)
    faults = list(refused)
    not_learned: Counter[Stopped] = Counter()
    method = method_of_workers(run.method, running)
    work = DiarizeTask(inputs, method, run.write_scores)
    # Whether the workers of a cluster have GPUs is not known here.
    load: Load[Recording] | None = None
    if running.dask is None:
        load = partial(work.load, num_processes=running.nj)
    outcomes = work_each(
        read_recordings(waiting, max_bytes=run.method.max_bytes()),
        work,
        running,
        total=len(left),
        load=load,
    )
    with closing(outcomes):
        for outcome in track(outcomes, len(names), "diarizing", done=done_before):
            if isinstance(outcome, Fault):
                faults.append(outcome)
                continue
            name, result = outcome
            unfinished.add(
                name,
                folder.utterances[name],
                result.labels,
                result.scores,
                result.posterior,
                result.confidence,
            )
            if result.not_learned is not None:
                not_learned[result.not_learned] += 1
            # Release the matrix of scores before the next recording's is computed.
            del outcome, result
    print_faults(faults, len(names))
    if not unfinished.labels:
        raise nothing_done()
    if not_learned:
        say_not_learned(not_learned, len(names) - done_before - len(faults))
    return faults


def _write(
    folder: XvectorDir,
    run: DiarizeConfig,
    unfinished: Unfinished,
    prepared: PreparedRun,
    names: Names,
) -> str:
    """Write the results in the order of spk2utt, as Kaldi does; return a summary."""
    done = [name for name in folder.utterances if name in unfinished.labels]
    labels = {name: unfinished.labels[name] for name in done}
    unfinished.write_posteriors(done)
    unfinished.write_confidence({name: folder.utterances[name] for name in done})
    if run.write_scores:
        unfinished.write_scores(done)
    labelled = (
        pair
        for name in done
        for pair in zip(folder.utterances[name], labels[name].tolist(), strict=True)
    )
    second = None if run.overlap.exclusive else run.overlap.second
    regions = prepared.regions.spans
    turns = RecordingTurns(
        folder, labels, unfinished.confidence, prepared.chunks, regions, second
    )
    warn_of("without a turn, since all segments have no length", turns.silent())
    write_results(
        unfinished.folder,
        labelled,
        NamedTurns(turns, names),
        channel=run.rttm.rttm_channel,
        with_confidence=run.rttm_confidence,
    )
    total = len(folder.utterances.keys() | folder.unlisted.keys())
    speakers = sum(int(found.max()) + 1 for found in labels.values())
    of_all = "" if len(done) == total else f"{len(done)} of "
    return (
        f"{of_all}{counted(total, 'recording')}, "
        f"{counted(speakers, 'speaker')}, {length_of(turns.seconds())} of speech"
    )
