"""What all verbs share: their options on the command line, and the grouped help."""

import logging
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import MISSING
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from ssahc.cli.groups import level_options
from ssahc.core.options import Group, Option, build, combine, list_options
from ssahc.io.config import read_config
from ssahc.io.files import to_number
from ssahc.pipeline.presets import list_presets, load_preset
from ssahc.runtime.executor import RunningOptions

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_logger = logging.getLogger("ssahc")
# Longer lists of choices are part of the description.
_LONGEST_METAVAR = 50


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
    """Numbers as C writes them, which is how files are read."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        try:
            to_number(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return super().convert(value, param, ctx)


class _Int(_Plain, click.types.IntParamType):
    """A whole number."""


class _Float(_Plain, click.types.FloatParamType):
    """A number that need not be whole."""


_TYPES: dict[type, Any] = {int: _Int(), float: _Float(), Path: PATH}


class GroupedOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(
        self,
        *args: Any,
        group: Group | None = None,
        old_flag: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.group = group
        self.old_flag = old_flag


class Verb(click.Command):
    """A command with ``-v``, ``-q``, grouped help, and Kaldi's ``--flag=true``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += level_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, with ``--flag=true`` and old names respelled."""
        spelled: dict[str, str] = {}
        renamed: dict[str, str] = {}
        for option in self.params:
            if isinstance(option, click.Option) and option.secondary_opts:
                spelled[f"{option.opts[0]}=true"] = option.opts[0]
                spelled[f"{option.opts[0]}=false"] = option.secondary_opts[0]
            if isinstance(option, GroupedOption) and option.old_flag:
                renamed[option.old_flag] = option.opts[0]
        args = [spelled.get(arg, arg) for arg in args]
        used = []
        for place, arg in enumerate(args):
            old, *value = arg.split("=", 1)
            if old in renamed:
                used.append(old)
                args[place] = "=".join([renamed[old], *value])
        rest = super().parse_args(ctx, args)
        # Only now is it known how much to print.
        for old in used:
            new = renamed[old]
            _logger.warning(f"{old} is the old spelling of {new}; use {new}")
        return rest

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options under the headings of their groups, others last."""
        rows: dict[str | None, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if isinstance(param, click.Option) and row is not None:
                rows.setdefault(getattr(param, "group", None), []).append(row)
        for group in (*get_args(Group), None):
            if group in rows:
                title = group or ("Other options" if len(rows) > 1 else "Options")
                with formatter.section(title):
                    formatter.write_dl(rows[group], col_max=26)


def options_of(
    options_class: type, *, without: Collection[str] = ()
) -> Callable[[F], F]:
    """Add the options of a class, except those named; None if not given."""

    def decorate(function: F) -> F:
        for option in reversed(list(list_options(options_class))):
            if option.name not in without:
                function = _add(option)(function)
        return function

    return decorate


def _add(option: Option) -> Callable[[F], F]:
    flags, kind, metavar = option.flag, _TYPES.get(option.type), None
    default, text = option.default, option.help
    if option.type is bool:
        flags = f"{option.flag}/{option.off_flag}"
        default = option.flag.removeprefix("--") if default else None
    elif option.choices:
        kind = click.Choice(option.choices)
        if len("|".join(option.choices)) > _LONGEST_METAVAR:
            metavar = "NAME"
            text += f" Choices: {', '.join(option.choices)}."
    if default not in (None, MISSING, ()):
        text += f"  [default: {default}]"
    return click.option(
        flags,
        cls=GroupedOption,
        group=option.group,
        old_flag=option.old_flag,
        type=kind,
        default=None,
        multiple=option.multiple,
        callback=_take_several if option.multiple else None,
        metavar=metavar,
        help=text,
    )


def _take_several(
    ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """Return the values of an option that may be repeated; None if not given."""
    return values or None


def running_options(function: F) -> F:
    """Add ``--nj`` and ``--dask``."""
    return options_of(RunningOptions)(function)


def take_running(given: dict[str, Any]) -> RunningOptions:
    """Take these options out of what the command line gave."""
    names = [option.name for option in list_options(RunningOptions)]
    return build(RunningOptions, {name: given.pop(name) for name in names})


def config_option(function: F) -> F:
    """Add ``--config``."""
    return click.option(
        "--config",
        cls=GroupedOption,
        group="Input and output",
        type=PATH,
        help="TOML file of options (names with _ for -), which the command line "
        "overrides. Relative paths in it start at the working directory.",
    )(function)


def preset_option(function: F) -> F:
    """Add ``--preset``."""
    return click.option(
        "--preset",
        cls=GroupedOption,
        group="System",
        type=click.Choice(list_presets()),
        metavar="NAME",
        help="Named set of options, which --config and the command line override. "
        f"Choices: {', '.join(list_presets())}.",
    )(function)


def resolve(
    options_class: type[T],
    given: Mapping[str, Any],
    *,
    config: Path | None = None,
    preset: str | None = None,
    displaces: Mapping[str, Set[str]] | None = None,
    base: Mapping[str, Any] | None = None,
) -> T:
    """Combine the sources of options: command line > config file > preset > default.

    None in `given`, which the command line says, means "not given"; `displaces` is that
    of `ssahc.core.options.combine`. Values of `base` stand in place of defaults.
    """
    sources: list[Mapping[str, Any]] = [given]
    if config is not None:
        sources.insert(0, read_config(config, options_class))
    if preset is not None:
        sources.insert(0, load_preset(preset, options_class))
    if base is not None:
        sources.insert(0, base)
    return combine(options_class, sources, displaces or {})
