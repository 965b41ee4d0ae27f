"""The result of a sweep as a file, on the terminal, and as a figure."""

import csv
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from math import inf, prod
from pathlib import Path

import click

from ssahc.cli.runner import CONFIG
from ssahc.cli.tables import print_table
from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import LARGEST
from ssahc.core.validation import dashed
from ssahc.io.config import read_toml
from ssahc.io.files import BLANKS, atomic_write, read_lines
from ssahc.io.text import parse_number
from ssahc.pipeline.tune import Fold, Point, Sweep
from ssahc.report.rates import save_curves, save_sweep
from ssahc.scoring.der import Score

_SECONDS = ("scored", "missed", "false_alarm", "confusion")
# The columns of a table after those of the options.
SCORE_COLUMNS = ("der", *_SECONDS)
_BARS = ("init_threshold", "gamma")
# Longer tables are printed in part: some rows around the best.
_MAX_ROWS = 30
_NEIGHBOURS = 5
# Units of thresholds by system.
_UNITS = {
    "cosine": "cosine",
    "ssahc": "cosine",
    "plda": "log-likelihood ratio",
    "ssahc+plda": "fused affinity",
}
_ANY_UNIT = "unit of the affinity"


# ---- files -------------------------------------------------------------------------


def write_sweep(path: Path, sweep: Sweep) -> None:
    """Write a row for every point: its values, DER in percent, and seconds."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*sweep.names, *SCORE_COLUMNS))
        for point, score in sweep.scores.items():
            seconds = (f"{getattr(score, name):.6f}" for name in _SECONDS)
            writer.writerow((*point, f"{score.der:.4f}", *seconds))


def read_sweep(path: Path) -> Sweep:
    """Read a table of `write_sweep`."""
    lines = read_lines(path)
    header = next(lines, (1, ""))[1].split(",")
    names = tuple(header[: -len(SCORE_COLUMNS)])
    is_sweep = all(map(str.isidentifier, names)) and len(set(names)) == len(names) > 0
    if not is_sweep or tuple(header[len(names) :]) != SCORE_COLUMNS:
        raise FormatError(
            "expected a table of ssahc tune: columns of options, then "
            f"{', '.join(SCORE_COLUMNS)}",
            path=path,
            line=1,
        )
    scores: dict[Point, Score] = {}
    for number, line in lines:
        fault = partial(FormatError, path=path, line=number)
        fields = line.split(",")
        if len(fields) != len(header):
            raise fault(f"expected {len(header)} numbers, found {len(fields)}")
        try:
            values = [
                parse_number(field.strip(BLANKS), name)
                for name, field in zip(header, fields, strict=True)
            ]
        except ValueError as error:
            raise fault(str(error)) from error
        point = tuple(values[: len(names)])
        seconds = scored, missed, false_alarm, confusion = values[-len(_SECONDS) :]
        score = Score(scored, missed, false_alarm, confusion)
        is_score = scored > 0 and min(seconds) >= 0
        if not is_score or max(score.der, *map(abs, values)) > LARGEST:
            raise fault(
                "expected scored seconds, none below 0, and numbers and a DER within "
                f"{LARGEST:g}, found {line.strip()[:80]!r}; tune again"
            )
        if point in scores:
            raise fault("repeats the values of an earlier row; tune again")
        scores[point] = score
    sweep = Sweep(names, scores)
    expected = prod(len(sweep.values(place)) for place in range(len(names)))
    if not scores or len(scores) < expected:
        raise FormatError(
            f"expected a row for each of {expected or 'the'} combinations of values, "
            f"found {len(scores)} rows; tune again",
            path=path,
        )
    return sweep


def write_folds(path: Path, names: Sequence[str], folds: Sequence[Fold]) -> None:
    """Write a row for every recording: its fold, and the result of that fold."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("recording", "fold", *names, "der_of_others", "der_held_out"))
        for number, fold in enumerate(folds, start=1):
            rates = [f"{score.der:.4f}" for score in (fold.tuned, fold.held_out)]
            writer.writerows(
                (name, number, *fold.point, *rates) for name in fold.recordings
            )


# ---- the terminal ------------------------------------------------------------------


def print_sweep(sweep: Sweep, best: Point) -> None:
    """Print the table; of a long one, rows around the best."""
    shown = list(sweep.scores)
    title = "DER %"
    if len(shown) > _MAX_ROWS:
        shown = _rows_around(best, sweep)
        title += f", {len(shown)} of {len(sweep.scores)} rows, around the best"
    rows = []
    for point in shown:
        mark = "best" if point == best else ""
        rows.append((*map(_short, point), f"{sweep.scores[point].der:.2f}", mark))
    print_table((*map(dashed, sweep.names), "DER", ""), rows, title=title)


def _short(value: float) -> str:
    return f"{value:g}"


def _rows_around(best: Point, sweep: Sweep) -> list[Point]:
    """Return neighbours of the best row in the last option, and other good rows.

    These are the best row of every combination of the other options, up to a number.
    """
    values = sweep.values(len(best) - 1)
    place = values.index(best[-1])
    near = values[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS + 1]
    combinations: dict[Point, dict[Point, Score]] = {}
    for point, score in sweep.scores.items():
        combinations.setdefault(point[:-1], {})[point] = score
    lowest = [Sweep(sweep.names, part).best() for part in combinations.values()]
    lowest.sort(key=lambda point: sweep.scores[point].der)
    shown = {(*best[:-1], value) for value in near} | set(lowest[:_MAX_ROWS])
    return [point for point in sweep.scores if point in shown]


def print_folds(names: Sequence[str], folds: Sequence[Fold]) -> None:
    """Print a row for every fold, and the pooled error rate."""
    rates = ("DER of the others", "DER held out")
    header = ("fold", "recordings", *map(dashed, names), *rates)
    rows = []
    for number, fold in enumerate(folds, start=1):
        counts = str(number), str(len(fold.recordings))
        ders = f"{fold.tuned.der:.2f}", f"{fold.held_out.der:.2f}"
        rows.append((*counts, *map(_short, fold.point), *ders))
    title = "Each fold, with the values that are best for all others"
    print_table(header, rows, title=title)
    pooled = sum((fold.held_out for fold in folds), Score())
    click.echo(f"all recordings, held out: DER {pooled.der:.2f} %")


# ---- figures -----------------------------------------------------------------------


def draw_sweep(path: Path, sweep: Sweep, settings: Mapping[str, object]) -> None:
    """Draw bars if both options of the paper's Figure 4 were swept, else curves.

    Settings are the options of the run, which decide the unit of a threshold.
    """
    if set(_BARS) <= set(sweep.names):
        draw_bars(path, sweep)
    else:
        draw_curves(path, {"": sweep}, {_unit_of(settings)})


def draw_bars(path: Path, sweep: Sweep) -> None:
    """Draw the lowest error rate for each init-threshold and gamma as bars."""
    if not set(_BARS) <= set(sweep.names):
        wanted = " and ".join(f"{dashed(name)}s" for name in _BARS)
        raise DataError(
            f"bars need a table over {wanted}, found one over "
            f"{', '.join(map(dashed, sweep.names))}; draw it by ssahc plot thresholds"
        )
    first, second = map(sweep.names.index, _BARS)
    lowest: dict[tuple[float, float], float] = {}
    for point, score in sweep.scores.items():
        bar = (point[first], point[second])
        lowest[bar] = min(score.der, lowest.get(bar, inf))
    best = sweep.best()
    save_sweep(path, lowest, (best[first], best[second]))


def draw_curves(path: Path, sweeps: Mapping[str, Sweep], units: Set[str]) -> None:
    """Draw error rates over the last option, the same in all sweeps.

    There is a curve for each combination of the other options, labelled with its sweep
    if there are several. Units are those of the thresholds of the sweeps.
    """
    options = {name: dashed(sweep.names[-1]) for name, sweep in sweeps.items()}
    if len(set(options.values())) > 1:
        found = ", ".join(f"{option} in {name}" for name, option in options.items())
        raise DataError(f"the tables must have the same last option, found {found}")
    curves: dict[str, dict[float, float]] = {}
    minima: dict[tuple[str, float], float] = {}
    for name, sweep in sweeps.items():
        best = sweep.best()
        for point, score in sweep.scores.items():
            parts = [name] if len(sweeps) > 1 else []
            others = zip(map(dashed, sweep.names[:-1]), point[:-1], strict=True)
            parts += [f"{option} {value:g}" for option, value in others]
            curve = ", ".join(parts)
            curves.setdefault(curve, {})[point[-1]] = score.der
            if point == best:
                minima[curve, point[-1]] = score.der
    option = next(iter(options.values()))
    if option == "threshold":
        option += f" ({next(iter(units)) if len(units) == 1 else _ANY_UNIT})"
    save_curves(path, curves, option, min(minima, key=minima.__getitem__))


def threshold_units(tables: Iterable[Path]) -> set[str]:
    """Return the units of thresholds in tables of ssahc tune.

    The config.toml that ssahc tune wrote beside a table decides.
    """
    units = set()
    for table in tables:
        try:
            units.add(_unit_of(read_toml(table.parent / CONFIG)))
        except (FormatError, OSError):
            units.add(_ANY_UNIT)
    return units


def _unit_of(settings: Mapping[str, object]) -> str:
    if settings.get("resegmentation") == "vb":
        return "nats per speaker"
    return _UNITS.get(str(settings.get("system")), _ANY_UNIT)
