"""Affinities of recordings after their run: as it stored them, or computed again."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssahc.backend.affinity import Affinity, ScoreMatrix
from ssahc.cli.diarize import DiarizeConfig
from ssahc.cli.inputs import open_inputs, open_source
from ssahc.cli.runner import as_fault
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Fault, FloatArray
from ssahc.io.scores import open_scores, read_scores
from ssahc.io.xvectors import XvectorDir, find_segment_fault, read_recordings


@dataclass(frozen=True, eq=False)
class Clustered:
    """What was clustered of a recording.

    Parameters
    ----------
    id : str
        Recording id.
    segments : (N, 2) array
        Start and end of every window, in seconds.
    affinity : Affinity
    """

    id: str
    segments: FloatArray
    affinity: Affinity


def read_affinities(
    run: DiarizeConfig, out_dir: Path, names: Collection[str]
) -> Iterator[Clustered | Fault]:
    """Yield the affinity of each recording that is named, in any order.

    They are read from the run's scores.scp if it wrote one, else computed again from
    the run's x-vectors. Both need the tables of the run's x-vector folder.

    Raises
    ------
    SsahcError
        If what all recordings need is not there any more.
    """
    if run.source.xvector_dir is None:
        raise UsageError("the run's config.toml does not name its x-vector folder")
    # The list of recordings may be gone; what is wanted is known.
    folder = open_source(replace(run.source, recordings=None))
    known = [name for name in names if name in folder.utterances]
    for name in names:
        if name not in folder.utterances:
            yield Fault(name, f"{folder.path}: has no such recording")
    scores = out_dir / "scores.scp"
    # Those of another run may have stayed in the folder.
    if run.output.write_scores and scores.is_file():
        yield from _read_stored(folder, scores, known)
    elif known:
        yield from _compute(run, folder.select(known))


def _read_stored(
    folder: XvectorDir, scores: Path, names: Collection[str]
) -> Iterator[Clustered | Fault]:
    # As ssahc diarize wrote them: rows are in the order of spk2utt.
    table = open_scores(scores, rows=folder.utterances)
    for name in names:
        utterances = folder.utterances[name]
        try:
            matrix = read_scores(table, name, utterances)
            for utterance in utterances:
                if fault := find_segment_fault(folder, name, utterance):
                    raise DataError(str(fault))
            spans = [folder.segments[utterance][1:] for utterance in utterances]
            yield Clustered(name, np.array(spans, np.float64), ScoreMatrix(matrix))
        except DataError as error:
            yield Fault(name, str(error))


def _compute(run: DiarizeConfig, folder: XvectorDir) -> Iterator[Clustered | Fault]:
    inputs = open_inputs(run.files, run.tables, run.method.speakers)
    # What the run was allowed is nothing to those who draw.
    method = replace(run.method, max_memory=None)
    for item in read_recordings(folder):
        if isinstance(item, Fault):
            yield item
            continue
        try:
            result = inputs.diarize(item, method)
            yield Clustered(item.id, result.segments, result.affinity)
        except (DataError, MemoryError) as error:
            yield as_fault(item, error)
