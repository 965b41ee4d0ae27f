"""``ssahc diarize``."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from ssahc.cli.inputs import (
    CONFLICTS,
    Inputs,
    ModelFiles,
    Source,
    SpeakerTables,
    find_inputs,
    open_inputs,
    open_source,
    warn_of_other_system,
)
from ssahc.cli.journal import SCORES, Plan, Unfinished, open_unfinished
from ssahc.cli.overwrite import read_earlier
from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    preset_option,
    resolve,
)
from ssahc.cli.runner import (
    CONFIG,
    TUNING,
    RttmOptions,
    as_fault,
    nothing_done,
    print_faults,
    track,
    warn_of,
    work_each,
    write_results,
)
from ssahc.cli.running import running_options, take_running
from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.turns import make_turns
from ssahc.core.types import Fault, Float32Array, IntArray, Recording, Turn
from ssahc.io.files import refuse_input
from ssahc.io.xvectors import XvectorDir, is_sound, read_recordings
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.options import LEARNING, DiarizeOptions, settle, uses_plda
from ssahc.runtime.batching import FAILURES
from ssahc.runtime.device import has_gpu
from ssahc.runtime.executor import Load, RunningOptions
from ssahc.runtime.memory import check_room

# What is sent to a process at once; side by side on a GPU the more the better.
_MOST_RECORDINGS, _MOST_RECORDINGS_ON_GPU, _MOST_WINDOWS = 8, 500, 100_000
# Computed in float64, and kept in float32.
_BYTES_A_SCORE = 12

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class OutputOptions(Options, group="Input and output"):
    """What is written besides rttm and labels.

    Parameters
    ----------
    write_scores : bool
        Also write scores.ark and scores.scp, as Kaldi's agglomerative-cluster reads.
    """

    write_scores: bool = False


@dataclass(frozen=True)
class DiarizeConfig:
    """All options of ``ssahc diarize`` that affect results."""

    source: Source = field(default_factory=Source)
    files: ModelFiles = field(default_factory=ModelFiles)
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    output: OutputOptions = field(default_factory=OutputOptions)
    rttm: RttmOptions = field(default_factory=RttmOptions)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)


@click.command("diarize", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(DiarizeConfig, without={"xvector_dir"})
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
    """Diarize the recordings of XVECTOR_DIR and write OUT_DIR/rttm.

    XVECTOR_DIR is the output of Kaldi's extract_xvectors.sh: xvector.scp, segments,
    utt2spk, spk2utt. OUT_DIR also gets labels and config.toml. The number of speakers
    is estimated unless --num-speakers or --reco2num-spk is given.

    Exit status: 0 if all recordings were processed; 1 if some failed (the others are
    written); 2 on wrong usage or if all failed (nothing is written). The results of an
    interrupted run are kept in OUT_DIR/.unfinished for --resume.
    """
    running = take_running(given)
    if (out_dir / TUNING).exists():
        raise UsageError(
            f"{out_dir}: holds what ssahc tune wrote, whose {CONFIG} would be lost; "
            "choose another folder"
        )
    given["xvector_dir"] = xvector_dir
    run = resolve(
        DiarizeConfig, given, config=config, preset=preset, displaces=CONFLICTS
    )
    warn_of_other_system(given, config)
    scores = SCORES if run.output.write_scores else ()

    def find_stale() -> tuple[str, ...]:
        earlier = read_earlier(out_dir, ("labels", "rttm", *scores), "diarize")
        return SCORES if earlier.get("write_scores") else ()

    # What is in the way is found out before anything is read.
    find_stale()
    faults = _run(out_dir, run, running, resume=resume, stale=find_stale)
    sys.exit(1 if faults else 0)


def _run(
    out_dir: Path,
    run: DiarizeConfig,
    running: RunningOptions,
    *,
    resume: bool,
    stale: Callable[[], Collection[str]],
) -> list[Fault]:
    """Diarize and write; return the recordings that could not be done."""
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    run = settle_system(run, inputs)
    folder = open_source(run.source)
    with_scores = run.output.write_scores
    read = [*find_inputs(run.source, run.files, run.tables), *folder.files]
    if inputs.plda_scores is not None:
        read += inputs.plda_scores.files
    scores = SCORES if with_scores else stale()
    for name in ("labels", "rttm", CONFIG, *scores):
        refuse_input(out_dir / name, read, "choose another folder")
    plan = Plan(run, folder.utterances, read, with_scores, partial(is_sound, folder))
    files = ("labels", "rttm", *SCORES)
    with open_unfinished(
        out_dir, plan, files, resume=resume, stale=stale
    ) as unfinished:
        faults = _diarize(folder, inputs, run, running, unfinished)
        _write(folder, run, unfinished)
    return faults


def settle_system(run: DiarizeConfig, inputs: Inputs) -> DiarizeConfig:
    """Return the options with what there is input for; tell what is odd.

    Raises
    ------
    UsageError
        If the system needs a PLDA, or resegmentation a model, and there is none.
    """
    has_scores = inputs.plda_scores is not None
    method = settle(run.method, inputs.model, has_scores=has_scores)
    if run.method.system is None and run.files.model_dir and method.system == "ssahc":
        _logger.info("system ssahc: %s holds no plda", run.files.model_dir)
    if has_scores and not uses_plda(method.system):
        _logger.warning("--system %s makes no use of --plda-scores", method.system)
    if inputs.model.metric is not None and method.system not in LEARNING:
        _logger.warning("--system %s makes no use of the trained metric", method.system)
    return replace(run, method=method)


def check_device(method: DiarizeOptions, running: RunningOptions) -> None:
    """Refuse a GPU that is not there: it must not be found out after an hour."""
    if method.device == "cuda" and running.dask is None:
        has_gpu(method.device)


def method_of_workers(
    method: DiarizeOptions, running: RunningOptions
) -> DiarizeOptions:
    """Return the options of workers; a cluster's have a memory limit of their own."""
    return method if running.dask is None else replace(method, max_memory=None)


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What is kept of a diarization."""

    labels: IntArray
    scores: Float32Array | None
    not_learned: str | None


@dataclass(frozen=True, eq=False)
class _Diarize:
    """The work on recordings, here or in another process; side by side on a GPU."""

    inputs: Inputs
    method: DiarizeOptions
    with_scores: bool

    def __call__(self, recordings: list[Recording]) -> list[_Outcome | Fault]:
        if len(recordings) > 1 and self.is_side_by_side():
            # If one of them fails, each is done by itself.
            with suppress(*FAILURES):
                together = self.inputs.diarize_batch(recordings, self.method)
                return [self._outcome(result) for result in together]
        return [self._diarize(recording) for recording in recordings]

    def is_side_by_side(self) -> bool:
        """Whether there is a GPU, and something for it to do.

        Matrices of all pairs are too large to have many of them.
        """
        has_matrices = self.with_scores or self.inputs.plda_scores is not None
        learns = self.method.system in LEARNING
        return learns and not has_matrices and has_gpu(self.method.device)

    def load(self, recording: Recording, num_processes: int) -> float:
        """Return the share of a recording in those that are worked on at once."""
        most = _MOST_RECORDINGS
        if self.is_side_by_side():
            most = _MOST_RECORDINGS_ON_GPU
        elif self.with_scores or num_processes == 1:
            # Nothing is gained by holding more.
            most = 1
        # What waits for other processes, and is on its way to them, is held here.
        room = self.method.max_bytes() / (4 * num_processes)
        held = recording.xvectors.nbytes / room
        return 1 / most + len(recording) / _MOST_WINDOWS + held

    def _diarize(self, recording: Recording) -> _Outcome | Fault:
        try:
            if self.with_scores:
                count = len(recording)
                what = f"the matrix of scores of {count} windows"
                check_room(_BYTES_A_SCORE * count**2, self.method.max_bytes(), what)
            return self._outcome(self.inputs.diarize(recording, self.method))
        except FAILURES as error:
            return as_fault(recording, error)

    def _outcome(self, result: Diarization) -> _Outcome:
        scores = result.affinity.dense() if self.with_scores else None
        first = result.learning[0] if result.learning else None
        not_learned = None if first is None or first.learned else first.stopped
        return _Outcome(result.labels, scores, not_learned)


def _diarize(
    folder: XvectorDir,
    inputs: Inputs,
    run: DiarizeConfig,
    running: RunningOptions,
    unfinished: Unfinished,
) -> list[Fault]:
    """Diarize the recordings that are not done; return those that cannot be."""
    names = folder.utterances.keys() | folder.unlisted.keys()
    done_before = len(unfinished.labels)
    waiting = folder.select(names - unfinished.labels.keys())
    if waiting.utterances:
        check_device(run.method, running)
    faults: list[Fault] = []
    not_learned: Counter[str] = Counter()
    method = method_of_workers(run.method, running)
    work = _Diarize(inputs, method, run.output.write_scores)
    # What GPUs a cluster's workers have is not known here.
    load: Load[Recording] | None = None
    if running.dask is None:
        load = partial(work.load, num_processes=running.nj)
    outcomes = work_each(
        read_recordings(waiting, max_bytes=run.method.max_bytes()),
        work,
        running,
        total=len(names) - done_before,
        load=load,
    )
    with closing(outcomes):
        for outcome in track(outcomes, len(names), "diarizing", done=done_before):
            if isinstance(outcome, Fault):
                faults.append(outcome)
                continue
            name, result = outcome
            unfinished.add(name, folder.utterances[name], result.labels, result.scores)
            if result.not_learned is not None:
                not_learned[result.not_learned.replace("_", " ")] += 1
            # A matrix of scores is not to be held beside the next recording's.
            del outcome, result
    print_faults(faults, len(names))
    if not unfinished.labels:
        raise nothing_done()
    for reason, count in not_learned.items():
        _logger.warning(
            "%d of %d recordings keep the network's start (%s); -v names them",
            count,
            len(names) - done_before - len(faults),
            reason,
        )
    return faults


def _write(folder: XvectorDir, run: DiarizeConfig, unfinished: Unfinished) -> None:
    """Write the results in spk2utt's order, in which Kaldi goes through them."""
    done = [name for name in folder.utterances if name in unfinished.labels]
    if run.output.write_scores:
        unfinished.write_scores(done)
    labels = {name: unfinished.labels[name] for name in done}
    labelled = (
        pair
        for name in done
        for pair in zip(folder.utterances[name], labels[name].tolist(), strict=True)
    )
    turns = _Turns(folder, labels)
    warn_of("without a turn, since all segments have no length", turns.without_length())
    write_results(unfinished.folder, labelled, turns, channel=run.rttm.rttm_channel)


@dataclass(frozen=True, eq=False)
class _Turns(Mapping[str, list[Turn]]):
    """The turns of recordings, made when they are asked for: a corpus has many."""

    folder: XvectorDir
    labels: Mapping[str, IntArray]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def without_length(self) -> Iterator[str]:
        """Yield the recordings that have no turn."""
        for name in self.labels:
            segments = (self.folder.segments[u] for u in self.folder.utterances[name])
            if all(segment.start == segment.end for segment in segments):
                yield name

    def __getitem__(self, name: str) -> list[Turn]:
        segments = [self.folder.segments[u] for u in self.folder.utterances[name]]
        spans = np.array([segment[1:] for segment in segments], np.float64)
        return make_turns(
            spans, [str(label + 1) for label in self.labels[name].tolist()]
        )
