"""CPU time, wall time and peak memory of whole processes.

As a script, this file runs one command and prints what it took:

    python -I -S benchmarks/support/processes.py SECONDS COMMAND ...

A command that takes more CPU seconds than that is killed; 0 is no limit.

A process starts with the peak memory of the one that started it; therefore this
script, which holds next to nothing, starts what benchmarks measure.
"""

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Command = Sequence[str]
# No user has bytecode compiled anew by every process.
_NOT_FOR_USERS = ("PYTHONDONTWRITEBYTECODE",)
# A command is run again until its runs have taken so many seconds.
_ENOUGH = 20.0


class CommandError(Exception):
    """A command failed, or took more CPU time than it may."""


@dataclass(frozen=True)
class Usage:
    """What a process took.

    Attributes
    ----------
    cpu : float
        User and system time, in seconds.
    wall : float
        In seconds.
    peak : float
        Largest resident memory, in bytes.
    """

    cpu: float
    wall: float
    peak: float

    def __add__(self, other: "Usage") -> "Usage":
        """Return what both took, one after the other."""
        cpu, wall = self.cpu + other.cpu, self.wall + other.wall
        return Usage(cpu, wall, max(self.peak, other.peak))


@dataclass(frozen=True)
class Runs:
    """What the runs of one method took."""

    runs: tuple[Usage, ...]

    def median(self, what: str) -> float:
        """Return the median of an attribute of `Usage`."""
        return statistics.median(getattr(run, what) for run in self.runs)

    def show(self, what: str, form: str = ".1f", unit: float = 1.0) -> str:
        """Return the median and, of several runs, the smallest and the largest."""
        values = [getattr(run, what) / unit for run in self.runs]
        text = f"{statistics.median(values):{form}}"
        if len(values) == 1:
            return text
        return f"{text} ({min(values):{form}}-{max(values):{form}})"


def run(
    command: Command,
    environment: Mapping[str, str] | None = None,
    *,
    patience: float = 0.0,
) -> Usage:
    """Run a command to its end and return what it took.

    Parameters
    ----------
    command : sequence of str
    environment : mapping, optional
        What is different for it.
    patience : float
        Most CPU seconds; 0 is no limit.

    Raises
    ------
    CommandError
        If it fails, or takes longer.
    """
    kept = {key: v for key, v in os.environ.items() if key not in _NOT_FOR_USERS}
    done = subprocess.run(
        [sys.executable, "-I", "-S", __file__, f"{patience:.0f}", *command],
        env=kept | dict(environment or {}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CommandError(done.stderr.strip())
    return Usage(**json.loads(done.stdout))


def measure(
    methods: Mapping[str, Sequence[Callable[[], Usage]]], repeat: int
) -> dict[str, Runs]:
    """Measure several methods in turn, again and again.

    Parameters
    ----------
    methods : mapping
        Name to functions that run a command each, one after the other.
    repeat : int
        Most runs of a method; fewer where they take long.

    Returns
    -------
    dict
        Without the methods of which a command fails; why is printed.
    """
    found: dict[str, list[Usage]] = {name: [] for name in methods}
    for _ in range(repeat):
        for name in [*found]:
            if sum(usage.wall for usage in found[name]) < _ENOUGH:
                try:
                    usages = [start() for start in methods[name]]
                except CommandError as error:
                    print(f"{name} is left out: {error}", flush=True)
                    del found[name]
                else:
                    found[name].append(sum(usages, Usage(0.0, 0.0, 0.0)))
    return {name: Runs(tuple(usages)) for name, usages in found.items()}


def main() -> None:
    start = time.monotonic()
    # What it prints must not be taken for the answer.
    to_errors = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    patience, command = int(sys.argv[1]), sys.argv[2:]
    if patience > 0:
        # Of the command: it is handed on, and this process hardly takes any.
        resource.setrlimit(resource.RLIMIT_CPU, (patience, patience + 1))
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=to_errors)
    _, status, used = os.wait4(child, 0)
    status = os.waitstatus_to_exitcode(status)
    if patience > 0 and status in (-signal.SIGXCPU, -signal.SIGKILL):
        sys.exit(f"killed, most likely for taking more than {patience} CPU s")
    if status:
        sys.exit(f"{' '.join(command)} ended with exit status {status}")
    usage = {
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - start,
        # macOS counts bytes, others KiB.
        "peak": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    print(json.dumps(usage))


if __name__ == "__main__":
    main()
