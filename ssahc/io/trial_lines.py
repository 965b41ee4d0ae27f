"""The forms of trial lists and score files, told apart by their first line.

======================= ==================================================
Kaldi                   ``enrolled test target``, ``enrolled test score``
SITW and others         ``enrolled test tgt``, ``enrolled test 1``
VoxCeleb                ``1 enrolled test``
labelled scores         ``enrolled test score target``
NIST, with a header     ``modelid segmentid side targettype`` (or ``LLR``)
NIST, without           ``enrolled test side score``
======================= ==================================================
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TypeVar

from ssahc.io.text import parse_lines, parse_number

T = TypeVar("T")
_IS_TARGET = {
    **dict.fromkeys(("target", "tgt", "1"), True),
    **dict.fromkeys(("nontarget", "imp", "0"), False),
}
_DIGITS = ("0", "1")
_SIDES = ("a", "b")
# Names of the columns of NIST's tables, in lower case.
_MODELS, _SEGMENTS, _SIDE = ("modelid", "model"), ("segmentid", "segment"), "side"
_LABELS, _SCORES = ("targettype",), ("llr", "score")
_TRIAL, _SCORE = "enrolled test target|nontarget", "enrolled test score"
_ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class _Form:
    """Which fields of a line are used; `value` is that of the label or the score."""

    text: str
    enrolled: int = 0
    test: int = 1
    value: int | None = 2
    side: int | None = None
    is_header: bool = False

    @property
    def place(self) -> str:
        """Where the value is, for messages."""
        if self.is_header:
            return f"column {self.text.split()[self.value or 0]!r}"
        return f"the {_ORDINALS[self.value or 0]} field"

    def check(self, fields: list[str], line: str) -> None:
        """Raise a ValueError unless a line has as many fields as the form."""
        if len(fields) != len(self.text.split()):
            raise ValueError(f"expected '{self.text}', found {line.strip()[:80]!r}")


def read_trial_lines(
    path: Path, *, need_targets: bool
) -> Iterator[tuple[int, tuple[str, str, bool | None]]]:
    """Yield line number, enrolled, test, and whether it is a target (None if unknown).

    Raises a FormatError on a malformed line.
    """

    def find_form(fields: list[str]) -> _Form:
        if form := _find_header(fields, _LABELS):
            if form.value is None and need_targets:
                raise ValueError("expected a column 'targettype', found none")
            return form
        if len(fields) == 2 and not need_targets:
            return _Form("enrolled test", value=None)
        if len(fields) == 3 and fields[0] in _DIGITS and fields[2] not in _IS_TARGET:
            return _Form("1|0 enrolled test", enrolled=1, test=2, value=0)
        if len(fields) == 3 and fields[0] in _DIGITS and fields[2] in _DIGITS:
            raise ValueError(
                f"the first or the third field may be the label; write '{_TRIAL}'"
            )
        return _Form(_TRIAL)

    return _read_lines(path, find_form, _parse_label, None)


def read_score_lines(path: Path) -> Iterator[tuple[int, tuple[str, str, float]]]:
    """Yield line number, enrolled, test and score; as `read_trial_lines`."""

    def find_form(fields: list[str]) -> _Form:
        if form := _find_header(fields, _SCORES):
            if form.value is None:
                raise ValueError("expected a column 'LLR', found none")
            return form
        if len(fields) == 4 and fields[3] in _IS_TARGET:
            return _Form(f"{_SCORE} target|nontarget")
        if len(fields) == 4 and fields[2].lower() in _SIDES:
            return _Form("enrolled test side score", side=2, value=3)
        return _Form(_SCORE)

    return _read_lines(path, find_form, _parse_score, nan)


def _parse_label(text: str, place: str) -> bool | None:
    if text not in _IS_TARGET:
        raise ValueError(
            f"expected target or nontarget in {place}, found {text[:24]!r}"
        )
    return _IS_TARGET[text]


def _parse_score(text: str, place: str) -> float:
    return parse_number(text, "score")


def _find_header(fields: list[str], values: tuple[str, ...]) -> _Form | None:
    """Return the form of a NIST table by its header; None if this is not one."""
    names = [field.lower() for field in fields]

    def find(*known: str) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    enrolled, test = find(*_MODELS), find(*_SEGMENTS)
    if enrolled is None or test is None:
        return None
    text = " ".join(fields)
    return _Form(text, enrolled, test, find(*values), find(_SIDE), is_header=True)


def _read_lines(
    path: Path,
    find_form: Callable[[list[str]], _Form],
    convert: Callable[[str, str], T],
    missing: T,
) -> Iterator[tuple[int, tuple[str, str, T]]]:
    form: _Form | None = None
    sides: dict[str, str] = {}

    def parse(fields: list[str], text: str) -> tuple[str, str, T] | None:
        nonlocal form
        if form is None:
            form = find_form(fields)
            if form.is_header:
                return None
        form.check(fields, text)
        test, value = fields[form.test], missing
        if form.side is not None:
            side = fields[form.side]
            known = sides.setdefault(test, side)
            if side != known:
                raise ValueError(
                    f"{test!r} is on side {side!r} here and on {known!r} above; give "
                    "each its own id"
                )
        if form.value is not None:
            value = convert(fields[form.value], form.place)
        return fields[form.enrolled], test, value

    for number, row in parse_lines(path, parse):
        if row is not None:
            yield number, row
