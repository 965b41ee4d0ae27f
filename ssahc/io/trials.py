"""Trials of speaker verification and their scores.

In Kaldi's recipes, ``trials`` has lines "enrolled test target|nontarget" and ``scores``
lines "enrolled test score"; other forms are read as well (`ssahc.io.trial_lines`). Both
may have millions: names are kept once, and lines are rows of arrays.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import FormatError
from ssahc.core.types import FloatArray, IntArray
from ssahc.io.files import atomic_write
from ssahc.io.trial_lines import read_score_lines, read_trial_lines

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Trials:
    """Which test utterance is compared with which enrolled speaker.

    `pairs` (K, 2) are positions in `enrolled` and `tests`, the names of the first and
    the second field; `is_target` (K,) is None if the file does not tell.
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

    A repeated trial counts each time, with a warning.

    Parameters
    ----------
    path : Path or str
    need_targets : bool
        If False, the labels may be missing from all lines.

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
    for number, (first, second, is_target) in read_trial_lines(
        path, need_targets=need_targets
    ):
        if is_target is not None:
            targets.append(is_target)
        pairs.append(enrolled.setdefault(first, len(enrolled)))
        pairs.append(tests.setdefault(second, len(tests)))
        lines.append(number)
    if not lines:
        raise FormatError("lists no trial", path=path)
    trials = Trials(
        tuple(enrolled),
        tuple(tests),
        np.array(pairs, np.int64).reshape(-1, 2),
        np.array(targets) if targets else None,
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
            f"{path}: {repeats} of {len(trials)} lines repeat a trial; each line counts"
        )
    return trials


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


def read_trial_scores(path: Path, trials: Trials) -> FloatArray:
    """Read the K scores of trials, NaN where there is none; others are ignored.

    Raises a FormatError on a malformed line, or two different scores of one trial.
    """
    enrolled = {name: index for index, name in enumerate(trials.enrolled)}
    tests = {name: index for index, name in enumerate(trials.tests)}
    given: dict[int, float] = {}
    for number, (first, second, score) in read_score_lines(path):
        if first in enrolled and second in tests:
            code = enrolled[first] * len(tests) + tests[second]
            if given.setdefault(code, score) != score:
                raise FormatError(
                    f"another score of {first!r} and {second!r} than in a line above; "
                    "keep one of them",
                    path=path,
                    line=number,
                )
    return np.array([given.get(code, nan) for code in _codes(trials).tolist()])


def write_trials(path: Path, trials: Iterable[tuple[str, str, bool]]) -> None:
    """Write trials: enrolled, test, and whether that is a target."""
    with atomic_write(path) as file:
        for enrolled, test, is_target in trials:
            file.write(f"{enrolled} {test} {'' if is_target else 'non'}target\n")


def write_trial_scores(path: Path, trials: Trials, scores: FloatArray) -> None:
    """Write the scores of trials with seven digits, as Kaldi does, but no NaN."""
    with atomic_write(path) as file:
        rows = zip(trials.pairs.tolist(), scores.tolist(), strict=True)
        for (first, second), score in rows:
            if not isnan(score):
                names = trials.enrolled[first], trials.tests[second]
                file.write(f"{names[0]} {names[1]} {score:.7g}\n")
