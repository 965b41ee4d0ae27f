"""TOML files of options: ``--config`` files, and the config.toml of a run."""

import os
import tomllib
from pathlib import Path
from typing import Any

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import check_values, flatten
from ssahc.core.validation import flag
from ssahc.io.files import atomic_write, open_regular, strip_rspecifier, unreadable


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of plain values; FormatError if it is anything else."""
    try:
        with open_regular(path) as file:
            table = tomllib.load(file)
    except OSError as error:
        raise unreadable(path, error) from error
    # Numbers of thousands of digits, and thousands of brackets, are errors of Python.
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a TOML file: {error}", path=path) from error
    for key, value in table.items():
        _check_plain(key, value, path)
    return table


def _check_plain(key: str, value: Any, path: Path) -> None:
    """Raise a FormatError for values that may be too deep or too long to be shown."""
    is_list = isinstance(value, list)
    if is_list and all(isinstance(item, str) for item in value):
        return
    if is_list or isinstance(value, dict):
        kind = "a table" if isinstance(value, dict) else "a list"
        raise FormatError(f"expected one value, found {kind}", path=path, key=key)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise FormatError(
            "expected a number of at most 64 bits, as TOML has", path=path, key=key
        )


def read_config(path: Path, options_class: type) -> dict[str, Any]:
    """Read a file of options of a class; FormatError on unknown or wrong ones."""
    return check_values(read_toml(path), options_class, path)


def to_table(options: Any) -> dict[str, Any]:
    """Return the set values of an options object as TOML has them; paths absolute."""
    return {name: _to_plain(value) for name, value in flatten(options).items()}


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return _absolute(value) if isinstance(value, Path) else value


def _absolute(path: Path) -> str:
    """Return an absolute path, behind the prefix (``ark:``) if there is one."""
    prefix, path = strip_rspecifier(path)
    return f"{prefix}:{path.absolute()}" if prefix else str(path.absolute())


def write_config(path: Path, options: Any) -> None:
    """Write the set values of an options object; UsageError if a name is not UTF-8."""
    import tomli_w

    table = to_table(options)
    for name, value in table.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                _check_encoding(name, text, path)
    with atomic_write(path, "wb") as file:
        tomli_w.dump(table, file)


def _check_encoding(name: str, value: str, path: Path) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        try:
            # In a locale other than UTF-8, Python does not decode UTF-8 names.
            os.fsencode(value).decode()
            way_out = "use a UTF-8 locale, such as LC_ALL=C.UTF-8"
        except UnicodeError:
            way_out = "rename it"
        raise UsageError(
            f"{flag(name)} {value!r} is not UTF-8 and cannot be written to "
            f"{path.name}; {way_out}"
        ) from error
