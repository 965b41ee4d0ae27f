"""What a sweep leaves: its table as a file, on the terminal, and as a picture."""

import csv
from collections.abc import Mapping, Sequence
from math import inf, isfinite, prod
from pathlib import Path

from ssahc.cli.tables import print_table
from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import LARGEST
from ssahc.io.files import BLANKS, atomic_write, read_lines
from ssahc.io.text import parse_number
from ssahc.pipeline.tune import Fold, Point, Sweep
from ssahc.report.rates import save_curves, save_sweep
from ssahc.scoring.der import Score

_SECONDS = ("scored", "missed", "false_alarm", "confusion")
# The columns of a table behind those of its options.
SCORE_COLUMNS = ("der", *_SECONDS)
_BARS = ("init_threshold", "gamma")
# Longer tables are cut down to what is around the best row.
_MOST_ROWS = 30
_NEIGHBOURS = 5


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
    """Read what `write_sweep` has written.

    Raises
    ------
    FormatError
        If it is another kind of file, or holds numbers that are no measurements.
    """
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
        fields = line.split(",")
        if len(fields) != len(header):
            raise FormatError(
                f"expected {len(header)} numbers, found {len(fields)}",
                path=path,
                line=number,
            )
        try:
            values = [
                parse_number(field.strip(BLANKS), name)
                for name, field in zip(header, fields, strict=True)
            ]
        except ValueError as error:
            raise FormatError(str(error), path=path, line=number) from error
        seconds = scored, missed, false_alarm, confusion = values[-len(_SECONDS) :]
        score = Score(scored, missed, false_alarm, confusion)
        if min(seconds) < 0 or not isfinite(score.der):
            raise FormatError(
                "expected some scored seconds, none below 0 and a DER that is finite, "
                f"found {line.strip()[:80]!r}; tune again",
                path=path,
                line=number,
            )
        if max(score.der, *map(abs, values)) > LARGEST:
            raise FormatError(
                f"expected numbers and a DER within {LARGEST:g}, found "
                f"{line.strip()[:80]!r}; tune again",
                path=path,
                line=number,
            )
        point = tuple(values[: len(names)])
        if point in scores:
            raise FormatError("the same values as before", path=path, line=number)
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
    """Write a row for every recording: its fold, and how that one fared."""
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
    """Print the table; a long one cut down to what is around the best row.

    These are a few neighbours in the option that was swept last, and the best row of
    every other combination of the other options, or of the best of these.
    """
    shown = list(sweep.scores)
    if len(shown) > _MOST_ROWS:
        shown = _around(best, sweep)
    title = "DER %"
    if len(shown) < len(sweep.scores):
        title += f", {len(shown)} of {len(sweep.scores)} rows, around the best"
    print_table(
        (*map(_flag, sweep.names), "DER", ""),
        [
            (
                *(f"{value:g}" for value in point),
                f"{sweep.scores[point].der:.2f}",
                "best" if point == best else "",
            )
            for point in shown
        ],
        title=title,
    )


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _around(best: Point, sweep: Sweep) -> list[Point]:
    """Return the points of a long table that are shown, in its order."""
    values = sweep.values(len(best) - 1)
    place = values.index(best[-1])
    near = values[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS + 1]
    combinations: dict[Point, dict[Point, Score]] = {}
    for point, score in sweep.scores.items():
        combinations.setdefault(point[:-1], {})[point] = score
    lowest = [Sweep(sweep.names, part).best() for part in combinations.values()]
    lowest.sort(key=lambda point: sweep.scores[point].der)
    shown = {(*best[:-1], value) for value in near} | set(lowest[:_MOST_ROWS])
    return [point for point in sweep.scores if point in shown]


def print_folds(names: Sequence[str], folds: Sequence[Fold]) -> None:
    """Print a row for every fold, and the pooled error rate."""
    print_table(
        ("fold", "recordings", *map(_flag, names), "DER of the others", "DER held out"),
        [
            (
                str(number),
                str(len(fold.recordings)),
                *(f"{value:g}" for value in fold.point),
                f"{fold.tuned.der:.2f}",
                f"{fold.held_out.der:.2f}",
            )
            for number, fold in enumerate(folds, start=1)
        ],
        title="Each fold with the best values of all others",
    )


# ---- pictures ----------------------------------------------------------------------


def draw_sweep(path: Path, sweep: Sweep) -> None:
    """Draw bars where both options of Figure 4 were swept, else curves."""
    if set(_BARS) <= set(sweep.names):
        draw_bars(path, sweep)
    else:
        draw_curves(path, {"": sweep})


def draw_bars(path: Path, sweep: Sweep) -> None:
    """Draw bars of the lowest error rate for each init-threshold and gamma."""
    missing = [name for name in _BARS if name not in sweep.names]
    if missing:
        wanted = " and ".join(f"{_flag(name)}s" for name in _BARS)
        raise DataError(
            f"bars need a table over {wanted}, found one over "
            f"{', '.join(map(_flag, sweep.names))}; draw it by ssahc plot thresholds"
        )
    places = [sweep.names.index(name) for name in _BARS]
    lowest: dict[tuple[float, float], float] = {}
    for point, score in sweep.scores.items():
        bar = (point[places[0]], point[places[1]])
        lowest[bar] = min(score.der, lowest.get(bar, inf))
    save_sweep(path, lowest)


def draw_curves(path: Path, sweeps: Mapping[str, Sweep]) -> None:
    """Draw error rates over the option that was swept last.

    Parameters
    ----------
    path : Path
    sweeps : mapping
        What to call each sweep where there are several, to the sweep. There is one
        curve for each combination of the other options.

    Raises
    ------
    DataError
        If the sweeps differ in their last option.
    """
    options = {name: sweep.names[-1] for name, sweep in sweeps.items()}
    if len(set(options.values())) > 1:
        said = ", ".join(f"{option} in {name}" for name, option in options.items())
        raise DataError(f"the tables must have the same last option, found {said}")
    curves: dict[str, dict[float, float]] = {}
    for name, sweep in sweeps.items():
        for point, score in sweep.scores.items():
            parts = [name] if len(sweeps) > 1 else []
            others = zip(map(_flag, sweep.names[:-1]), point[:-1], strict=True)
            parts += [f"{flag} {value:g}" for flag, value in others]
            curves.setdefault(", ".join(parts), {})[point[-1]] = score.der
    save_curves(path, curves, _flag(next(iter(options.values()))))
