"""Options: frozen dataclasses whose fields have names on the command line.

An option is written once, as a field of a frozen dataclass that is described in the
docstring of the class. The command line, config files and presets are derived from
these fields. Options classes may be nested; the names of their fields are unique, so
that all options are one flat table of ``name = value``.
"""

import dataclasses
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    ClassVar,
    Literal,
    TypeGuard,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from ssahc.core.errors import FormatError
from ssahc.core.validation import check_fields, flag

T = TypeVar("T")
_logger = logging.getLogger(__name__)
# Headings of the help, in their order there: what most users need comes first.
Group = Literal[
    "Input and output",
    "Speakers",
    "System",
    "Audio",
    "Tuning",
    "Scoring",
    "Simulation",
    "Execution",
    "Clustering",
    "Resegmentation",
    "PLDA and fusion",
    "Network",
    "Learning",
    "Loss functions",
]


class Options:
    """Base of options classes, which are frozen dataclasses.

    Fields are checked against their annotations (`ssahc.core.validation`). The class,
    or the field's metadata, names the heading of the help as ``group``.
    """

    group: ClassVar[Group | None] = None

    def __init_subclass__(cls, *, group: Group | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.group = group

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Option:
    """One option, as the command line and config files see it.

    `name` is the field's without a trailing underscore; `type` int, float, str, bool or
    Path; `choices` empty if any value is allowed; a `default` of None means "not set";
    `help` is empty under python -OO; `off` turns a bool off ("no_NAME" by default);
    `old` is an earlier name, which still works, with a warning; one that is `multiple`
    may be repeated, and is a tuple of values.
    """

    name: str
    type: type
    choices: tuple[str, ...]
    default: Any
    help: str
    off: str
    group: Group | None
    old: str | None
    multiple: bool = False

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return flag(self.name)

    @property
    def off_flag(self) -> str:
        """What turns a bool off on the command line."""
        return flag(self.off)

    @property
    def old_flag(self) -> str | None:
        """Earlier name on the command line."""
        return None if self.old is None else flag(self.old)


def list_options(options_class: type) -> Iterator[Option]:
    """Yield the options of a class and of the classes nested in it."""
    hints = _hints(options_class)
    descriptions = _describe(options_class)
    for field in dataclasses.fields(options_class):
        hint = hints[field.name]
        if _is_options_class(hint):
            yield from list_options(hint)
            continue
        if get_origin(hint) is UnionType or NoneType in get_args(hint):
            hint = next(part for part in get_args(hint) if part is not NoneType)
        multiple = get_origin(hint) is tuple
        if multiple:
            hint = get_args(hint)[0]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        yield Option(
            _option_name(field.name),
            str if choices else hint,
            choices,
            field.default,
            descriptions.get(field.name, ""),
            field.metadata.get("off", f"no_{field.name}"),
            field.metadata.get("group", getattr(options_class, "group", None)),
            field.metadata.get("old"),
            multiple,
        )


@cache
def _hints(options_class: type) -> dict[str, Any]:
    return get_type_hints(options_class)


def _option_name(field: str) -> str:
    """Return a field's name without what sets it apart from a keyword (lambda_)."""
    return field.removesuffix("_")


def _is_options_class(hint: Any) -> TypeGuard[type]:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


@cache
def _describe(options_class: type) -> dict[str, str]:
    """Read the descriptions of parameters from a numpydoc docstring."""
    descriptions: dict[str, list[str]] = {}
    current: list[str] = []
    for line in cleandoc(options_class.__doc__ or "").splitlines():
        if match := re.match(r"(\w+(?:, \w+)*) : ", line):
            current = []
            descriptions.update(dict.fromkeys(match[1].split(", "), current))
        elif line.startswith("    "):
            current.append(line.strip())
    return {
        name: " ".join(lines).replace("``", "") for name, lines in descriptions.items()
    }


def build(options_class: type[T], values: Mapping[str, Any]) -> T:
    """Make an options object from flat values; what is missing keeps its default."""
    arguments: dict[str, Any] = {}
    plain_class: type = options_class
    hints = _hints(plain_class)
    for field in dataclasses.fields(plain_class):
        hint = hints[field.name]
        if _is_options_class(hint):
            arguments[field.name] = build(hint, values)
        elif values.get(_option_name(field.name)) is not None:
            arguments[field.name] = values[_option_name(field.name)]
    return options_class(**arguments)


def flatten(options: Any) -> dict[str, Any]:
    """Return the set values of an options object as a flat table."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            table.update(flatten(value))
        elif value is not None:
            table[_option_name(field.name)] = value
    return table


def check_values(
    table: Mapping[str, Any], options_class: type, source: Path | str
) -> dict[str, Any]:
    """Return plain values (as of TOML) as options; a FormatError names `source`."""
    known = {option.name: option for option in list_options(options_class)}
    renamed = {option.old: option.name for option in known.values() if option.old}
    values: dict[str, Any] = {}
    for given, value in table.items():
        key = renamed.get(given, given)
        if key != given:
            _logger.warning(f"{source}: {given} is the old name of {key}; use {key}")
        if key not in known:
            near = get_close_matches(key.replace("-", "_"), known, n=1)
            names = f"there are {', '.join(sorted(known))}"
            hint = f"did you mean {near[0]!r}?" if near else names
            raise FormatError(f"unknown option; {hint}", path=source, key=key)
        try:
            values[key] = _convert(known[key], value)
        except ValueError as error:
            raise FormatError(f"expected {error}", path=source, key=key) from error
    return values


def _convert(option: Option, value: Any) -> Any:
    """Return a plain value as the option's type; a ValueError says what is expected."""
    if option.multiple and isinstance(value, list):
        single = replace(option, multiple=False)
        return tuple(_convert(single, item) for item in value)
    if option.multiple or isinstance(value, list):
        wanted = "a list" if option.multiple else "one value"
        found = "a list" if isinstance(value, list) else f"{value!r}"
        raise ValueError(f"{wanted}, found {found}")
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"text, found a zero byte in {value!r}")
    if option.type is float and type(value) is int and abs(value) < 2**64:
        return float(value)
    if option.type is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not option.type:
        raise ValueError(f"a value of type {option.type.__name__}, found {value!r}")
    if option.choices and value not in option.choices:
        raise ValueError(f"one of {', '.join(option.choices)}, found {value!r}")
    return value


def combine(
    options_class: type[T],
    sources: Iterable[Mapping[str, Any]],
    displaces: Mapping[str, Set[str]],
) -> T:
    """Make an options object from several flat tables; a later one wins.

    None means "not given". `displaces` maps an option, or "option=value", to the
    options that conflict with it: their values from earlier tables are dropped.
    """
    values: dict[str, Any] = {}
    for source in sources:
        given = {name: value for name, value in source.items() if value is not None}
        for name, value in given.items():
            for key in (name, f"{name}={value}"):
                for other in displaces.get(key, ()):
                    values.pop(other, None)
        values.update(given)
    return build(options_class, values)
