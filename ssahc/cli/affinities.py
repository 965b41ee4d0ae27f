"""Affinities of a finished run, for its report: stored by the run, or recomputed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ssahc.backend.affinity import Affinity, ScoreMatrix
from ssahc.cli.diarize_config import DiarizeConfig
from ssahc.cli.inputs import open_inputs, open_source
from ssahc.cli.learned_model import LEARNED_MODEL
from ssahc.cli.runner import as_fault
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Fault, FloatArray
from ssahc.io.scores import open_scores, read_scores
from ssahc.io.text import times_of
from ssahc.io.xvectors import XvectorDir, find_segment_fault, read_recordings


@dataclass(frozen=True, eq=False)
class RecordingAffinity:
    """The affinity of a recording, and its (N, 2) windows in seconds."""

    id: str
    segments: FloatArray
    affinity: Affinity


def read_affinities(
    run: DiarizeConfig, out_dir: Path, names: Collection[str]
) -> Iterator[RecordingAffinity | Fault]:
    """Yield the affinities of recordings, in any order.

    They are read from scores.scp if the run wrote it, and else recomputed. A SsahcError
    is raised if files that all recordings need are missing.
    """
    if run.source.xvector_dir is None:
        raise UsageError("the run's config.toml does not name its x-vector folder")
    # The list of recordings is not needed, and may be gone.
    folder = open_source(replace(run.source, recordings=None))
    known = [name for name in names if name in folder.utterances]
    for name in names:
        if name not in folder.utterances:
            yield Fault(name, f"{folder.path}: has no such recording")
    scores = out_dir / "scores.scp"
    # Scores of another run may be left in the folder.
    if run.write_scores and scores.is_file():
        yield from _read_stored(folder, scores, known)
    elif known:
        yield from _recompute(run, out_dir, folder.select(known))


def _read_stored(
    folder: XvectorDir, scores: Path, names: Collection[str]
) -> Iterator[RecordingAffinity | Fault]:
    # As ssahc diarize writes them: rows are in the order of spk2utt.
    table = open_scores(scores, rows=folder.utterances)
    for name in names:
        utterances = folder.utterances[name]
        try:
            matrix = read_scores(table, name, utterances)
            for utterance in utterances:
                if fault := find_segment_fault(folder, name, utterance):
                    raise DataError(str(fault))
        except DataError as error:
            yield Fault(name, str(error))
            continue
        times = times_of(folder.segments, utterances)
        yield RecordingAffinity(name, times, ScoreMatrix(matrix))


def _recompute(
    run: DiarizeConfig, out_dir: Path, folder: XvectorDir
) -> Iterator[RecordingAffinity | Fault]:
    files = run.files
    if (out_dir / LEARNED_MODEL).is_dir():
        files = replace(files, model_dir=out_dir / LEARNED_MODEL)
    inputs = open_inputs(files, run.tables, run.method.speakers)
    # The memory limit of the run does not apply to plotting.
    method = replace(run.method, max_memory=None)
    for item in read_recordings(folder):
        if isinstance(item, Fault):
            yield item
            continue
        try:
            result = inputs.diarize(item, method)
            yield RecordingAffinity(item.id, result.segments, result.affinity)
        except (DataError, MemoryError) as error:
            yield as_fault(item, error)
