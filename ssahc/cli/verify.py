"""``ssahc verify``."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isinf
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import click
import numpy as np

from ssahc.backend.trials import embed, score_trials
from ssahc.cli.inputs import ModelFiles, find_inputs, load_model
from ssahc.cli.parsing import PATH, Verb, options_of, resolve
from ssahc.cli.runner import print_errors
from ssahc.cli.tables import print_table
from ssahc.cli.verify_enrolled import INPUTS, find_models, score_enrolled
from ssahc.core.errors import DataError, FormatError, UsageError, counted
from ssahc.core.options import Options, flatten
from ssahc.core.types import FloatArray, IntArray
from ssahc.core.validation import Interval, flag
from ssahc.io.files import check_output
from ssahc.io.labelled import Xvectors, read_xvectors
from ssahc.io.scp import find_archives
from ssahc.io.text import read_spk2utt
from ssahc.io.trials import Trials, read_trial_scores, read_trials, write_trial_scores
from ssahc.io.xvectors import SCP
from ssahc.scoring.detection import (
    ErrorCounts,
    Verification,
    VerificationOptions,
    count_errors,
    verify,
)

_logger = logging.getLogger("ssahc")
_READY = "ready-made"
# Smaller thresholds are printed with an exponent.
_SMALL = 0.01


@dataclass(frozen=True)
class TrialScoringOptions(Options, group="Input and output"):
    """How trials are scored.

    Parameters
    ----------
    scoring : {"cosine", "plda", "enroll"}, optional
        Cosine of embeddings by a network of ssahc train-metric, or of whitened
        x-vectors; PLDA log-likelihood ratio as by ivector-plda-scoring; or the score by
        which ssahc diarize --enroll gives names. Default: plda if the model has a PLDA
        and no network, else cosine.
    enroll_spk2utt : Path, optional
        Kaldi's table of the utterances of each enrolled speaker, whose x-vector is
        their mean; the first field of TRIALS is then a speaker, otherwise an utterance.
    enroll_dir : Path, optional
        X-vector folder of the enrolled utterances; only its xvector.scp is read, and
        with --scoring enroll, its segments and without --enroll-spk2utt its utt2spk.
        Default: that of the test utterances.
    write_scores : Path, optional
        Write scores to this file: "enrolled test score" lines.
    """

    scoring: Literal["cosine", "plda", "enroll"] | None = None
    enroll_spk2utt: Path | None = None
    enroll_dir: Path | None = None
    write_scores: Path | None = None


@dataclass(frozen=True)
class DecisionOptions(Options, group="Scoring"):
    """At which score errors are counted.

    Parameters
    ----------
    threshold : float, optional
        Also count misses and false alarms if trials with this score or more are
        accepted. Default: with --scoring enroll, that of ssahc diarize --enroll.
    """

    threshold: Annotated[float | None, Interval()] = None


@dataclass(frozen=True)
class VerifyConfig:
    """All options of ``ssahc verify``."""

    model: ModelFiles = field(default_factory=ModelFiles)
    scoring: TrialScoringOptions = field(default_factory=TrialScoringOptions)
    costs: VerificationOptions = field(default_factory=VerificationOptions)
    decision: DecisionOptions = field(default_factory=DecisionOptions)


@click.command("verify", cls=Verb)
@click.argument("source", type=PATH)
@click.argument("trials", type=PATH)
@options_of(VerifyConfig, without={"plda_scores"})
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Output format. In json, eer and min_dcf are fractions, 0 to 1, and "
    "eer_percent is the EER of the table.  [default: text]",
)
def command(source: Path, trials: Path, form: str, **given: Any) -> None:
    """Print equal error rate and minimum detection cost of a list of trials.

    SOURCE is an x-vector folder, of which only xvector.scp is read, or a file of
    scores: "enrolled test score" lines in any order. With --scoring enroll it may be a
    folder of ssahc diarize --write-speakers as well, whose speakers are called
    RECORDING-SPEAKER. TRIALS has lines "enrolled test target|nontarget"; with
    --write-scores the third field may be missing, and trials are only scored. The lists
    and scores of VoxCeleb, SITW and NIST are read as well.

    Exit status: 0 if all trials were scored; 1 if some lack an x-vector or a score
    (each is named, and the rates are those of the others); 2 on wrong usage or if no
    trial could be scored.
    """
    run = resolve(VerifyConfig, given)
    write_scores = run.scoring.write_scores
    if write_scores is not None:
        check_output(write_scores, _find_inputs(source, trials, run))
    listed = read_trials(trials, need_targets=write_scores is None)
    if run.decision.threshold is not None and listed.is_target is None:
        raise UsageError(
            f"--threshold counts errors, and {trials} does not say which trials are "
            "targets; leave it out"
        )
    scoring, scores, errors, default = _score(source, listed, run)
    threshold = default if run.decision.threshold is None else run.decision.threshold
    print_errors(errors)
    is_scored = ~np.isnan(scores)
    if not is_scored.any():
        raise DataError(f"{trials}: none of {len(listed)} trials could be scored")
    found = counts = None
    if listed.is_target is not None:
        targets, nontargets = (
            scores[is_scored & (listed.is_target == kind)] for kind in (True, False)
        )
        found = verify(targets, nontargets, run.costs)
        if threshold is not None:
            counts = count_errors(targets, nontargets, threshold)
    if write_scores is not None:
        write_trial_scores(write_scores, listed, scores)
        _logger.info("scored %d of %d trials", is_scored.sum(), len(listed))
    if found is not None:
        printer = _print_json if form == "json" else _print_text
        printer(scoring, found, counts, run.costs)
    sys.exit(1 if errors else 0)


def _find_inputs(source: Path, trials: Path, run: VerifyConfig) -> Iterator[Path]:
    """Yield the files that are read."""
    yield trials
    yield from find_inputs(run.model)
    if run.scoring.enroll_spk2utt is not None:
        yield run.scoring.enroll_spk2utt
    if source.is_dir():
        for kept in find_models(source):
            yield from find_inputs(kept)
    for path in (source, run.scoring.enroll_dir):
        if path is not None and path.is_dir():
            yield from (path / name for name in INPUTS if (path / name).exists())
            if (path / SCP).exists():
                yield from find_archives(path / SCP)
        elif path is not None:
            yield path


def _refuse_scoring(source: Path, run: VerifyConfig) -> None:
    """Raise a UsageError if scoring options are given for a file of scores."""
    given = flatten(run.model) | flatten(run.scoring)
    if given:
        flags = " and ".join(map(flag, given))
        raise UsageError(
            f"{source}: is not a folder of x-vectors, and a file of scores needs no "
            f"{flags}; give the folder or leave out these options"
        )


def _name_unscored(source: Path, trials: Trials, scores: FloatArray) -> Iterator[str]:
    for row in np.flatnonzero(np.isnan(scores)).tolist():
        first, second = trials.names(row)
        yield f"{source}: has no score of {first!r} and {second!r}"


class _Scored(NamedTuple):
    """Scores of trials, NaN if missing, and what is missing; perhaps a threshold."""

    scoring: str
    scores: FloatArray
    errors: Sequence[FormatError | str]
    threshold: float | None = None


def _score(source: Path, trials: Trials, run: VerifyConfig) -> _Scored:
    if not source.is_dir():
        _refuse_scoring(source, run)
        scores = read_trial_scores(source, trials)
        return _Scored(_READY, scores, list(_name_unscored(source, trials, scores)))
    if run.scoring.scoring == "enroll":
        return _score_enrolled(source, trials, run)
    return _score_vectors(source, trials, run)


def _score_vectors(folder: Path, trials: Trials, run: VerifyConfig) -> _Scored:
    """Score single x-vectors by cosine or PLDA."""
    model, options = load_model(run.model), run.scoring
    has_only_plda = model.plda is not None and model.metric is None
    scoring = options.scoring or ("plda" if has_only_plda else "cosine")
    plda = None
    if scoring == "plda":
        if model.plda is None:
            raise UsageError(
                "--scoring plda needs a PLDA; give --model-dir or --plda, or score by "
                "cosine"
            )
        model, plda = replace(model, metric=None), model.plda
    tests = read_xvectors(folder)
    source = tests if options.enroll_dir is None else read_xvectors(options.enroll_dir)
    if model.mean is None:
        model = replace(model, mean=_common_mean(tests, source))
    enrolled = _enroll(source, trials.enrolled, options.enroll_spk2utt)
    row_of = {utterance: row for row, utterance in enumerate(tests.utterances)}
    test_rows = np.array([row_of.get(name, -1) for name in trials.tests])
    first, second = enrolled.rows[trials.pairs[:, 0]], test_rows[trials.pairs[:, 1]]
    errors: list[FormatError | str] = [*tests.faults, *source.faults]
    errors += _name_missing(enrolled.kind, trials.enrolled, trials.pairs[:, 0], first)
    errors += _name_missing("test utterance", trials.tests, trials.pairs[:, 1], second)
    is_scored = (first >= 0) & (second >= 0)
    scores = np.full(len(trials), np.nan)
    scores[is_scored] = score_trials(
        embed(enrolled.xvectors, model),
        enrolled.counts,
        embed(tests.xvectors, model),
        np.column_stack([first, second])[is_scored],
        plda,
    )
    return _Scored(scoring, scores, errors)


def _score_enrolled(folder: Path, trials: Trials, run: VerifyConfig) -> _Scored:
    """Score as ssahc diarize --enroll does."""
    options = run.scoring
    found = score_enrolled(
        folder, trials, run.model, options.enroll_dir, options.enroll_spk2utt
    )
    errors = list(found.faults)
    for place, (kind, names) in enumerate(
        (("enrolled", trials.enrolled), (found.kind, trials.tests))
    ):
        members, rows = trials.pairs[:, place], found.rows[:, place]
        errors += _name_missing(kind, names, members, rows)
    return _Scored("enroll", found.scores, errors, found.threshold)


def _common_mean(tests: Xvectors, source: Xvectors) -> FloatArray:
    """Return the mean of all x-vectors, test and enrolled."""
    folders = [tests.xvectors] if source is tests else [tests.xvectors, source.xvectors]
    dims = [str(xvectors.shape[1]) for xvectors in folders]
    if len(set(dims)) > 1:
        raise DataError(
            f"test and enrolled x-vectors have {' and '.join(dims)} dimensions; "
            "extract both with one network"
        )
    mean: FloatArray = np.concatenate(folders).mean(axis=0)
    return mean


@dataclass(frozen=True, eq=False)
class _Enrolled:
    """X-vectors of enrolled utterances, or means over the utterances of speakers."""

    # What the enrolled names of the trials are, for messages.
    kind: str
    # Row of each such name in what follows, -1 if missing.
    rows: IntArray
    xvectors: FloatArray
    # Number of x-vectors in each mean.
    counts: IntArray


def _enroll(source: Xvectors, names: Sequence[str], spk2utt: Path | None) -> _Enrolled:
    if spk2utt is None:
        kind, utterances_of = "enrolled utterance", {name: [name] for name in names}
    else:
        kind, utterances_of = f"speaker of {spk2utt}", read_spk2utt(spk2utt)
    means: list[FloatArray] = []
    counts_of, rows_of, unmatched = [], [], []
    row_of = {utterance: row for row, utterance in enumerate(source.utterances)}
    for name in names:
        listed = utterances_of.get(name, [])
        found = [row_of[utterance] for utterance in listed if utterance in row_of]
        unmatched += [utterance for utterance in listed if utterance not in row_of]
        rows_of.append(len(means) if found else -1)
        if found:
            means.append(source.xvectors[found].mean(axis=0))
            counts_of.append(len(found))
    if spk2utt is not None and unmatched:
        _logger.warning(
            f"{spk2utt}: left out of the speakers' means: "
            f"{counted(len(unmatched), 'utterance')} without an x-vector, the "
            f"first of them {unmatched[0]!r}"
        )
    return _Enrolled(
        kind,
        np.array(rows_of),
        np.array(means).reshape(-1, source.xvectors.shape[1]),
        np.array(counts_of, np.int64),
    )


def _name_missing(
    kind: str, names: Sequence[str], members: IntArray, rows: IntArray
) -> Iterator[str]:
    """Name what has no x-vector, and the number of trials left out."""
    counts = np.bincount(members[rows < 0], minlength=len(names))
    for name, count in zip(names, counts.tolist(), strict=True):
        if count:
            trials = "1 trial is" if count == 1 else f"{count} trials are"
            yield f"{kind} {name!r}: has no x-vector; {trials} left out"


def _print_text(
    scoring: str,
    found: Verification,
    counts: ErrorCounts | None,
    costs: VerificationOptions,
) -> None:
    cells = {
        "scoring": scoring,
        "trials": str(found.num_target + found.num_nontarget),
        "targets": str(found.num_target),
        "nontargets": str(found.num_nontarget),
        "EER\n%": f"{100 * found.eer:.2f}",
        "EER\nthreshold": _digits(found.eer_threshold),
        "minDCF": f"{found.min_dcf:.4f}",
        "minDCF\nthreshold": _digits(found.min_dcf_threshold),
    }
    print_table(tuple(cells), [tuple(cells.values())])
    click.echo(
        "\nTrials with a score at or above the threshold are accepted.\n"
        f"minDCF: p-target {costs.p_target:g}, c-miss {costs.c_miss:g}, "
        f"c-fa {costs.c_fa:g}; 1 is the cost without scores."
    )
    if counts is not None:
        misses = 100 * counts.misses / found.num_target
        alarms = 100 * counts.false_alarms / found.num_nontarget
        click.echo(
            f"At {_digits(counts.threshold)}, {counts.misses} of {found.num_target} "
            f"targets are missed ({misses:.2f} %), and {counts.false_alarms} of "
            f"{found.num_nontarget} nontargets accepted ({alarms:.2f} %)."
        )


def _digits(threshold: float) -> str:
    """Return a threshold with four significant digits, however small it is."""
    return f"{threshold:{'.4g' if 0 < abs(threshold) < _SMALL else '.4f'}}"


def _print_json(
    scoring: str,
    found: Verification,
    counts: ErrorCounts | None,
    costs: VerificationOptions,
) -> None:
    values: Mapping[str, float] = asdict(found)
    # JSON has no infinity, the threshold that rejects all.
    if counts is not None:
        values = {**values, **asdict(counts)}
    finite = {name: None if isinf(value) else value for name, value in values.items()}
    finite["eer_percent"] = 100 * found.eer
    document = {"scoring": scoring, **asdict(costs), **finite}
    json.dump(document, sys.stdout, indent=2)
    click.echo()
