"""Click options made from options classes."""

import logging
from collections.abc import Callable, Collection
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar

import click

from ssahc.io.config import Option, build, list_options, list_presets
from ssahc.io.files import to_number

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _FilePath(click.Path):
    """A path; an empty one (an unset shell variable) is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


PATH = _FilePath()


class _Plain(click.ParamType):  # type: ignore[type-arg]  # generic from 8.5 on
    """Numbers as C writes them, which is how readers of files take them."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if not _is_plain(value):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return super().convert(value, param, ctx)


class _Whole(_Plain, click.types.IntParamType):
    """A whole number."""


class _Real(_Plain, click.types.FloatParamType):
    """A number that need not be whole."""


def _is_plain(text: str) -> bool:
    try:
        to_number(text)
    except ValueError:
        return False
    return True


_NUMBERS = {int: _Whole(), float: _Real()}


class Verb(click.Command):
    """A command with ``-v`` and ``-q`` that also takes Kaldi's ``--flag=true``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["-v", "--verbose"],
                is_flag=True,
                expose_value=False,
                callback=_set_level(logging.DEBUG),
                help="Say more: what was learned in every recording.",
            ),
            click.Option(
                ["-q", "--quiet"],
                is_flag=True,
                expose_value=False,
                callback=_set_level(logging.ERROR),
                help="Say nothing but errors.",
            ),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, ``--flag=true`` and ``--flag=false`` respelled."""
        spelled: dict[str, str] = {}
        for option in self.params:
            if isinstance(option, click.Option) and option.secondary_opts:
                spelled[f"{option.opts[0]}=true"] = option.opts[0]
                spelled[f"{option.opts[0]}=false"] = option.secondary_opts[0]
        return super().parse_args(ctx, [spelled.get(arg, arg) for arg in args])


def _set_level(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def set_level(ctx: click.Context, param: click.Parameter, given: bool) -> None:
        if given:
            logging.getLogger("ssahc").setLevel(level)

    return set_level


def options_of(
    options_class: type, *, without: Collection[str] = ()
) -> Callable[[F], F]:
    """Add the options of a class to a command; what is not given arrives as None.

    Parameters
    ----------
    options_class : type
    without : collection of str
        Names of options that the command gets in another way.
    """

    def decorate(function: F) -> F:
        for option in reversed(list(list_options(options_class))):
            if option.name not in without:
                function = _add(option)(function)
        return function

    return decorate


def _add(option: Option) -> Callable[[F], F]:
    if option.type is bool:
        flags = option.flag, option.off_flag
        on_or_off = flags[0 if option.default else 1].removeprefix("--")
        text = f"{option.help}  [default: {on_or_off}]"
        return click.option("/".join(flags), default=None, help=text)
    unset = option.default is None or option.default is MISSING
    text = option.help if unset else f"{option.help}  [default: {option.default}]"
    kind: Any = option.type
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.type is Path:
        kind = PATH
    elif option.type in _NUMBERS:
        kind = _NUMBERS[option.type]
    return click.option(option.flag, type=kind, default=None, help=text)


def take_options(options_class: type[T], given: dict[str, Any]) -> T:
    """Take the options of a class out of what the command line gave."""
    names = [option.name for option in list_options(options_class)]
    return build(options_class, {name: given.pop(name) for name in names})


def config_option(function: F) -> F:
    """Add ``--config``."""
    return click.option(
        "--config",
        type=PATH,
        help="TOML file of options (names with _ for -); the command line wins over "
        "it. Relative paths in it start at the working directory.",
    )(function)


def preset_option(function: F) -> F:
    """Add ``--preset``."""
    return click.option(
        "--preset",
        type=click.Choice(list_presets()),
        metavar="NAME",
        help="Named set of options; --config and the command line win over it. There "
        f"are {', '.join(list_presets())}.",
    )(function)
