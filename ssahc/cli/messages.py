"""Messages on standard error."""

import sys
from contextlib import suppress

import click

from ssahc.core.errors import printable


def say(message: str) -> None:
    """Print a line, with control characters escaped.

    A closed pipe or a full disk behind standard error must not end a run.
    """
    with suppress(OSError):
        click.echo(f"ssahc: {printable(message)}", file=sys.stderr)


def say_error(message: str) -> None:
    """Print an error message."""
    say(f"error: {message}")
