"""``ssahc cluster``."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import click

from ssahc.cli.inputs import CONFLICTS, SpeakerTables, read_speakers
from ssahc.cli.journal import CONFIDENCE, POSTERIOR
from ssahc.cli.overwrite import read_earlier
from ssahc.cli.parsing import PATH, Verb, config_option, options_of, resolve
from ssahc.cli.runner import CONFIG, RttmOptions, work_through, write_results
from ssahc.clustering.ahc import AhcOptions, agglomerative_cluster
from ssahc.core.errors import DataError, FormatError
from ssahc.core.options import Options
from ssahc.core.turns import turns_of_labels
from ssahc.core.types import Fault, IntArray, Turn
from ssahc.io.ark import Array, index_table, read_entries
from ssahc.io.config import write_config
from ssahc.io.files import strip_rspecifier
from ssahc.io.folders import staged_output
from ssahc.io.text import Segment, read_segments, read_spk2utt, times_of
from ssahc.pipeline.log import warn_of_excess
from ssahc.pipeline.options import SpeakerOptions

_logger = logging.getLogger("ssahc")
# Moved in this order: config.toml marks the others as results of this verb.
_FILES = (CONFIG, "labels", "rttm")


@dataclass(frozen=True)
class ClusterConfig(Options, group="Input and output"):
    """All options of ``ssahc cluster``.

    Parameters
    ----------
    read_costs : bool
        Scores and threshold are costs: smaller means more similar.
    segments : Path, optional
        Segments of the utterances; with them, OUT_DIR also gets an rttm.
    tables : SpeakerTables
    rttm : RttmOptions
    speakers : SpeakerOptions
    ahc : AhcOptions
    """

    read_costs: bool = False
    segments: Path | None = None
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    rttm: RttmOptions = field(default_factory=RttmOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    ahc: AhcOptions = field(default_factory=AhcOptions)


class _Scores(NamedTuple):
    """The score matrix of a recording."""

    id: str
    matrix: Array


@click.command("cluster", cls=Verb)
@click.argument("scores", type=PATH)
@click.argument("reco2utt", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(ClusterConfig)
@config_option
def command(
    scores: Path, reco2utt: Path, out_dir: Path, config: Path | None, **given: Any
) -> None:
    """Cluster the matrices of SCORES and write OUT_DIR/labels.

    SCORES is an archive or scp with one square matrix per recording; RECO2UTT lists the
    utterances of each recording in the order of the rows. Labels equal those of Kaldi's
    agglomerative-cluster with the options of the same names.
    """
    run = resolve(ClusterConfig, given, config=config, displaces=CONFLICTS)
    names = ("labels",) if run.segments is None else ("labels", "rttm")

    def find_stale() -> tuple[str, ...]:
        earlier = read_earlier(out_dir, names, "cluster")
        # Of this verb or of diarize, whose scores stay: they may be SCORES.
        if "xvector_dir" in earlier:
            return "rttm", POSTERIOR, CONFIDENCE
        return ("rttm",) if "segments" in earlier else ()

    with staged_output(out_dir, _FILES, stale=find_stale) as folder:
        faults = _cluster(scores, reco2utt, folder, run)
    sys.exit(1 if faults else 0)


def _cluster(
    scores: Path, reco2utt: Path, out_dir: Path, run: ClusterConfig
) -> list[Fault]:
    speakers_of = read_speakers(run.tables, run.speakers)
    utterances = read_spk2utt(strip_rspecifier(reco2utt)[1])
    segments = None if run.segments is None else read_segments(run.segments)

    def work(item: _Scores) -> tuple[IntArray, list[Turn]]:
        group = utterances[item.id]
        labels = _label(item, group, speakers_of(item.id), run)
        turns = [] if segments is None else _turns(item.id, segments, group, labels)
        return labels, turns

    matrices = _read_scores(scores, utterances)
    done, faults = work_through(
        matrices, work, total=len(utterances), what="clustering"
    )
    rows = [
        pair
        for recording, group in utterances.items()
        if recording in done
        for pair in zip(group, done[recording][0].tolist(), strict=True)
    ]
    turns = None
    if segments is not None:
        turns = {recording: found for recording, (_, found) in done.items()}
    # First, since it refuses a channel that is not UTF-8.
    write_config(out_dir / CONFIG, run)
    write_results(out_dir, rows, turns, channel=run.rttm.rttm_channel)
    return faults


def _read_scores(
    scores: Path, utterances: dict[str, list[str]]
) -> Iterator[_Scores | Fault]:
    """Yield the matrix of every recording, or why it is missing."""
    entries, fault = index_table(scores, "matrix")
    wanted = [entry for recording, entry in entries.items() if recording in utterances]
    for recording, matrix in read_entries(wanted, "matrix"):
        if isinstance(matrix, FormatError):
            yield Fault(recording, str(matrix))
        else:
            yield _Scores(recording, matrix)
    # After a fault the rest of the archive is lost, but nothing before it.
    reason = fault or (
        f"{scores}: has no matrix for this recording; score it, or remove it from "
        "reco2utt"
    )
    missing = [recording for recording in utterances if recording not in entries]
    if fault is not None and not missing:
        _logger.warning("%s (after the last matrix that is used)", fault)
    for recording in missing:
        yield Fault(recording, str(reason))


def _label(
    scores: _Scores, utterances: list[str], speakers: SpeakerOptions, run: ClusterConfig
) -> IntArray:
    count = len(utterances)
    if count == 0:
        raise DataError("reco2utt lists no utterances for it; remove its line")
    if scores.matrix.size == 0:
        raise DataError("its matrix is empty; score it, or remove it from reco2utt")
    if scores.matrix.shape != (count, count):
        raise DataError(
            f"the matrix is {' x '.join(map(str, scores.matrix.shape))}, but reco2utt "
            f"lists {count} utterances; take both from one run"
        )
    if len(set(utterances)) < count:
        raise DataError("reco2utt lists an utterance twice; keep one")
    # Costs, and thresholds on them, are negative similarities.
    sign = -1.0 if run.read_costs else 1.0
    stop = speakers.stop(sign=sign)
    warn_of_excess(scores.id, count, stop)
    return agglomerative_cluster(sign * scores.matrix, stop, run.ahc)


def _turns(
    recording: str,
    segments: dict[str, Segment],
    utterances: list[str],
    labels: IntArray,
) -> list[Turn]:
    for utterance in utterances:
        segment = segments.get(utterance)
        if segment is None or segment.recording != recording:
            raise DataError(
                f"--segments has no segment of utterance {utterance!r} in this "
                "recording; give the file that belongs to reco2utt"
            )
    return turns_of_labels(times_of(segments, utterances), labels)
