"""``ssahc diarize``."""

import logging
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ssahc.cli.batch import CONFIG, RttmOptions, work_through, write_results
from ssahc.cli.inputs import (
    CONFLICTS,
    ModelFiles,
    Source,
    SpeakerTables,
    open_inputs,
    open_source,
)
from ssahc.cli.options import PATH, Verb, config_option, options_of, preset_option
from ssahc.config import read_config, resolve, write_config
from ssahc.errors import FormatError
from ssahc.io.ark import ArchiveWriter
from ssahc.io.files import staged_output
from ssahc.io.xvectors import read_recordings
from ssahc.pipeline import Diarization, DiarizeOptions, choose_system, uses_plda
from ssahc.types import Fault, Recording

_logger = logging.getLogger("ssahc")
_SCORES = ("scores.ark", "scores.scp")
_FILES = ("labels", "rttm", CONFIG, *_SCORES)


@dataclass(frozen=True)
class OutputOptions:
    """What is written beside rttm and labels.

    Parameters
    ----------
    write_scores : bool
        Also write scores.ark and scores.scp, which Kaldi's agglomerative-cluster reads.
    """

    write_scores: bool = False


@dataclass(frozen=True)
class Run:
    """All options of ``ssahc diarize``."""

    source: Source = field(default_factory=Source)
    files: ModelFiles = field(default_factory=ModelFiles)
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    output: OutputOptions = field(default_factory=OutputOptions)
    rttm: RttmOptions = field(default_factory=RttmOptions)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)


@click.command("diarize", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(Run, without={"xvector_dir"})
@preset_option
@config_option
def command(
    xvector_dir: Path,
    out_dir: Path,
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Diarize the recordings of XVECTOR_DIR and write OUT_DIR/rttm.

    XVECTOR_DIR is what Kaldi's extract_xvectors.sh leaves: xvector.scp, segments,
    utt2spk, spk2utt. OUT_DIR also gets labels and config.toml.

    The number of speakers comes from --reco2num-spk, else --num-speakers, else
    --threshold, else it is estimated, the last two within bounds if there are any.

    Exit status: 0 all recordings done; 1 some failed, the others are written; 2 wrong
    usage or nothing done, nothing is written.
    """
    given["xvector_dir"] = xvector_dir
    run = resolve(Run, given, config=config, preset=preset, displaces=CONFLICTS)
    with staged_output(out_dir, _FILES, stale=_stale_files(out_dir)) as folder:
        faults = _diarize(folder, run)
    sys.exit(1 if faults else 0)


def _stale_files(out_dir: Path) -> tuple[str, ...]:
    """Return the files of an earlier run that this one may not write anew."""
    try:
        earlier = read_config(out_dir / CONFIG, Run)
    except FormatError:
        # Not there, or not ours: nothing here is ours to remove.
        return ()
    return _SCORES if earlier.get("write_scores") else ()


def _diarize(out_dir: Path, run: Run) -> list[Fault]:
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    has_scores = inputs.plda_scores is not None
    system = choose_system(run.method.system, inputs.model, has_scores=has_scores)
    if run.method.system is None and run.files.model_dir and system == "ssahc":
        _logger.info("system ssahc: %s holds no plda", run.files.model_dir)
    if has_scores and not uses_plda(system):
        _logger.warning("--system %s makes no use of --plda-scores", system)
    run = replace(run, method=replace(run.method, system=system))
    if system.startswith("ssahc"):
        # A wish for a GPU that is not there must not be found out after an hour.
        from ssahc.nn.train import pick_device

        pick_device(run.method.device)
    folder = open_source(run.source)
    with ExitStack() as stack:
        scores = None
        if run.output.write_scores:
            writer = ArchiveWriter(out_dir / "scores.ark", out_dir / "scores.scp")
            scores = stack.enter_context(writer)

        def work(recording: Recording) -> Diarization:
            result = inputs.diarize(recording, run.method)
            if scores is not None:
                scores.write(recording.id, result.affinity.dense())
            return result

        done, faults = work_through(
            read_recordings(folder),
            work,
            total=len(folder.utterances.keys() | folder.unlisted.keys()),
            what="diarizing",
        )
    # spk2utt's order, in which Kaldi would have gone through them.
    results = [done[name] for name in folder.utterances if name in done]
    _log_learning(results)
    write_results(
        out_dir,
        [pair for result in results for pair in result.labelled_utterances],
        {result.recording_id: result.turns for result in results},
        channel=run.rttm.rttm_channel,
    )
    write_config(out_dir / CONFIG, run)
    return faults


def _log_learning(results: list[Diarization]) -> None:
    kept = Counter(
        result.learning[0].stopped.replace("_", " ")
        for result in results
        if result.learning and not result.learning[0].learned
    )
    for reason, count in kept.items():
        _logger.warning(
            "%d of %d recordings keep the network's start (%s); -v names them",
            count,
            len(results),
            reason,
        )
