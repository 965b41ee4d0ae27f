"""What is said on standard error."""

import sys
from contextlib import suppress

import click

from ssahc.core.errors import printable


def say(message: str) -> None:
    """Print a line, whatever it holds.

    One that nobody reads, or that has no room on a full disk, must not end a run.
    """
    with suppress(OSError):
        click.echo(f"ssahc: {printable(message)}", file=sys.stderr)


def say_error(message: str) -> None:
    """Print a line that says what is wrong."""
    say(f"error: {message}")
