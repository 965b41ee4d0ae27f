"""Puts the help of the command line into the pages that ask for it."""

import re
from typing import Any

from click.testing import CliRunner

from ssahc.cli import cli


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Replace ``<!-- help: VERB -->`` by what ``ssahc VERB --help`` prints."""
    return re.sub(r"<!-- help:(.*?)-->", _print_help, markdown)


def _print_help(match: re.Match[str]) -> str:
    words = [*match[1].split(), "--help"]
    result = CliRunner().invoke(cli, words, prog_name="ssahc", catch_exceptions=False)
    return f"```text\n{result.output}```"
