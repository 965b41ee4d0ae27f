"""Options classes, their help texts, and the TOML files that set them.

An option is written once: as a field of a frozen dataclass, described in the class's
docstring. The command line, ``--config`` files and presets are derived from these
fields. Options classes may be nested; all field names are unique, so that a file is a
flat table of ``name = value`` with the names of the command line.
"""

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    TypeGuard,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from ssahc.core.errors import FormatError, UsageError
from ssahc.io.files import (
    atomic_write,
    open_regular,
    strip_rspecifier,
    unreadable,
)

T = TypeVar("T")
_PRESETS = files("ssahc") / "presets"


@dataclass(frozen=True)
class Option:
    """One option, as the command line and config files see it.

    Attributes
    ----------
    name : str
        Field name without a trailing underscore; the command line has dashes for
        underscores.
    type : type
        int, float, str, bool or Path.
    choices : tuple of str
        Allowed values; empty if any value of the type is allowed.
    default : object
        None means "not set".
    help : str
        First sentences of the field's description.
    off : str
        What turns a bool off: "no_NAME", unless the field's metadata say otherwise.
    """

    name: str
    type: type
    choices: tuple[str, ...]
    default: Any
    help: str
    off: str

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return _flag(self.name)

    @property
    def off_flag(self) -> str:
        """What turns a bool off on the command line."""
        return _flag(self.off)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def list_options(options_class: type) -> Iterator[Option]:
    """Yield the options of a class and of the classes nested in it."""
    hints = _hints(options_class)
    descriptions = _describe(options_class)
    for item in dataclasses.fields(options_class):
        hint = hints[item.name]
        if _is_options_class(hint):
            yield from list_options(hint)
            continue
        if get_origin(hint) is UnionType or NoneType in get_args(hint):
            hint = next(part for part in get_args(hint) if part is not NoneType)
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        yield Option(
            _option_name(item.name),
            str if choices else hint,
            choices,
            item.default,
            # Empty where docstrings are stripped (python -OO).
            descriptions.get(item.name, ""),
            item.metadata.get("off", f"no_{item.name}"),
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
    lines = (options_class.__doc__ or "").expandtabs().splitlines()
    descriptions: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if match := re.match(r" {4}(\w+(?:, \w+)*) : ", line):
            current = []
            for name in match[1].split(", "):
                descriptions[name] = current
        elif line.startswith(" " * 8):
            current.append(line.strip())
    return {
        name: " ".join(text).replace("``", "") for name, text in descriptions.items()
    }


def build(options_class: type[T], values: Mapping[str, Any]) -> T:
    """Make an options object from flat values; what is missing keeps its default."""
    arguments: dict[str, Any] = {}
    plain_class: type = options_class
    hints = _hints(plain_class)
    for item in dataclasses.fields(plain_class):
        hint = hints[item.name]
        if _is_options_class(hint):
            arguments[item.name] = build(hint, values)
        elif values.get(_option_name(item.name)) is not None:
            arguments[item.name] = values[_option_name(item.name)]
    return options_class(**arguments)


def flatten(options: Any) -> dict[str, Any]:
    """Return the set values of an options object as a flat table, paths absolute."""
    table: dict[str, Any] = {}
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value):
            table.update(flatten(value))
        elif value is not None:
            is_path = isinstance(value, Path)
            table[_option_name(item.name)] = _absolute(value) if is_path else value
    return table


def _absolute(path: Path) -> str:
    """Return an absolute path, behind the prefix (``ark:``) if there is one."""
    prefix, path = strip_rspecifier(path)
    return f"{prefix}:{path.absolute()}" if prefix else str(path.absolute())


def list_presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(
        item.name.removesuffix(".toml")
        for item in _PRESETS.iterdir()
        if item.name.endswith(".toml")
    )


def read_preset(name: str, options_class: type) -> dict[str, Any]:
    """Return the values of a shipped preset, those of its base included."""
    table = tomllib.loads((_PRESETS / f"{name}.toml").read_text(encoding="utf-8"))
    base = table.pop("base", None)
    inherited = {} if base is None else read_preset(base, options_class)
    return inherited | check_values(table, options_class, Path(f"preset {name}"))


def read_config(path: Path, options_class: type) -> dict[str, Any]:
    """Read a config file.

    Raises
    ------
    FormatError
        If the file is unreadable, no TOML, has an unknown key, or a value of a wrong
        type.
    """
    return check_values(read_toml(path), options_class, path)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a config file of whatever options.

    Raises
    ------
    FormatError
        If the file is unreadable, no TOML, or has more than plain values.
    """
    try:
        with open_regular(path) as file:
            table = tomllib.load(file)
    except OSError as error:
        raise unreadable(path, error) from error
    # Numbers of thousands of digits, and thousands of brackets, are errors of Python.
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a TOML file: {error}", path=path) from error
    for key, value in table.items():
        _refuse_large(key, value, path)
    return table


def _refuse_large(key: str, value: Any, path: Path) -> None:
    """Raise a FormatError for what may be too deep, or too long, to be shown."""
    if isinstance(value, dict | list):
        kind = "a table" if isinstance(value, dict) else "a list"
        raise FormatError(f"expected one value, found {kind}", path=path, key=key)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise FormatError(
            "expected a number of at most 64 bits, as TOML has", path=path, key=key
        )


def write_config(path: Path, options: Any) -> None:
    """Write the set values of an options object, to be read by `read_config`."""
    import tomli_w

    table = flatten(options)
    for name, value in table.items():
        if isinstance(value, str):
            _refuse_other_encodings(name, value, path)
    with atomic_write(path, "wb") as file:
        tomli_w.dump(table, file)


def _refuse_other_encodings(name: str, value: str, path: Path) -> None:
    """Raise a UsageError for what cannot be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        try:
            # Sound names are not understood where the locale is not UTF-8's.
            os.fsencode(value).decode()
            way_out = "use a UTF-8 locale, such as LC_ALL=C.UTF-8"
        except UnicodeError:
            way_out = "rename it"
        raise UsageError(
            f"{name.replace('_', '-')} {value!r} is not UTF-8 and cannot stand in "
            f"{path.name}; {way_out}"
        ) from error


def check_values(
    table: Mapping[str, Any], options_class: type, path: Path
) -> dict[str, Any]:
    """Return the values, each checked to be of an option's name and type.

    Raises
    ------
    FormatError
        On an unknown name or a value of a wrong type; it names `path`.
    """
    known = {option.name: option for option in list_options(options_class)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = get_close_matches(key.replace("-", "_"), known, n=1)
            names = f"there are {', '.join(sorted(known))}"
            hint = f"did you mean {near[0]!r}?" if near else names
            raise FormatError(f"unknown option; {hint}", path=path, key=key)
        values[key] = _convert(known[key], value, path)
    return values


def _convert(option: Option, value: Any, path: Path) -> Any:
    _refuse_large(option.name, value, path)
    if isinstance(value, str) and "\0" in value:
        raise FormatError(
            f"expected text, found a zero byte in {value!r}",
            path=path,
            key=option.name,
        )
    if option.type is float and type(value) is int:
        return float(value)
    if option.type is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not option.type:
        raise FormatError(
            f"expected a value of type {option.type.__name__}, found {value!r}",
            path=path,
            key=option.name,
        )
    if option.choices and value not in option.choices:
        raise FormatError(
            f"expected one of {', '.join(option.choices)}, found {value!r}",
            path=path,
            key=option.name,
        )
    return value


def resolve(
    options_class: type[T],
    command_line: Mapping[str, Any],
    *,
    config: Path | None = None,
    preset: str | None = None,
    displaces: Mapping[str, Set[str]] | None = None,
) -> T:
    """Combine the sources of options: command line > config file > preset > default.

    Parameters
    ----------
    options_class : type
    command_line : mapping
        Flat values; None means "not given".
    config : Path, optional
    preset : str, optional
    displaces : mapping, optional
        Option, or "option=value", to those it has no place beside: if a source sets
        it, their values from lower sources are dropped.

    Raises
    ------
    FormatError
        If the config file is not usable.
    UsageError
        If the values contradict each other.
    """
    sources: list[Mapping[str, Any]] = []
    if preset is not None:
        if preset not in list_presets():
            raise UsageError(
                f"unknown preset {preset!r}; there are {', '.join(list_presets())}"
            )
        sources.append(read_preset(preset, options_class))
    if config is not None:
        sources.append(read_config(config, options_class))
    sources.append({key: v for key, v in command_line.items() if v is not None})
    values: dict[str, Any] = {}
    for source in sources:
        for name, value in source.items():
            for key in (name, f"{name}={value}"):
                for other in (displaces or {}).get(key, ()):
                    values.pop(other, None)
        values.update(source)
    return build(options_class, values)
