"""Fuzz the readers of ssahc, each in a process of its own.

    python tests/fuzz/run.py [--seconds S] [--runs N] [--jobs N] [--seed N]
        [--keep FOLDER] [NAME ...]

Prints a line for every reader: inputs tried, CPU seconds, edges and features that
libFuzzer's coverage counts, finds, and peak memory. Exit status 1 if anything was
found: FOLDER/NAME.crash-* is the input that shows it, and --replay reads it again.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).parent


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
    sys.exit(fuzz(arguments, names))


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


def fuzz(arguments, names):
    """Fuzz readers in a process that forks one for each; return its exit status."""
    keep = arguments.keep or Path("fuzz-finds")
    keep.mkdir(parents=True, exist_ok=True)
    settings = {
        "seconds": arguments.seconds,
        "runs": arguments.runs,
        "jobs": arguments.jobs,
        "seed": arguments.seed,
        "keep": str(keep),
        "keep_corpus": arguments.keep is not None,
        "names": names,
    }
    # What atheris says of every module; readers have logs of their own.
    log = keep / "imports.log"
    with log.open("wb") as file:
        status = subprocess.run(
            [sys.executable, HERE / "target.py", json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stderr=file,
            # Coverage depends on the order of sets.
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            check=False,
        ).returncode
    if "Traceback" in (text := log.read_text("utf-8", "replace")):
        print(text[text.index("Traceback") :])
    return status


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
