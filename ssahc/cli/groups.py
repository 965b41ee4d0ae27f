"""Groups of verbs, and the options that groups and verbs share."""

import logging
from typing import Any

import click

_logger = logging.getLogger("ssahc")


class VerbGroup(click.Group):
    """Several verbs: shows its help if none is given, and suggests names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += level_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; an empty one asks for the help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; suggest one if there is none of that name."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            from difflib import get_close_matches

            for near in get_close_matches(name, known, n=1):
                ctx.fail(f"No such command {name!r}. Did you mean {near!r}?")
        return super().resolve_command(ctx, args)


def level_options() -> list[click.Option]:
    """Return ``-v`` and ``-q``."""
    verbose = "Also print details of each recording."
    return [
        _level_option(["-v", "--verbose"], logging.DEBUG, verbose),
        _level_option(["-q", "--quiet"], logging.ERROR, "Print errors only."),
    ]


def _level_option(flags: list[str], level: int, text: str) -> click.Option:
    """Return an option that sets the level of the log."""

    def set_level(ctx: click.Context, param: click.Parameter, given: bool) -> None:
        if given:
            _logger.setLevel(level)

    return click.Option(
        flags, is_flag=True, expose_value=False, callback=set_level, help=text
    )
