"""What all options classes refuse."""

from functools import cache
from numbers import Integral
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ssahc.errors import UsageError


def check_fields(options: Any) -> None:
    """Check an options object against its own annotations.

    Parameters
    ----------
    options : dataclass instance

    Raises
    ------
    UsageError
        If a value is not one of its field's choices, or no whole number where one is
        wanted.
    """
    options_class: type = type(options)
    for name, (choices, whole) in _expectations(options_class).items():
        value = getattr(options, name)
        flag = name.removesuffix("_").replace("_", "-")
        if value is None:
            continue
        if choices and value not in choices:
            raise UsageError(
                f"{flag} must be one of {', '.join(choices)}, found {value!r}"
            )
        if whole and (not isinstance(value, Integral) or isinstance(value, bool)):
            raise UsageError(f"{flag} must be a whole number, found {value!r}")


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
