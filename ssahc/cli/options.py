"""Click options made from options classes."""

from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar

import click

from ssahc.config import Option, list_options, list_presets

F = TypeVar("F", bound=Callable[..., Any])

READABLE_DIR = click.Path(path_type=Path, file_okay=False)
ANY_PATH = click.Path(path_type=Path)


def options_of(options_class: type) -> Callable[[F], F]:
    """Add every option of a class to a command; what is not given arrives as None."""

    def decorate(function: F) -> F:
        for option in reversed(list(list_options(options_class))):
            function = _add(option)(function)
        return function

    return decorate


def _add(option: Option) -> Callable[[F], F]:
    unset = option.default is None or option.default is MISSING
    text = option.help if unset else f"{option.help}  [default: {option.default}]"
    if option.type is bool:
        return click.option(
            f"{option.flag}/--no-{option.flag[2:]}", default=None, help=text
        )
    kind: Any = option.type
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.type is Path:
        kind = ANY_PATH
    return click.option(option.flag, type=kind, default=None, help=text)


def config_options(function: F) -> F:
    """Add ``--preset`` and ``--config``."""
    function = click.option(
        "--config",
        type=ANY_PATH,
        help="TOML file of options (names with _ for -), such as an earlier run's "
        "config.toml; the command line wins over it.",
    )(function)
    return click.option(
        "--preset",
        type=click.Choice(list_presets()),
        help="Named set of options; --config and the command line win over it.",
    )(function)
