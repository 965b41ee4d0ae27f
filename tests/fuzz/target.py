"""One reader under atheris, in a process of its own; `run.py` starts it."""

import itertools
import logging
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ssahc"]):
    from checks import Unsound
    from harnesses import HARNESSES, feed

# Memory that one input may take: none is larger than 64 KiB. (libFuzzer's own limit is
# on all that the process has, and atheris keeps some 100 bytes of every comparison of
# arrays, which half an hour makes hundreds of megabytes of.)
_MORE_MB = 512
# Inputs after which allocations are limited anew, by what the process has by then.
_BETWEEN = 1000
# CPU seconds that one input may take, instrumented as the readers are.
_LONGEST = 2.0


class _Formats(logging.Handler):
    """Makes every message, since only then is what is wrong with it found."""

    def emit(self, record):
        record.getMessage()


def main():
    """Fuzz the reader NAME for SECONDS of CPU, its files in the empty folder PLACE.

    What else is given goes to libFuzzer, the folder of the corpus last.
    """
    name, seconds, place, *arguments = sys.argv[1:]
    harness = HARNESSES[name]
    warnings.simplefilter("error")
    logger = logging.getLogger("ssahc")
    logger.handlers, logger.propagate = [_Formats()], False
    logger.setLevel(logging.INFO)
    folder, elsewhere = Path(place, "input"), Path(place, "elsewhere")
    folder.mkdir()
    elsewhere.mkdir()
    words = elsewhere / "words"
    words.write_text("".join(map(_escape, harness.words)))

    def test_one(data):
        if next(numbers) % _BETWEEN == 0:
            _limit_memory()
        most, began = _peak(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _LONGEST)
        feed(harness, data, folder)
        signal.setitimer(signal.ITIMER_PROF, 0)
        took = time.process_time() - began
        # A reader may have caught what `_stop` raised.
        if took > _LONGEST:
            raise Unsound(f"took {took:.1f} s")
        if _peak() - most > _MORE_MB:
            raise Unsound(f"needed {_peak() - most} MB")
        if began + took > until:
            # libFuzzer then prints its figures and ends.
            os.kill(os.getpid(), signal.SIGUSR1)

    # The first call of a reader may import.
    seeds = sorted(Path(arguments[-1]).iterdir())
    for seed in seeds:
        feed(harness, seed.read_bytes(), folder)
    signal.signal(signal.SIGPROF, _stop)
    until = time.process_time() + float(seconds)
    # What hangs outside Python is ended by the system. By its count, which it makes at
    # every tick of its clock, a process may have taken a fifth more than it has.
    most = int(2 * until + 60)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    numbers = itertools.count()
    arguments.insert(0, "-rss_limit_mb=0")
    atheris.Setup([name, f"-dict={words}", *arguments], test_one)
    atheris.Fuzz()


def _stop(number, frame):
    raise Unsound(f"took more than {_LONGEST} s")


def _peak():
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _limit_memory():
    """Have allocations fail that no input is large enough for."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2 * (_MORE_MB << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _escape(word):
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


if __name__ == "__main__":
    main()
