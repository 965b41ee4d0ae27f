"""One reader under atheris, in a process of its own; `run.py` starts it."""

import logging
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ssahc"]):
    from checks import Unsound
    from harnesses import FOLDER, HARNESSES, feed

# Memory beyond what the process has when it starts: no input is larger than 64 KiB.
_MORE_MB = 512
# CPU seconds that one input may take, instrumented as the readers are.
_LONGEST = 2.0


class _Formats(logging.Handler):
    """Makes every message, since only then is what is wrong with it found."""

    def emit(self, record):
        record.getMessage()


def main():
    """Fuzz the reader NAME for SECONDS of CPU; what else is given goes to libFuzzer."""
    name, seconds, *arguments = sys.argv[1:]
    harness = HARNESSES[name]
    warnings.simplefilter("error")
    logger = logging.getLogger("ssahc")
    logger.handlers, logger.propagate = [_Formats()], False
    logger.setLevel(logging.INFO)
    base = FOLDER if FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(dir=base, prefix="ssahc-fuzz-") as place:
        folder, elsewhere = Path(place, "input"), Path(place, "elsewhere")
        folder.mkdir()
        elsewhere.mkdir()
        words = elsewhere / "words"
        words.write_text("".join(map(_escape, harness.words)))

        def test_one(data):
            began = time.process_time()
            feed(harness, data, folder)
            took = time.process_time() - began
            if took > _LONGEST:
                raise Unsound(f"took {took:.1f} s")
            if began + took > until:
                # libFuzzer then prints its figures and ends.
                os.kill(os.getpid(), signal.SIGUSR1)

        # The first call of a reader may import.
        seeds = sorted(Path(arguments[-1]).iterdir())
        for seed in seeds:
            feed(harness, seed.read_bytes(), folder)
        until = time.process_time() + float(seconds)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        arguments.insert(0, f"-rss_limit_mb={megabytes + _MORE_MB}")
        _limit_memory()
        atheris.Setup([name, f"-dict={words}", *arguments], test_one)
        atheris.Fuzz()


def _limit_memory():
    """Have allocations fail that no input is large enough for."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2 * (_MORE_MB << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _escape(word):
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


if __name__ == "__main__":
    main()
