"""Conf files of Kaldi's programs, such as ``mfcc.conf``: ``--key=value`` lines."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import Option, build, list_options
from ssahc.core.validation import dashed
from ssahc.io.files import atomic_write, read_lines, to_number
from ssahc.io.text import parse_count

T = TypeVar("T")
# Options of Kaldi's programs that do not affect what is computed here.
_WITHOUT_EFFECT = {
    *("allow-downsample", "allow-upsample", "debug-mel", "max-feature-vectors"),
    *("max-warnings", "print-args", "verbose", "vtln-high", "vtln-low"),
}
# Written whatever their value.
_ALWAYS = {"sample_frequency", "dither"}
_BOOLEANS = dict.fromkeys(("true", "t", "1", ""), True) | dict.fromkeys(
    ("false", "f", "0"), False
)


def read_conf(path: Path | str, options_class: type[T]) -> T:
    """Read options from a conf file; what it does not name keeps its default.

    As in Kaldi, ``#`` starts a comment, ``--key`` alone is true, underscores in keys
    are hyphens, and of two lines with one key the later wins.

    Raises
    ------
    FormatError
        On a line of another form, an unknown key, or a value that cannot be.
    """
    path = Path(path)
    known = {dashed(option.name): option for option in list_options(options_class)}
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, line in read_lines(path):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            key, value = _split(text)
            if key in _WITHOUT_EFFECT - known.keys():
                continue
            option = _find(key, known)
            values[option.name] = _convert(option, value)
            lines[key] = number
        except ValueError as error:
            raise FormatError(str(error), path=path, line=number) from error
    try:
        return build(options_class, values)
    except UsageError as error:
        named = re.findall(r"--([a-z-]+)", str(error))
        line_of = next((lines[key] for key in named if key in lines), None)
        raise FormatError(str(error), path=path, line=line_of) from error


def write_conf(path: Path, options: Any) -> None:
    """Write options as a conf file: those that are not Kaldi's defaults.

    Of dither, the default here is another than Kaldi's, so that it is always written.
    """
    lines = []
    for option in list_options(type(options)):
        value = getattr(options, option.name)
        if value != option.default or option.name in _ALWAYS:
            text = str(value).lower() if option.type is bool else f"{value:g}"
            lines.append(f"--{dashed(option.name)}={text}\n")
    with atomic_write(path) as file:
        file.writelines(lines)


def find_conf(folder: Path, *names: str) -> Path | None:
    """Return the first of these conf files that a model folder has; None if none.

    For a model in Kaldi's place, ``RECIPE/exp/MODEL``, files that it does not have are
    looked for in ``RECIPE/conf``.
    """
    place = folder.absolute()
    places = [folder]
    if place.parent.name == "exp":
        places.append(place.parent.parent / "conf")
    paths = [place / name for place in places for name in names]
    return next((path for path in paths if path.exists()), None)


def _split(text: str) -> tuple[str, str]:
    if not text.startswith("--"):
        raise ValueError(
            f"expected '--key=value', found {text[:80]!r}; is this a conf file of a "
            "Kaldi program?"
        )
    key, _, value = text[2:].partition("=")
    return key.replace("_", "-").lower(), value


def _find(key: str, known: dict[str, Option]) -> Option:
    if key not in known:
        near = get_close_matches(key, known, n=1)
        names = f"supported are {', '.join(sorted(known))}"
        hint = f"did you mean '--{near[0]}'?" if near else names
        raise ValueError(f"unknown option '--{key[:80]}'; {hint}")
    return known[key]


def _convert(option: Option, value: str) -> bool | int | float | str:
    """Return a value as the option's type; a ValueError says what is expected."""
    converted: bool | int | float | str | None = None
    if option.type is bool:
        converted = _BOOLEANS.get(value.lower())
    elif option.type is int:
        count = parse_count(value.removeprefix("-"))
        converted = -count if count and value.startswith("-") else count
    elif option.type is float:
        try:
            converted = to_number(value)
        except ValueError:
            converted = None
    else:
        converted = value
    if converted is None:
        called = {bool: "true or false", int: "a whole number", float: "a number"}
        raise ValueError(
            f"expected {called[option.type]} for '--{dashed(option.name)}', found "
            f"{value[:40]!r}"
        )
    return converted
