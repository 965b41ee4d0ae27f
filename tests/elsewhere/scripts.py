"""The scripts of the recipe, and programs that take the place of others."""

from pathlib import Path

import click

from ssahc.cli import cli

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "egs" / "callhome" / "local"


def program(path, script):
    """An executable of these commands."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


def check_commands(commands):
    """Have the command line parse commands (verb, words...) of ssahc."""
    context = click.Context(cli)
    for verb, *words in commands:
        command = cli.get_command(context, verb)
        assert command is not None
        command.make_context(verb, words)
