"""Checks of dataclasses against the annotations of their fields."""

from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from math import inf
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from ssahc.core.errors import UsageError

# Options are written to config.toml, and TOML has integers of 64 bits.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
# What counts as a value of a type (numpy's as well), and what messages call it.
_VALUES: dict[type, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "text"),
}


@dataclass(frozen=True)
class Interval:
    """Range of a number, as part of a field's annotation; NaN lies in no interval.

    ``Annotated[float | None, Interval(ge=0, le=1)]`` allows None and 0 to 1.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        if self.ge is not None and self.le is not None:
            return f"between {_number(self.ge)} and {_number(self.le)}"
        parts = ["finite"] if self.lt == inf else []
        for bound, text in (
            (self.ge, "{} or more"),
            (self.gt, "above {}"),
            (self.le, "{} or less"),
            (self.lt, "below {}"),
        ):
            if bound not in (None, inf):
                parts.append(text.format(_number(bound)))
        return " and ".join(parts)


def _number(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def flag(name: str) -> str:
    """Return the command line's name of a field: ``--lambda`` for ``lambda_``."""
    return f"--{dashed(name)}"


def dashed(name: str) -> str:
    """Return the command line's name of a field without ``--``."""
    return name.removesuffix("_").replace("_", "-")


def check_fields(instance: Any) -> None:
    """Raise a UsageError if a value does not match the annotation of its field."""
    options_class: type = type(instance)
    for name, expected in _expectations(options_class).items():
        value = getattr(instance, name)
        wanted = expected.violated_by(value)
        if wanted is not None:
            found = f"{value}" if isinstance(value, Real) else f"{value!r}"
            raise UsageError(f"{flag(name)} must be {wanted}, found {found}")


def changed_fields(instance: Any) -> dict[str, Any]:
    """Return the flags and values of the fields that are not at their defaults."""
    values = {field: getattr(instance, field.name) for field in fields(instance)}
    return {
        flag(field.name): value
        for field, value in values.items()
        if value != _default_of(field)
    }


def _default_of(field: Field[Any]) -> Any:
    if field.default_factory is MISSING:
        return field.default
    return field.default_factory()


@dataclass(frozen=True)
class _Expected:
    """What a field may hold, and what messages call a value of its type."""

    optional: bool
    choices: tuple[str, ...]
    type: type | None
    called: str
    interval: Interval

    def violated_by(self, value: Any) -> str | None:
        """Return what was expected instead of a value; None if the value is fine."""
        if value is None and self.optional:
            return None
        if self.choices and value not in self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is not None and not _is_of(value, self.type):
            return self.called
        if self.type is Integral and not _SMALLEST <= value <= _LARGEST:
            return "a whole number of at most 64 bits"
        if self.type in (Integral, Real):
            if value not in self.interval:
                return str(self.interval)
            if value != value:
                return self.called
        return None


def _is_of(value: Any, wanted: type) -> bool:
    """Whether a value is of a type; unlike in Python, true and false are no numbers."""
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, wanted)


@cache
def _expectations(options_class: type) -> dict[str, _Expected]:
    hints = get_type_hints(options_class, include_extras=True)
    return {field.name: _expect(hints[field.name]) for field in fields(options_class)}


def _expect(hint: Any) -> _Expected:
    interval = Interval()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        interval = next(extra for extra in extras if isinstance(extra, Interval))
    parts = (hint,) if get_origin(hint) is Literal else (hint, *get_args(hint))
    choices: tuple[str, ...] = ()
    kind, called = None, ""
    for part in parts:
        if get_origin(part) is Literal:
            choices = get_args(part)
        elif part in _VALUES:
            kind, called = _VALUES[part]
        elif isinstance(part, type) and is_dataclass(part):
            kind, called = part, f"of {part.__name__}"
    return _Expected(NoneType in parts, choices, kind, called, interval)
