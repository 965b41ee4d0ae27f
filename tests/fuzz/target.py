"""Fuzz one reader with atheris; `run.py` starts a process for each.

Arguments: reader, CPU seconds, an empty folder for its files, and those of libFuzzer.
"""

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
    from harnesses import feed
    from seeds import make_seeds

# Memory that an input, of 64 KiB at most, may take. libFuzzer's own limit is on the
# whole process, of which atheris takes hundreds of megabytes in half an hour.
_MORE_MB = 512
# Allocations are limited anew after so many inputs.
_BETWEEN = 1000
# CPU seconds that an input may take in instrumented readers.
_LONGEST = 2.0


class _Formats(logging.Handler):
    """Formats every message, since a wrong format string fails only then."""

    def emit(self, record):
        record.getMessage()


def main():
    """Fuzz until the CPU seconds are spent."""
    name, seconds, place, *arguments = sys.argv[1:]
    folder = Path(place)
    warnings.simplefilter("error")
    logger = logging.getLogger("ssahc")
    logger.handlers, logger.propagate = [_Formats()], False
    logger.setLevel(logging.INFO)
    numbers = itertools.count()

    def test_one(data):
        if next(numbers) % _BETWEEN == 0:
            _limit_memory()
        most, began = _peak(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _LONGEST)
        feed(name, data, folder)
        signal.setitimer(signal.ITIMER_PROF, 0)
        took = time.process_time() - began
        # A reader may have caught what `_stop` raised.
        if took > _LONGEST:
            raise Unsound(f"took {took:.1f} s")
        if _peak() - most > _MORE_MB:
            raise Unsound(f"needed {_peak() - most} MB")
        if began + took > until:
            # libFuzzer then prints its statistics and ends.
            os.kill(os.getpid(), signal.SIGUSR1)

    # The first call of a reader may import.
    for seed in make_seeds()[name].values():
        feed(name, seed, folder)
    signal.signal(signal.SIGPROF, _stop)
    until = time.process_time() + float(seconds)
    # The system ends what hangs outside Python.
    most = int(2 * until + 60)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    atheris.Setup([name, "-rss_limit_mb=0", *arguments], test_one)
    atheris.Fuzz()


def _stop(number, frame):
    raise Unsound(f"took more than {_LONGEST} s")


def _peak():
    """Return the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _limit_memory():
    """Make allocations fail that are too large for any input."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2 * (_MORE_MB << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
