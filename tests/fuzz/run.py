"""Fuzz the readers of ssahc, each in a process of its own.

    python tests/fuzz/run.py [--seconds S] [--runs N] [--jobs N] [--seed N]
        [--keep FOLDER] [NAME ...]

Prints a line for every reader: inputs tried, CPU seconds, edges and features that
libFuzzer's coverage counts, finds, and peak memory. Exit status 1 if anything was
found: FOLDER/NAME-crash-* is the input that shows it, and --replay reads it again.
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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
LINE = "{:14}{:>10}{:>8}{:>8}{:>10}{:>7}{:>9}"
# target.py has limits of its own: libFuzzer's would count the time for which a process
# was suspended.
LIBFUZZER = (
    "-timeout=1000000",
    "-report_slow_units=1000000",
    "-max_len=8192",
    "-print_final_stats=1",
    "-verbosity=1",
)


def main():
    """Fuzz, print the table, and exit with status 1 if anything was found."""
    arguments = parse()
    from harnesses import READERS

    names = arguments.names or list(READERS)
    if unknown := set(names) - READERS.keys():
        sys.exit(f"no reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    if arguments.replay is not None:
        sys.exit(max(replay(arguments.replay, name) for name in names))
    if importlib.util.find_spec("atheris") is None:
        sys.exit("fuzzing needs atheris: pip install 'ssahc[fuzz]'")
    print(LINE.format("reader", "inputs", "CPU s", "edges", "features", "finds", "MB"))
    with ThreadPoolExecutor(arguments.jobs) as threads:
        failed = list(threads.map(partial(fuzz, arguments), names))
    sys.exit(int(any(failed)))


def parse():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="readers (default: all)")
    add("--seconds", type=float, default=10, help="CPU seconds for each (10)")
    add("--runs", type=int, default=-1, help="maximum inputs for each (no limit)")
    add("--jobs", type=int, default=1, help="number of processes (1)")
    add("--seed", type=int, default=0, help="of the mutations; 0 for a new one (0)")
    add("--keep", type=Path, help="folder for inputs of new coverage, logs, and finds")
    add("--replay", type=Path, help="an input for NAME to read, without fuzzing")
    return parser.parse_args()


def fuzz(arguments, name):
    """Fuzz one reader, print its line, and return whether it failed."""
    from seeds import make_seeds

    keep = arguments.keep or Path("fuzz-finds")
    keep.mkdir(parents=True, exist_ok=True)
    log = keep / f"{name}.log"
    before = set(keep.glob(f"{name}-*"))
    # In memory, where the system has such a place.
    memory = Path("/dev/shm")
    with (
        log.open("wb") as file,
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place,
    ):
        files, corpus = Path(place, "files"), Path(place, "seeds")
        found = keep / name if arguments.keep else Path(place, "found")
        for folder in (files, corpus, found):
            folder.mkdir(exist_ok=True)
        for seed, data in make_seeds()[name].items():
            (corpus / seed).write_bytes(data)
        command = [
            sys.executable,
            HERE / "target.py",
            name,
            arguments.seconds,
            files,
            *LIBFUZZER,
            f"-seed={arguments.seed}",
            f"-runs={arguments.runs}",
            f"-artifact_prefix={keep / name}-",
            found,
            corpus,
        ]
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # Coverage depends on the order of sets.
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text("utf-8", "replace")
    finds = sorted(set(keep.glob(f"{name}-*")) - before)
    cpu = usage.ru_utime + usage.ru_stime
    tried = last(r"stat::number_of_executed_units: *(\d+)", text)
    coverage = (last(rf"\b{key}: (\d+)", text) for key in ("cov", "ft"))
    memory_mb = usage.ru_maxrss >> 10
    print(LINE.format(name, tried, f"{cpu:.0f}", *coverage, len(finds), memory_mb))
    if failed := bool(finds or process.returncode):
        print(*(f"  {path}" for path in finds), sep="\n")
        print(*(f"  | {line}" for line in text.splitlines()[-25:]), sep="\n")
    sys.stdout.flush()
    return failed


def last(pattern, text):
    """Return the number of the last match; 0 if there is none."""
    return int(([0, *re.findall(pattern, text)])[-1])


def replay(path, name):
    """Have a reader read an input; return 1 if it fails."""
    from harnesses import feed

    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        try:
            refused = feed(name, path.read_bytes(), Path(folder))
        except Exception:
            traceback.print_exc()
            return 1
    print("accepted" if refused is None else f"refused: {refused}")
    return 0


if __name__ == "__main__":
    main()
