"""Markdown tables to paste into docs/results."""

from collections.abc import Iterable, Sequence


def show(
    rows: Iterable[Sequence[str]], heading: Sequence[str], *, text: int = 1
) -> None:
    """Print a table in Markdown, the first columns (as many as `text`) of text."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    for place, title in enumerate(heading):
        table.add_column(title, justify="left" if place < text else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=250).print(table)
