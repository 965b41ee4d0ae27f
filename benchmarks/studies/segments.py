"""Time and memory that a segments file with ten million surplus lines costs.

FOLDER gets a simulated corpus and these lines, a thousand for each of many recordings
that have no x-vectors. The recordings of the corpus must still be diarized and the
others be named; where memory does not suffice for all lines, one line must say so.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.support.processes import Usage, run
from benchmarks.support.tables import show
from ssahc.io.text import read_names
from ssahc.pipeline.options import DiarizeOptions

SSAHC = Path(sys.executable).with_name("ssahc")
# Lines of one recording, and the time from one to the next.
LINES, STEP = 1000, 0.75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--limit", default="1G")


def main(arguments: argparse.Namespace) -> None:
    corpus, out = arguments.folder / "corpus", arguments.folder / "out"
    run([str(SSAHC), "simulate", str(corpus), "--recordings", "3", "--duration", "60"])
    xvectors, model = corpus / "a", corpus / "model" / "b"
    add_lines(xvectors / "segments", arguments.lines)
    print(f"{(xvectors / 'segments').stat().st_size / 2**20:.0f} MiB", file=sys.stderr)

    diarize = ("diarize", xvectors, out, "--model-dir", model)
    within = ("--max-memory", arguments.limit)
    # Exit status, and lines: a check lists a thousand problems, then their number.
    runs = {
        "check": (("check", xvectors), 2, min(arguments.lines, 1000) + 1),
        "diarize": (diarize, 1, -(-arguments.lines // LINES)),
        f"diarize, {arguments.limit}": ((*diarize, *within), 2, 1),
    }
    rows, faults = [], []
    for name, (command, status, lines) in runs.items():
        usage, said = follow(arguments.folder / "log", command, status)
        rows.append((name, f"{usage.cpu:.0f}", f"{usage.peak / 2**20:.0f}"))
        if len(said) != lines:
            faults.append(f"{name}: {len(said)} lines, of which the last: {said[-1:]}")
    show(rows, ("", "CPU s", "peak MiB"))
    done = {line.split()[1] for line in (out / "rttm").open()}
    if done != set(read_names(xvectors / "spk2utt")):
        faults.append(f"{len(done)} recordings were done")
    if usage.peak > 1.1 * DiarizeOptions(max_memory=arguments.limit).max_bytes():
        faults.append(f"more memory than {arguments.limit} was taken")
    print("\n".join(faults) or "\nall is done, and all is named")
    sys.exit(1 if faults else 0)


def add_lines(path: Path, count: int) -> None:
    with path.open("a") as file:
        for number in range(count):
            recording, place = divmod(number, LINES)
            name = f"zz{recording:06d}"
            start = STEP * place
            file.write(f"{name}-{place:03d} {name} {start:.2f} {start + 1.5:.2f}\n")


def follow(log: Path, command: tuple[object, ...], status: int) -> tuple[Usage, list]:
    """Return what a run took and the lines of its errors; it must end with a status."""
    script = '"$@" > /dev/null 2> "$0"; test $? -eq ' + str(status)
    usage = run(["sh", "-c", script, str(log), str(SSAHC), *map(str, command)])
    return usage, log.read_text().splitlines()
