"""``ssahc diarize``."""

import logging
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ssahc.cli.batch import (
    CONFIG,
    SPEAKER_CONFLICTS,
    RttmOptions,
    SpeakerTables,
    read_speakers,
    work_through,
    write_results,
)
from ssahc.cli.options import PATH, Verb, config_option, options_of, preset_option
from ssahc.config import read_config, resolve, write_config
from ssahc.errors import FormatError, UsageError
from ssahc.io.ark import ArchiveWriter
from ssahc.io.files import staged_output
from ssahc.io.model import read_model, read_model_dir
from ssahc.io.scores import open_scores, read_scores
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.pipeline import (
    Diarization,
    DiarizeOptions,
    choose_system,
    diarize_recording,
)
from ssahc.types import Fault, Model, Recording

_logger = logging.getLogger("ssahc")
_SCORES = ("scores.ark", "scores.scp")
_FILES = ("labels", "rttm", CONFIG, *_SCORES)


@dataclass(frozen=True)
class FileOptions:
    """The files of a run beside x-vectors and output.

    Parameters
    ----------
    model_dir : Path, optional
        Folder with mean.vec, transform.mat and (for PLDA) plda.
    mean : Path, optional
        Global mean instead of that of the model folder.
    transform : Path, optional
        Whitening transform instead of that of the model folder.
    plda : Path, optional
        PLDA instead of that of the model folder.
    plda_scores : Path, optional
        Archive or scp of Kaldi score matrices that take the place of a PLDA model.
    write_scores : bool
        Also write scores.ark and scores.scp, which Kaldi's agglomerative-cluster reads.
    """

    model_dir: Path | None = None
    mean: Path | None = None
    transform: Path | None = None
    plda: Path | None = None
    plda_scores: Path | None = None
    write_scores: bool = False

    def __post_init__(self) -> None:
        if self.plda is not None and self.plda_scores is not None:
            raise UsageError(
                "--plda-scores takes the place of a PLDA model; leave out --plda"
            )


@dataclass(frozen=True)
class Run:
    """All options of ``ssahc diarize``."""

    files: FileOptions = field(default_factory=FileOptions)
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    rttm: RttmOptions = field(default_factory=RttmOptions)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)


@click.command("diarize", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(Run)
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
    run = resolve(Run, given, config=config, preset=preset, displaces=SPEAKER_CONFLICTS)
    with staged_output(out_dir, _FILES, stale=_stale_files(out_dir)) as folder:
        faults = _diarize(xvector_dir, folder, run)
    sys.exit(1 if faults else 0)


def _stale_files(out_dir: Path) -> tuple[str, ...]:
    """Return the files of an earlier run that this one may not write anew."""
    try:
        earlier = read_config(out_dir / CONFIG, Run)
    except FormatError:
        # Not there, or not ours: nothing here is ours to remove.
        return ()
    return _SCORES if earlier.get("write_scores") else ()


def _diarize(xvector_dir: Path, out_dir: Path, run: Run) -> list[Fault]:
    model = load_model(run.files)
    path = run.files.plda_scores
    system = choose_system(run.method.system, model, has_scores=path is not None)
    if run.method.system is None and run.files.model_dir and system == "ssahc":
        _logger.info("system ssahc: %s holds no plda", run.files.model_dir)
    if path is not None and not system.endswith("plda"):
        _logger.warning("--system %s makes no use of --plda-scores", system)
    run = replace(run, method=replace(run.method, system=system))
    if system.startswith("ssahc"):
        # A wish for a GPU that is not there must not be found out after an hour.
        from ssahc.nn.train import pick_device

        pick_device(run.method.device)
    speakers_of = read_speakers(run.tables, run.method.speakers)
    plda_scores = None if path is None else open_scores(path)
    folder = open_xvector_dir(xvector_dir)
    with ExitStack() as stack:
        scores = None
        if run.files.write_scores:
            writer = ArchiveWriter(out_dir / "scores.ark", out_dir / "scores.scp")
            scores = stack.enter_context(writer)

        def work(recording: Recording) -> Diarization:
            options = replace(run.method, speakers=speakers_of(recording.id))
            given = (
                None
                if plda_scores is None
                else read_scores(plda_scores, recording.id, recording.utterances)
            )
            result = diarize_recording(recording, model, options, plda_scores=given)
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


def load_model(options: FileOptions) -> Model:
    """Read the model that the options name; single files win over the folder's."""
    single = {
        "mean": options.mean,
        "transform": options.transform,
        "plda": options.plda,
    }
    if options.model_dir is None:
        return read_model(**single)
    return read_model_dir(options.model_dir, **single)


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
