"""Tables on standard output: aligned text and Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import click

from ssahc.core.errors import printable

# Special characters in the text of a Markdown cell.
_MARKUP = re.compile(r"([\\`*_\[\]<>|~&])")


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None
) -> None:
    """Print a table with the first column aligned left and the others right.

    Cells are never cut, however narrow the terminal. Headings may have several lines.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="", pad_edge=False)
    for place, heading in enumerate(header):
        side: Literal["left", "right"] = "right" if place else "left"
        table.add_column(Text(heading), justify=side, vertical="bottom")
    for row in rows:
        table.add_row(*map(Text, map(printable, row)))
    if title is not None:
        click.echo(title)
    # rich cuts cells if a table is wider than the console.
    Console(highlight=False, soft_wrap=True, width=10**6).print(table)


def print_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in GitHub's Markdown, aligned as by `print_table`."""
    sides = [":---", *["---:"] * (len(header) - 1)]
    for cells in (map(_escape, header), sides, *(map(_escape, row) for row in rows)):
        click.echo(f"| {' | '.join(cells)} |")


def _escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", printable(text.replace("\n", " ")))
