"""How much memory this process takes (Linux), and whether there is room for more."""

import resource
from math import inf
from pathlib import Path

from ssahc.core.errors import DataError, UsageError


def memory_taken() -> int:
    """Return how many bytes of memory this process takes: its resident set."""
    try:
        fields = Path("/proc/self/statm").read_bytes().split()
    except OSError as error:
        raise UsageError(
            "--max-memory needs Linux's /proc, which is not there; leave it out"
        ) from error
    return int(fields[1]) * resource.getpagesize()


def memory_free() -> float:
    """Return how many bytes the system has left; inf if it does not say (not Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return inf
    fields = [line.split() for line in lines]
    return next((1024.0 * int(f[1]) for f in fields if f[0] == "MemAvailable:"), inf)


def check_room(needed: float, max_bytes: float, what: str) -> None:
    """Raise a DataError if `what` needs more bytes than the limit leaves free."""
    if max_bytes == inf:
        return
    taken = memory_taken()
    if taken + needed > max_bytes:
        raise DataError(
            f"{what} needs about {_mib(needed)} of memory beside {_mib(taken)} that "
            f"are taken, and --max-memory allows {_mib(max_bytes)}; allow more"
        )


def lack_of_memory(error: MemoryError) -> str:
    """Return the message for a failed allocation."""
    return f"not enough memory: {error}" if str(error) else "not enough memory"


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
