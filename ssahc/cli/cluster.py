"""``ssahc cluster``."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from ssahc.ahc import AhcOptions, agglomerative_cluster
from ssahc.cli.batch import (
    check_counts,
    count_for,
    exit_status,
    report_faults,
    track,
    write_results,
)
from ssahc.cli.options import ANY_PATH, config_options, options_of
from ssahc.config import resolve, write_config
from ssahc.errors import DataError, FormatError
from ssahc.io.ark import Array, read_table
from ssahc.io.files import output_folder
from ssahc.io.text import Segment, read_reco2num_spk, read_segments, read_spk2utt
from ssahc.io.xvectors import Fault
from ssahc.pipeline import SpeakerOptions
from ssahc.turns import make_turns
from ssahc.types import IntArray, Turn


@dataclass(frozen=True)
class ScoreFileOptions:
    """Inputs and outputs beside scores and reco2utt.

    Parameters
    ----------
    reco2num_spk : Path, optional
        Kaldi's table of known numbers of speakers: "recording count" lines.
    read_costs : bool
        Scores are costs (smaller means more alike), and so is the threshold.
    segments : Path, optional
        Segments of the utterances; if given, OUT_DIR also gets an rttm.
    rttm_channel : str
        Channel field of the RTTM.
    """

    reco2num_spk: Path | None = None
    read_costs: bool = False
    segments: Path | None = None
    rttm_channel: str = "0"


@dataclass(frozen=True)
class Run:
    """All options of ``ssahc cluster``."""

    files: ScoreFileOptions = field(default_factory=ScoreFileOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    ahc: AhcOptions = field(default_factory=AhcOptions)


@click.command("cluster")
@click.argument("scores", type=ANY_PATH)
@click.argument("reco2utt", type=ANY_PATH)
@click.argument("out_dir", type=ANY_PATH)
@options_of(Run)
@config_options
def command(
    scores: Path,
    reco2utt: Path,
    out_dir: Path,
    preset: str | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Cluster the matrices of SCORES and write OUT_DIR/labels.

    SCORES is an archive or an scp of one square matrix a recording, RECO2UTT lists each
    recording's utterances in the order of the matrix's rows. Labels are those of
    Kaldi's agglomerative-cluster with the options of the same names.
    """
    run = resolve(Run, given, config=config, preset=preset)
    with output_folder(out_dir):
        sys.exit(_cluster(scores, reco2utt, out_dir, run))


def _cluster(scores: Path, reco2utt: Path, out_dir: Path, run: Run) -> int:
    counts = None
    if run.files.reco2num_spk is not None:
        check_counts(run.speakers)
        counts = read_reco2num_spk(run.files.reco2num_spk)
    utterances = read_spk2utt(reco2utt)
    segments = None if run.files.segments is None else read_segments(run.files.segments)
    done: dict[str, IntArray] = {}
    turns: dict[str, list[Turn]] = {}
    faults: list[Fault] = []
    for recording, matrix in track(
        _matrices(scores, reco2utt, utterances), len(utterances), "clustering"
    ):
        try:
            labels = _one(recording, matrix, utterances[recording], counts, run)
            if segments is not None:
                turns[recording] = _turns(segments, utterances[recording], labels)
        except DataError as error:
            faults.append(Fault(recording, str(error)))
            continue
        done[recording] = labels
    report_faults(faults, len(utterances))
    if not done:
        raise DataError("no recording could be clustered; nothing is written")
    write_results(
        out_dir,
        None if segments is None else turns,
        [
            pair
            for recording, group in utterances.items()
            if recording in done
            for pair in zip(group, done[recording].tolist(), strict=True)
        ],
        channel=run.files.rttm_channel,
    )
    write_config(out_dir / "config.toml", run)
    return exit_status(len(done), faults)


def _matrices(
    scores: Path, reco2utt: Path, utterances: dict[str, list[str]]
) -> Iterator[tuple[str, Array | FormatError]]:
    """Yield every recording's matrix, or why there is none."""
    missing = dict.fromkeys(utterances)
    for recording, matrix in read_table(scores, "matrix"):
        if recording in missing:
            del missing[recording]
            yield recording, matrix
    for recording in missing:
        yield (
            recording,
            FormatError(
                f"no matrix for this recording of {reco2utt}; score or remove it",
                path=scores,
                key=recording,
            ),
        )


def _one(
    recording: str,
    matrix: Array | FormatError,
    utterances: list[str],
    counts: dict[str, int] | None,
    run: Run,
) -> IntArray:
    if isinstance(matrix, FormatError):
        raise DataError(str(matrix))
    if matrix.shape != (len(utterances), len(utterances)) or not utterances:
        raise DataError(
            f"the matrix is {matrix.shape[0]} x {matrix.shape[1]}, but reco2utt lists "
            f"{len(utterances)} utterances; take both from one run"
        )
    known = count_for(recording, counts, run.files.reco2num_spk)
    # A cost is a negative similarity, and so is a threshold on costs.
    sign = -1.0 if run.files.read_costs else 1.0
    stop = run.speakers.stop(known, sign=sign)
    return agglomerative_cluster((sign * matrix).astype(np.float32), stop, run.ahc)


def _turns(
    segments: dict[str, Segment], utterances: list[str], labels: IntArray
) -> list[Turn]:
    missing = [utterance for utterance in utterances if utterance not in segments]
    if missing:
        raise DataError(f"no segment for utterance {missing[0]!r}; add its line")
    spans = np.array([segments[utterance][1:] for utterance in utterances], np.float64)
    return make_turns(spans, [str(label + 1) for label in labels.tolist()])
