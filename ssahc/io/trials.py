"""Trials of speaker verification, and their scores, as Kaldi's recipes keep them.

``trials`` has lines "enrolled test target|nontarget", ``scores`` lines "enrolled test
score". Both may have millions: names are kept once, and lines are rows of arrays.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import FormatError
from ssahc.core.types import FloatArray, IntArray
from ssahc.io.files import atomic_write, read_fields
from ssahc.io.text import parse_number

_IS_TARGET = {"target": True, "nontarget": False}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Trials:
    """Which test utterance is compared with which enrolled speaker.

    Attributes
    ----------
    enrolled : tuple of str
        The E names of the first field: speakers, or utterances in their place.
    tests : tuple of str
        The T utterances of the second field.
    pairs : (K, 2) array of int
        Position in `enrolled` and in `tests`, a row a line.
    is_target : (K,) array of bool, or None
        None if the file does not tell.
    """

    enrolled: tuple[str, ...]
    tests: tuple[str, ...]
    pairs: IntArray
    is_target: NDArray[np.bool_] | None

    def __len__(self) -> int:
        return len(self.pairs)

    def names(self, row: int) -> tuple[str, str]:
        """Return what is compared in a row."""
        first, second = self.pairs[row]
        return self.enrolled[first], self.tests[second]


def read_trials(path: Path | str, *, need_targets: bool = True) -> Trials:
    """Read a list of trials.

    A trial that stands there more than once counts as often; a warning tells.

    Parameters
    ----------
    path : Path or str
    need_targets : bool
        If not, the third field may be missing from all lines.

    Raises
    ------
    FormatError
        On a malformed line, a trial that is both target and nontarget, or no trial.
    """
    path = Path(path)
    enrolled: dict[str, int] = {}
    tests: dict[str, int] = {}
    pairs: list[int] = []
    targets: list[bool] = []
    lines: list[int] = []
    fields = 3 if need_targets else 0
    for number, text, values in read_fields(path):
        # The first line decides for all.
        fields = fields or (2 if len(values) == 2 else 3)
        if len(values) != fields:
            raise _malformed(path, number, text, fields)
        if fields == 3:
            if values[2] not in _IS_TARGET:
                raise FormatError(
                    "expected target or nontarget in the third field, found "
                    f"{values[2][:24]!r}",
                    path=path,
                    line=number,
                )
            targets.append(_IS_TARGET[values[2]])
        pairs.append(enrolled.setdefault(values[0], len(enrolled)))
        pairs.append(tests.setdefault(values[1], len(tests)))
        lines.append(number)
    if not lines:
        raise FormatError("lists no trial", path=path)
    trials = Trials(
        tuple(enrolled),
        tuple(tests),
        np.array(pairs, np.int64).reshape(-1, 2),
        np.array(targets) if fields == 3 else None,
    )
    labels = np.zeros(len(trials)) if trials.is_target is None else trials.is_target
    repeats, contradicting = _find_repeats(_codes(trials), labels)
    if contradicting is not None:
        first, second = trials.names(contradicting)
        raise FormatError(
            f"the trial of {first!r} and {second!r} is a target in one line and a "
            "nontarget in another; keep one of them",
            path=path,
            line=lines[contradicting],
        )
    if repeats:
        _logger.warning(
            "%s: %d of %d lines repeat a trial; each line counts",
            *(path, repeats, len(trials)),
        )
    return trials


def _malformed(path: Path, line: int, text: str, fields: int) -> FormatError:
    label = " target|nontarget" if fields == 3 else ""
    return FormatError(
        f"expected 'enrolled test{label}', found {text.strip()[:80]!r}",
        path=path,
        line=line,
    )


def _codes(trials: Trials) -> IntArray:
    """Return a number for each pair of names."""
    return trials.pairs[:, 0] * len(trials.tests) + trials.pairs[:, 1]


def _find_repeats(codes: IntArray, values: NDArray[Any]) -> tuple[int, int | None]:
    """Count rows with the code of an earlier one; find the first of another value."""
    order = np.argsort(codes, kind="stable")
    is_repeat = np.diff(codes[order]) == 0
    ordered = values[order]
    differs = is_repeat & (ordered[1:] != ordered[:-1])
    contradicting = int(order[1:][differs].min()) if differs.any() else None
    return int(is_repeat.sum()), contradicting


def read_trial_scores(path: Path | str, trials: Trials) -> FloatArray:
    """Read the scores of trials; scores of others are passed over.

    Parameters
    ----------
    path : Path or str
    trials : Trials

    Returns
    -------
    (K,) array
        NaN where the file has no score.

    Raises
    ------
    FormatError
        On a malformed line, a score that is no finite number, or two different scores
        of one trial.
    """
    path = Path(path)
    enrolled = {name: index for index, name in enumerate(trials.enrolled)}
    tests = {name: index for index, name in enumerate(trials.tests)}
    codes: list[int] = []
    scores: list[float] = []
    lines: list[int] = []
    for number, text, values in read_fields(path):
        if len(values) != 3:
            raise FormatError(
                f"expected 'enrolled test score', found {text.strip()[:80]!r}",
                path=path,
                line=number,
            )
        score = parse_number(values[2], "score", path, number)
        first, second = enrolled.get(values[0]), tests.get(values[1])
        if first is not None and second is not None:
            codes.append(first * len(tests) + second)
            scores.append(score)
            lines.append(number)
    known, found = np.array(codes, np.int64), np.array(scores, np.float64)
    contradicting = _find_repeats(known, found)[1]
    if contradicting is not None:
        first, second = divmod(codes[contradicting], len(tests))
        raise FormatError(
            f"another score of {trials.enrolled[first]!r} and {trials.tests[second]!r} "
            "than in a line above; keep one of them",
            path=path,
            line=lines[contradicting],
        )
    # One more at the end, for what would be looked up beyond it.
    order = np.append(np.argsort(known), len(known))
    known, found = np.append(known, -1), np.append(found, np.nan)
    wanted = _codes(trials)
    place = order[np.searchsorted(known[order[:-1]], wanted)]
    return np.where(known[place] == wanted, found[place], np.nan)


def write_trials(path: Path, trials: Iterable[tuple[str, str, bool]]) -> None:
    """Write trials: enrolled, test, and whether that is a target."""
    with atomic_write(path) as file:
        for enrolled, test, is_target in trials:
            file.write(f"{enrolled} {test} {'' if is_target else 'non'}target\n")


def write_trial_scores(path: Path, trials: Trials, scores: FloatArray) -> None:
    """Write the scores of trials, with seven digits as Kaldi; NaN are left out."""
    with atomic_write(path) as file:
        file.writelines(_format_lines(trials, scores))


def _format_lines(trials: Trials, scores: FloatArray) -> Iterable[str]:
    rows = zip(trials.pairs.tolist(), scores.tolist(), strict=True)
    for (first, second), score in rows:
        if not isnan(score):
            yield f"{trials.enrolled[first]} {trials.tests[second]} {score:.7g}\n"
