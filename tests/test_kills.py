"""Runs that are killed at random moments and resumed, by the script for it."""

import re
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "interrupt.py"


def test_ten_kills_change_nothing(shell, tmp_path):
    size = ("--recordings", 6, "--duration", 30)
    result = shell(sys.executable, SCRIPT, tmp_path, "--kills", 10, *size)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^10 kills of \d+ runs in \d+ s: ", result.stdout, re.MULTILINE)
    assert result.stdout.endswith(
        "runs that failed: 0; with other files than an uninterrupted run: 0; "
        "recordings done twice: 0; processes left behind: 0\n"
    )
