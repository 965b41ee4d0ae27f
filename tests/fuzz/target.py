"""Fuzz readers with atheris, each in a process that is forked from this one.

Imports are instrumented, and seeds made, once. The argument is what `run.py` was asked
for, as JSON.
"""

import gc
import itertools
import json
import logging
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ssahc"]):
    from checks import Unsound
    from harnesses import feed
    from seeds import make_seeds

_LINE = "{:14}{:>10}{:>8}{:>8}{:>10}{:>7}{:>9}"
# Limits of our own are below: libFuzzer's would count the time for which a process was
# suspended, and all memory of the process.
_LIBFUZZER = (
    "-timeout=1000000",
    "-report_slow_units=1000000",
    "-rss_limit_mb=0",
    "-max_len=8192",
    "-print_final_stats=1",
    "-verbosity=1",
)
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
    """Fuzz all readers and print a line for each; exit with 1 if anything was found."""
    settings = json.loads(sys.argv[1])
    keep = Path(settings["keep"])
    seeds = make_seeds()
    # Shared with all forked processes.
    gc.freeze()
    _print("reader", "inputs", "CPU s", "edges", "features", "finds", "MB")
    running, failed = {}, False
    for name in settings["names"]:
        if len(running) == settings["jobs"]:
            failed |= _end_one(running, keep)
        before = _finds(keep, name)
        # In memory, where the system has such a place. No TemporaryDirectory: forked
        # processes would remove those of others.
        memory = Path("/dev/shm")
        place = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        process = os.fork()
        if process == 0:
            _fuzz(name, seeds[name], settings, place)
        running[process] = name, place, before
    while running:
        failed |= _end_one(running, keep)
    sys.exit(int(failed))


def _end_one(running, keep):
    """Wait for a process to end, print its line, and return whether it failed."""
    process, status, usage = os.wait4(-1, 0)
    name, place, before = running.pop(process)
    shutil.rmtree(place, ignore_errors=True)
    text = (keep / f"{name}.log").read_text("utf-8", "replace")
    finds = sorted(_finds(keep, name) - before)
    cpu = usage.ru_utime + usage.ru_stime
    tried = _last(r"stat::number_of_executed_units: *(\d+)", text)
    coverage = (_last(rf"\b{key}: (\d+)", text) for key in ("cov", "ft"))
    memory_mb = usage.ru_maxrss >> 10
    _print(name, tried, f"{cpu:.0f}", *coverage, len(finds), memory_mb)
    if failed := bool(finds or status):
        if finds:
            print(*(f"  {path}" for path in finds), sep="\n")
        print(*(f"  | {line}" for line in text.splitlines()[-25:]), sep="\n")
    sys.stdout.flush()
    return failed


def _finds(keep, name):
    """Return the paths of inputs that a reader failed on, NAME.crash-* most often."""
    return set(keep.glob(f"{name}.*-*"))


def _print(*cells):
    print(_LINE.format(*cells), flush=True)


def _last(pattern, text):
    """Return the number of the last match; 0 if there is none."""
    return int(([0, *re.findall(pattern, text)])[-1])


def _fuzz(name, seeds, settings, place):
    """Fuzz one reader until inputs or CPU seconds are spent; do not return."""
    keep = Path(settings["keep"])
    log = os.open(keep / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    folder, corpus = place / "files", place / "seeds"
    found = keep / name if settings["keep_corpus"] else place / "found"
    for one in (folder, corpus, found):
        one.mkdir(exist_ok=True)
    for seed, data in seeds.items():
        (corpus / seed).write_bytes(data)
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
    for seed, data in seeds.items():
        # The last of them in the log is the one that a crash comes from.
        print("seed", seed, flush=True)
        feed(name, data, folder)
    signal.signal(signal.SIGPROF, _stop)
    until = time.process_time() + settings["seconds"]
    # The system ends what hangs outside Python.
    most = int(2 * until + 60)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    limits = (f"-seed={settings['seed']}", f"-runs={settings['runs']}")
    artifacts = f"-artifact_prefix={keep / name}."
    arguments = [name, *_LIBFUZZER, *limits, artifacts, str(found), str(corpus)]
    atheris.Setup(arguments, test_one)
    atheris.Fuzz()
    os._exit(0)


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
