"""The options of ``ssahc tune`` that define the grid of values."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import floor, isfinite
from typing import Annotated, Any

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval, dashed, flag
from ssahc.io.files import to_number
from ssahc.pipeline.options import DiarizeOptions
from ssahc.pipeline.tune import Grid, Point, Sweep, check_grid

# Maximum number of values from start to stop.
_MAX_VALUES = 10_000
_DECIMALS = 10

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class GridOptions(Options, group="Tuning"):
    """Values to try; all combinations are.

    The default thresholds suit every kind of affinity: steps of 0.05 in the range of
    cosines, and larger steps beyond, where only log-likelihood ratios are. Thresholds
    cost almost nothing.

    Parameters
    ----------
    thresholds : str
        Values of --threshold, separated by commas; start:stop:step is a range. Not for
        known numbers of speakers.
    fusion_weights : str, optional
        Values of --fusion-weight, in the same format.
    init_thresholds : str, optional
        Values of --init-threshold.
    gammas : str, optional
        Values of --gamma.
    folds : int, optional
        Number of folds for cross-validation: score each fold with the values that are
        best for the others.
    """

    thresholds: str = "-50:-10:5,-5:-1:0.5,-1:1:0.05,1:5:0.5,10:50:5"
    fusion_weights: str | None = None
    init_thresholds: str | None = None
    gammas: str | None = None
    folds: Annotated[int | None, Interval(ge=2)] = None


# Options that can be swept, and the option that lists their values.
_SOURCES = {
    "init_threshold": "init_thresholds",
    "gamma": "gammas",
    "fusion_weight": "fusion_weights",
    "threshold": "thresholds",
}


def refuse_single_values(given: Mapping[str, Any]) -> None:
    """Raise a UsageError if an option is both set and swept on the command line."""
    for name, source in _SOURCES.items():
        if given.get(name) is not None and given[source] is not None:
            raise UsageError(
                f"{flag(name)} conflicts with {flag(source)}; leave it out"
            )


def make_grid(options: GridOptions, method: DiarizeOptions, *, known: bool) -> Grid:
    """Return the values of every swept option; `method` has all others.

    No threshold is used if the numbers of speakers are known. A UsageError is raised if
    there is nothing to sweep, or the options contradict each other.
    """
    texts = {name: getattr(options, source) for name, source in _SOURCES.items()}
    if known:
        if texts.pop("threshold") != GridOptions.thresholds:
            raise UsageError("--thresholds conflicts with known numbers of speakers")
        if not any(texts.values()):
            raise UsageError(
                "with known numbers of speakers there is no threshold to tune; give "
                "values by --fusion-weights, --gammas or --init-thresholds"
            )
    grid = {
        name: parse_numbers(flag(_SOURCES[name]), text)
        for name, text in texts.items()
        if text is not None
    }
    check_grid(grid, method)
    return grid


def warn_of_edges(sweep: Sweep, best: Point) -> None:
    """Warn of best values at an edge of the grid."""
    for place, (name, value) in enumerate(zip(sweep.names, best, strict=True)):
        tried = sweep.values(place)
        # Weights are between 0 and 1.
        if len(tried) == 1 or (name == "fusion_weight" and value in (0, 1)):
            continue
        if value in (min(tried), max(tried)):
            is_low = value == min(tried)
            edge, beyond = ("smallest", "smaller") if is_low else ("largest", "larger")
            _logger.warning(
                f"the best {dashed(name)}, {value:g}, is the {edge} in the grid; "
                f"{beyond} ones may be better: extend {flag(_SOURCES[name])}"
            )


def parse_numbers(flag: str, text: str) -> tuple[float, ...]:
    """Return the numbers of a list like ``-2,0:1:0.1``, sorted."""
    try:
        numbers = {number for part in text.split(",") for number in _expand(part)}
    except ValueError as error:
        raise UsageError(
            f"{flag}: expected numbers like 0.1,0.2 or start:stop:step, found {text!r}"
        ) from error
    return tuple(sorted(numbers))


def _expand(part: str) -> Iterator[float]:
    numbers = [to_number(number) for number in part.split(":")]
    if not all(map(isfinite, numbers)):
        raise ValueError("not finite")
    if len(numbers) == 1:
        yield numbers[0]
        return
    start, stop, step = numbers
    if not (step > 0 and start <= stop):
        raise ValueError("not a range")
    # The tolerance keeps the stop despite rounding.
    steps = (stop - start) / step + 1e-9
    if steps >= _MAX_VALUES:
        raise UsageError(f"{part}: more than {_MAX_VALUES} values; take larger steps")
    if step < 10**-_DECIMALS:
        raise UsageError(
            f"{part}: values have at most {_DECIMALS} decimals; take larger steps"
        )
    for index in range(floor(steps) + 1):
        # Remove rounding errors, and the sign of a negative zero.
        yield round(start + index * step, _DECIMALS) + 0.0
