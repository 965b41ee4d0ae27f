"""Calibration of the confidence in an RTTM, as ``ssahc score --calibration`` prints."""

import json
import logging
import sys
from math import isnan
from pathlib import Path

import click

from ssahc.cli.references import Hypothesis, References
from ssahc.cli.score_formats import describe_scoring
from ssahc.cli.tables import print_markdown, print_table
from ssahc.core.errors import DataError, UsageError
from ssahc.scoring.calibration import Calibration, calibrate, pool_calibrations
from ssahc.scoring.regions import ScoringOptions

_logger = logging.getLogger("ssahc")
_FORMATS = {"text": print_table, "markdown": print_markdown}


def calibrate_hypothesis(
    references: References, hypothesis: Hypothesis, options: ScoringOptions, path: Path
) -> Calibration:
    """Return the calibration of all recordings; DataError if no turn has confidence."""
    turns = references.rttm.turns
    unsure = [
        turn.end - turn.start
        for name in turns
        for turn in hypothesis.get(name, ())
        if turn.confidence is None
    ]
    if unsure:
        _logger.warning(
            f"{path}: {sum(unsure):.0f} s of turns have no confidence from 0 to 1 in "
            "their ninth field (left out)"
        )
    found = pool_calibrations(
        calibrate(
            turns[name],
            hypothesis[name],
            options,
            uem=references.uem_of(name),
            objects=references.objects_of(name),
        )
        for name in turns
        if name in hypothesis
    )
    if not len(found.confidence):
        raise DataError(
            f"{path}: no turn of a recording of the reference has a confidence from 0 "
            "to 1 in its ninth field; ssahc diarize --rttm-confidence writes it"
        )
    if not found.seconds.sum():
        raise DataError(f"{path}: no turn with a confidence is in scored speech")
    return found


def print_calibration(found: Calibration, options: ScoringOptions, form: str) -> None:
    """Print how confident and how right turns are, in all and by confidence."""
    if form == "json":
        values = {
            "collar": options.collar,
            "seconds": found.seconds.sum(),
            "accuracy": found.accuracy,
            "mean_confidence": found.mean_confidence,
            "calibration_error": found.error,
            "worst_tenth_holds": found.worst_holds,
            "bins": [one._asdict() for one in found.bins()],
        }
        json.dump(_without_nan(values), sys.stdout, indent=2)
        click.echo()
        return
    if form not in _FORMATS:
        raise UsageError(
            f"--calibration has no format {form}; use text, markdown or json"
        )
    rows = [
        (f"{one.low:.1f} to {one.high:.1f}", *_cells(*one[2:])) for one in found.bins()
    ]
    whole = _cells(found.seconds.sum(), found.mean_confidence, found.accuracy)
    header = ("confidence", "time\ns", "mean\n%", "right\n%")
    _FORMATS[form](header, [*rows, ("all", *whole)])
    click.echo(
        f"\nExpected {state_error(found)}.\n"
        f"Time with one speaker in both, {describe_scoring(options)}."
    )


def state_error(found: Calibration) -> str:
    """Return in words how far off confidence is, and what the least certain holds."""
    holds = "nothing is wrong"
    if not isnan(found.worst_holds):
        share = f"{100 * found.worst_holds:.0f} %"
        holds = f"the least certain tenth of the time holds {share} of what is wrong"
    return f"calibration error {100 * found.error:.1f} %; {holds}"


def _cells(seconds: float, confidence: float, right: float) -> tuple[str, str, str]:
    return f"{seconds:.2f}", f"{100 * confidence:.1f}", f"{100 * right:.1f}"


def _without_nan(values: dict[str, object]) -> dict[str, object]:
    return {name: None if one != one else one for name, one in values.items()}
