"""Runs that are killed at random moments and resumed, by the script for it."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "interrupt.py"
SIZE = ("--kills", "5", "--recordings", "6", "--duration", "30", "--nj", "1")


def test_ten_kills_change_nothing(tmp_path):
    scripts = [
        subprocess.Popen(
            [sys.executable, SCRIPT, tmp_path / seed, *SIZE, "--seed", seed],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    for script in scripts:
        said, _ = script.communicate()
        assert script.returncode == 0, said
        assert re.search(r"^5 kills of \d+ runs in \d+ s: ", said, re.MULTILINE)
        assert said.endswith(
            "runs that failed: 0; with other files than an uninterrupted run: 0; "
            "recordings done twice: 0; processes left behind: 0\n"
        )
