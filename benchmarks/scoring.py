"""Time of ``ssahc score`` by number of turns, beside md-eval.

One recording is simulated with so many turns, of which a tenth has the wrong speaker
and all are moved a little. Figures are of processes from start to end: the median CPU
seconds, and in brackets the smallest and the largest.
"""

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.support.processes import measure, run
from benchmarks.support.tables import show
from ssahc.core.types import Turn
from ssahc.io.rttm import write_rttm

SSAHC = Path(sys.executable).with_name("ssahc")
SPEAKERS = "ABCD"


def draw_turns(count: int, rng: random.Random) -> tuple[list[Turn], list[Turn]]:
    """Return the turns of a reference, some of which overlap, and of a hypothesis."""
    reference, hypothesis, clock = [], [], 1.0
    for _ in range(count):
        start, length = clock + rng.uniform(-0.3, 1), rng.uniform(0.3, 4)
        speaker = rng.choice(SPEAKERS)
        reference.append(Turn(start, start + length, speaker))
        start += rng.uniform(-0.2, 0.2)
        if rng.random() < 0.1:
            speaker = rng.choice(SPEAKERS)
        hypothesis.append(Turn(start, start + length, f"hypothesis-{speaker}"))
        clock = max(start + length, 1)
    return reference, hypothesis


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--md-eval", default="/usr/lib/sctk/bin/md-eval.pl")
    parser.add_argument("--turns", type=int, nargs="+", default=[2500, 10_000, 30_000])
    parser.add_argument("--repeat", type=int, default=3)


def main(arguments: argparse.Namespace) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("ref", "hyp")]
        for count in arguments.turns:
            for file, turns in zip(
                files, draw_turns(count, random.Random(count)), strict=True
            ):
                write_rttm(file, {"r": turns})
            ours = [str(SSAHC), "score", *files, "--summary"]
            theirs = ["perl", arguments.md_eval, "-1", "-c", "0.25"]
            theirs += ["-r", files[0], "-s", files[1]]
            methods = {"ssahc score": [partial(run, ours)]}
            methods["md-eval"] = [partial(run, theirs)]
            found = measure(methods, arguments.repeat)
            ratio = found["ssahc score"].median("cpu") / found["md-eval"].median("cpu")
            shown = [runs.show("cpu", ".2f") for runs in found.values()]
            rows.append([str(count), *shown, f"{ratio:.2f}"])
    show(rows, ["turns", "ssahc score, s", "md-eval, s", "ratio"])
