"""Processes that are really killed, at random moments, and resumed."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "elsewhere" / "forked_kills.py"
# Enough recordings that some of the kills find a run with some of them done: fewer take
# a moment, and every kill would come before the first or after the last.
SIZE = ("--kills", "6", "--recordings", "20", "--duration", "80", "--nj", "1")


def test_killed_runs_give_the_same_files_when_resumed(tmp_path):
    script = subprocess.run(
        [sys.executable, SCRIPT, "interrupt", tmp_path, *SIZE, "--seed=2"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert script.returncode == 0, script.stdout
    assert re.search(r"^6 kills of \d+ runs in \d+ s: ", script.stdout, re.MULTILINE)
    assert script.stdout.endswith(
        "runs that failed: 0; with other files than an uninterrupted run: 0; "
        "recordings done twice: 0; processes left behind: 0\n"
    )
