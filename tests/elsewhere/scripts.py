"""The scripts of the recipe, and programs that take the place of others."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "egs" / "callhome" / "local"


def program(path, script):
    """An executable of these commands."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)
