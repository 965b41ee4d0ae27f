"""``ssahc cluster``."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from ssahc.ahc import AhcOptions, agglomerative_cluster
from ssahc.cli.batch import (
    RESULT_FILES,
    SPEAKER_CONFLICTS,
    RttmOptions,
    SpeakerCounts,
    read_counts,
    report_faults,
    track,
    write_results,
)
from ssahc.cli.options import PATH, config_option, options_of
from ssahc.config import resolve, write_config
from ssahc.errors import DataError, FormatError
from ssahc.io.ark import Array, read_table
from ssahc.io.files import staged_output
from ssahc.io.text import Segment, read_segments, read_spk2utt
from ssahc.io.xvectors import Fault
from ssahc.pipeline import SpeakerOptions, warn_of_excess
from ssahc.turns import make_turns
from ssahc.types import IntArray, Turn

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class ScoreFileOptions:
    """Inputs beside scores and reco2utt.

    Parameters
    ----------
    reco2num_spk : Path, optional
        Kaldi's table of known numbers of speakers: "recording count" lines.
    read_costs : bool
        Scores are costs (smaller means more alike), and so is the threshold.
    segments : Path, optional
        Segments of the utterances; if given, OUT_DIR also gets an rttm.
    """

    reco2num_spk: Path | None = None
    read_costs: bool = False
    segments: Path | None = None


@dataclass(frozen=True)
class Run:
    """All options of ``ssahc cluster``."""

    files: ScoreFileOptions = field(default_factory=ScoreFileOptions)
    rttm: RttmOptions = field(default_factory=RttmOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    ahc: AhcOptions = field(default_factory=AhcOptions)


@click.command("cluster")
@click.argument("scores", type=PATH)
@click.argument("reco2utt", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(Run)
@config_option
def command(
    scores: Path, reco2utt: Path, out_dir: Path, config: Path | None, **given: Any
) -> None:
    """Cluster the matrices of SCORES and write OUT_DIR/labels.

    SCORES is an archive or an scp of one square matrix a recording, RECO2UTT lists each
    recording's utterances in the order of the matrix's rows. Labels are those of
    Kaldi's agglomerative-cluster with the options of the same names.
    """
    run = resolve(Run, given, config=config, displaces=SPEAKER_CONFLICTS)
    with staged_output(out_dir, RESULT_FILES) as folder:
        faults = _cluster(scores, reco2utt, folder, run)
    sys.exit(1 if faults else 0)


def _cluster(scores: Path, reco2utt: Path, out_dir: Path, run: Run) -> list[Fault]:
    counts = read_counts(run.files.reco2num_spk, run.speakers)
    utterances = read_spk2utt(reco2utt)
    segments = None if run.files.segments is None else read_segments(run.files.segments)
    done: dict[str, IntArray] = {}
    turns: dict[str, list[Turn]] = {}
    faults: list[Fault] = []
    for recording, matrix in track(
        _matrices(scores, utterances), len(utterances), "clustering"
    ):
        group = utterances[recording]
        try:
            if isinstance(matrix, FormatError):
                raise DataError(str(matrix))
            labels = _one(recording, matrix, group, counts, run)
            if segments is not None:
                turns[recording] = _turns(recording, segments, group, labels)
        except DataError as error:
            faults.append(Fault(recording, str(error)))
            continue
        done[recording] = labels
    report_faults(faults, len(utterances))
    if not done:
        raise DataError("no recording could be clustered; nothing is written")
    write_results(
        out_dir,
        [
            pair
            for recording, group in utterances.items()
            if recording in done
            for pair in zip(group, done[recording].tolist(), strict=True)
        ],
        None if segments is None else turns,
        channel=run.rttm.rttm_channel,
    )
    write_config(out_dir / "config.toml", run)
    return faults


def _matrices(
    scores: Path, utterances: dict[str, list[str]]
) -> Iterator[tuple[str, Array | FormatError]]:
    """Yield every recording's matrix, or why there is none."""
    missing = dict.fromkeys(utterances)
    fault = FormatError(
        "has no matrix for this recording; score it, or remove it from reco2utt",
        path=scores,
    )
    try:
        for recording, matrix in read_table(scores, "matrix"):
            if recording in missing:
                del missing[recording]
                yield recording, matrix
    except FormatError as error:
        # The rest of the archive is lost, what came before it is not.
        fault = error
        if not missing:
            _logger.warning("%s (after the last matrix that was needed)", error)
    for recording in missing:
        yield recording, fault


def _one(
    recording: str,
    matrix: Array,
    utterances: list[str],
    counts: SpeakerCounts,
    run: Run,
) -> IntArray:
    count = len(utterances)
    if matrix.shape != (count, count) or count == 0:
        raise DataError(
            f"the matrix is {matrix.shape[0]} x {matrix.shape[1]}, but reco2utt lists "
            f"{count} utterances; take both from one run"
        )
    if len(set(utterances)) < count:
        raise DataError("reco2utt lists an utterance twice; keep one")
    # A cost is a negative similarity, and so is a threshold on costs.
    sign = -1.0 if run.files.read_costs else 1.0
    stop = run.speakers.stop(counts.of(recording), sign=sign)
    warn_of_excess(recording, count, stop)
    return agglomerative_cluster(sign * matrix, stop, run.ahc)


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
    spans = np.array([segments[utterance][1:] for utterance in utterances], np.float64)
    return make_turns(spans, [str(label + 1) for label in labels.tolist()])
