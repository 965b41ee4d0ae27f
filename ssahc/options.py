"""What all options classes refuse."""

from functools import cache
from numbers import Integral
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ssahc.errors import UsageError

# TOML has numbers of 64 bits, and options are written to config.toml.
_FEWEST, _MOST = -(2**63), 2**63 - 1


def check_fields(options: Any) -> None:
    """Check an options object against its own annotations.

    Parameters
    ----------
    options : dataclass instance

    Raises
    ------
    UsageError
        If a value is not one of its field's choices, or no whole number of 64 bits
        where one is wanted.
    """
    options_class: type = type(options)
    for name, (choices, whole) in _expectations(options_class).items():
        value = getattr(options, name)
        flag = _flag(name)
        if value is None:
            continue
        if choices and value not in choices:
            raise UsageError(
                f"{flag} must be one of {', '.join(choices)}, found {value!r}"
            )
        if whole and (not isinstance(value, Integral) or isinstance(value, bool)):
            raise UsageError(f"{flag} must be a whole number, found {value!r}")
        if whole and not _FEWEST <= value <= _MOST:
            raise UsageError(
                f"{flag} must be a whole number of at most 64 bits, as config.toml "
                f"holds them, found one of {int(value).bit_length() + 1}"
            )


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


def _flag(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


@cache
def _expectations(options_class: type) -> dict[str, tuple[tuple[str, ...], bool]]:
    """Return the choices of each field, and whether it is a whole number."""
    expected: dict[str, tuple[tuple[str, ...], bool]] = {}
    for name, hint in get_type_hints(options_class).items():
        parts = (hint, *get_args(hint)) if get_origin(hint) is not Literal else (hint,)
        choices = tuple(
            choice
            for part in parts
            if get_origin(part) is Literal
            for choice in get_args(part)
        )
        expected[name] = (choices, int in parts)
    return expected
