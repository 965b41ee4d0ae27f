"""What all options classes refuse."""

from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ssahc.core.errors import UsageError

# TOML has numbers of 64 bits, and options are written to config.toml.
_FEWEST, _MOST = -(2**63), 2**63 - 1
# What the values of a type are, numpy's among them, and how messages call them.
_VALUES: dict[type, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "text"),
}


def check_fields(options: Any) -> None:
    """Check an options object against its own annotations.

    Parameters
    ----------
    options : dataclass instance

    Raises
    ------
    UsageError
        If a value is not one of its field's choices or not of its type, or a whole
        number of more than 64 bits.
    """
    options_class: type = type(options)
    for name, field in _expectations(options_class).items():
        value = getattr(options, name)
        flag = _flag(name)
        if value is None and field.may_be_none:
            continue
        if field.choices and value not in field.choices:
            raise UsageError(
                f"{flag} must be one of {', '.join(field.choices)}, found {value!r}"
            )
        if field.type is not None and not _is_of(value, field.type):
            raise UsageError(f"{flag} must be {field.called}, found {value!r}")
        if field.type is Integral and not _FEWEST <= value <= _MOST:
            raise UsageError(
                f"{flag} must be a whole number of at most 64 bits, as config.toml "
                f"holds them, found one of {int(value).bit_length() + 1}"
            )


def _is_of(value: Any, wanted: type) -> bool:
    """Whether a value is of a type; unlike in Python, true and false are no numbers."""
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, wanted)


def check_most(options: Any, **most: float) -> None:
    """Check that values are not beyond what can be of any use.

    Parameters
    ----------
    options : dataclass instance
    **most : float
        The largest value of a field that is taken, by its name.

    Raises
    ------
    UsageError
        If a value is larger.
    """
    for name, largest in most.items():
        value = getattr(options, name)
        if value is not None and value > largest:
            raise UsageError(
                f"{_flag(name)} must be {largest:,} or less, found {value}"
            )


def changed_fields(options: Any) -> dict[str, Any]:
    """Return what is not at its default: flags (``--name``) and values."""
    return {
        f"--{_flag(field.name)}": getattr(options, field.name)
        for field in fields(options)
        if getattr(options, field.name) != field.default
    }


def _flag(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


@dataclass(frozen=True)
class _Field:
    """What a field of an options class holds.

    Attributes
    ----------
    choices : tuple of str
        Empty if there are no such.
    type : type, optional
        None if values are told by the choices, or not checked.
    called : str
        What messages call a value of the type.
    may_be_none : bool
    """

    choices: tuple[str, ...]
    type: type | None
    called: str
    may_be_none: bool


@cache
def _expectations(options_class: type) -> dict[str, _Field]:
    """Return what each field holds, from its annotation."""
    expected: dict[str, _Field] = {}
    for name, hint in get_type_hints(options_class).items():
        parts = (hint, *get_args(hint)) if get_origin(hint) is not Literal else (hint,)
        choices = tuple(
            choice
            for part in parts
            if get_origin(part) is Literal
            for choice in get_args(part)
        )
        plain, called = None, ""
        for part in parts:
            if part in _VALUES:
                plain, called = _VALUES[part]
            elif isinstance(part, type) and is_dataclass(part):
                plain, called = part, f"of {part.__name__}"
        expected[name] = _Field(choices, plain, called, NoneType in parts)
    return expected
