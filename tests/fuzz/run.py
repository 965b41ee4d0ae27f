"""Fuzz the readers of ssahc, each in a process of its own.

    python tests/fuzz/run.py [--seconds S] [--runs N] [--jobs N] [--seed N]
        [--keep FOLDER] [NAME ...]

For every reader the table has a line: inputs tried, these by CPU second, CPU seconds,
edges and features that libFuzzer's coverage counts, inputs kept for new coverage,
crashes, inputs that took too long, and most memory. Exit status 1 if anything was
found; FOLDER/NAME-crash-* is the input that shows it, and --replay has it read again.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = (
    *("reader", "inputs", "inputs/s", "CPU s", "edges", "features", "corpus"),
    *("crashes", "slow", "peak MB"),
)
_LINE = "{:14}" + "{:>11}" * (len(COLUMNS) - 1)
# libFuzzer's. Its timeout, and its report of what is slow, would count the time for
# which a process was suspended, so that target.py has a limit of its own, of CPU
# seconds.
_LIBFUZZER = (
    *("-timeout=1000000", "-report_slow_units=1000000", "-max_len=8192"),
    *("-print_final_stats=1", "-verbosity=1"),
)
# Where inputs lie, if there is such a place: in memory.
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Outcome:
    """What fuzzing one reader came to."""

    cells: tuple
    finds: tuple[Path, ...]
    status: int
    log: Path


def main():
    """Fuzz, print the table, and exit 1 if anything was found."""
    arguments = parse()
    from harnesses import HARNESSES

    unknown = set(arguments.names) - HARNESSES.keys()
    if unknown:
        sys.exit(f"no reader {', '.join(unknown)}; there are {', '.join(HARNESSES)}")
    if arguments.replay is not None:
        sys.exit(replay(arguments.replay, [HARNESSES[n] for n in arguments.names]))
    if importlib.util.find_spec("atheris") is None:
        sys.exit("fuzzing needs atheris: pip install 'ssahc[fuzz]'")
    done = read_table(arguments.table)
    names = [name for name in arguments.names or HARNESSES if name not in done]
    show(arguments.table, COLUMNS)
    with ExitStack() as stack:
        keep = arguments.keep
        if keep is None:
            keep = stack.enter_context(tempfile.TemporaryDirectory())
        threads = stack.enter_context(ThreadPoolExecutor(arguments.jobs))
        finds = Path("fuzz-finds") if arguments.keep is None else arguments.keep
        outcomes = []
        running = [
            threads.submit(fuzz, name, arguments, Path(keep), finds) for name in names
        ]
        for future in as_completed(running):
            outcome = future.result()
            outcomes.append(outcome)
            # A reader that was stopped from outside is not done.
            show(None if outcome.status else arguments.table, outcome.cells)
            for path in outcome.finds:
                print(f"  found: {path}")
            if outcome.status:
                print(f"  exit status {outcome.status}")
                print(tail(outcome.log), flush=True)
    sys.exit(any(outcome.finds or outcome.status for outcome in outcomes))


def parse():
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="a reader; all, if none is given")
    add("--seconds", type=float, default=10, help="CPU seconds for each (10)")
    add("--runs", type=int, default=-1, help="inputs for each, at most (no limit)")
    add("--jobs", type=int, default=1, help="processes at a time (1)")
    add("--seed", type=int, default=0, help="of the mutations; 0 for a new one (0)")
    add("--keep", type=Path, help="folder for logs, inputs of new coverage, and finds")
    add(
        "--table", type=Path, help="file for the table; what is there is not done again"
    )
    add("--replay", type=Path, help="an input to have NAME read, with no fuzzing")
    return parser.parse_args()


def read_table(path):
    """Return the readers that a table has."""
    if path is None or not path.exists():
        return set()
    return {line.split()[0] for line in path.read_text().splitlines()}


def show(table, cells):
    """Print a line of the table, and append it to a file, if one is wanted."""
    line = _LINE.format(*cells)
    print(line, flush=True)
    if table is not None and cells[0] not in read_table(table):
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("a") as file:
            print(line, file=file)


def fuzz(name, arguments, keep, finds):
    """Fuzz one reader and return the outcome."""
    found, log = keep / name, keep / f"{name}.log"
    found.mkdir(parents=True, exist_ok=True)
    finds.mkdir(parents=True, exist_ok=True)
    before = set(finds.glob(f"{name}-*"))
    with (
        log.open("wb") as file,
        tempfile.TemporaryDirectory(
            dir=_MEMORY if _MEMORY.is_dir() else None, prefix="ssahc-fuzz-"
        ) as place,
    ):
        command = [
            *(sys.executable, HERE / "target.py", name, arguments.seconds, place),
            *(*_LIBFUZZER, f"-seed={arguments.seed}", f"-runs={arguments.runs}"),
            *(f"-artifact_prefix={finds / name}-", found, HERE / "corpus" / name),
        ]
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # The order of sets is part of what coverage guides by.
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    new = tuple(sorted(set(finds.glob(f"{name}-*")) - before))
    slow = sum("-timeout-" in path.name or "-slow-" in path.name for path in new)
    slow += int(bool(new) and "Unsound: took" in text)
    cpu = usage.ru_utime + usage.ru_stime
    tried = last(r"stat::number_of_executed_units: *(\d+)", text)
    cells = (
        *(name, tried, f"{tried / cpu:.0f}", f"{cpu:.0f}"),
        *(last(rf"\b{key}: (\d+)", text) for key in ("cov", "ft", "corp")),
        *(len(new) - slow, slow, usage.ru_maxrss >> 10),
    )
    return Outcome(cells, new, process.returncode, log)


def last(pattern, text):
    """Return the number of the last match; 0 if there is none."""
    matches = re.findall(pattern, text)
    return int(matches[-1]) if matches else 0


def tail(log):
    """Return the end of what a process said."""
    lines = log.read_text("utf-8", "replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-25:])


def replay(path, harnesses):
    """Have readers read an input; return 1 if one fails."""
    from harnesses import feed

    warnings.simplefilter("error")
    failed = 0
    for harness in harnesses:
        with tempfile.TemporaryDirectory() as folder:
            try:
                refused = feed(harness, path.read_bytes(), Path(folder))
                print("accepted" if refused is None else f"refused: {refused}")
            except Exception:
                traceback.print_exc()
                failed = 1
    return failed


if __name__ == "__main__":
    main()
