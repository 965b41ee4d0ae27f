"""Kill a run of 500 recordings again and again, resume it, and compare.

    python benchmarks/interrupt.py FOLDER [--nj N] [--kills N] [--recordings N]

FOLDER gets a simulated corpus, an uninterrupted run and one that is killed (SIGKILL) at
random moments and resumed until it is finished. Every file of both must be the same.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SSAHC = Path(sys.executable).with_name("ssahc")
FILES = ("rttm", "labels", "scores.ark", "scores.scp", "config.toml")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--recordings", type=int, default=500)
    arguments = parser.parse_args()
    folder = arguments.folder
    corpus = folder / "corpus"
    count = ["--recordings", str(arguments.recordings)]
    subprocess.run([SSAHC, "simulate", corpus, *count], check=True)
    command = [
        *(SSAHC, "diarize", corpus / "a"),
        *("--model-dir", corpus / "model" / "b", "--write-scores"),
        *("--nj", str(arguments.nj)),
    ]
    start = time.monotonic()
    subprocess.run([*command, folder / "whole"], check=True)
    seconds = time.monotonic() - start
    print(f"uninterrupted: {seconds:.0f} s")
    moments = random.Random(0)
    for kill in range(arguments.kills):
        run = subprocess.Popen([*command, folder / "killed", "--resume"])
        # Every other kill or so leaves more than was there before.
        try:
            run.wait(moments.uniform(2, 4 + 2 * seconds / arguments.kills))
            print(f"kill {kill + 1}: too late, the run had ended")
            break
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            kept = sum(
                path.read_bytes().count(b"\n")
                for path in (folder / "killed" / ".unfinished").glob("labels.*")
            )
            print(f"kill {kill + 1}: {kept} windows kept")
    subprocess.run([*command, folder / "killed", "--resume"], check=True)
    different = [
        name
        for name in FILES
        if (folder / "whole" / name).read_bytes()
        != (folder / "killed" / name).read_bytes()
    ]
    print(f"different files: {', '.join(different) or 'none'}")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
