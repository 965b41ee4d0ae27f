"""How much memory this process takes, and a limit on it that the system keeps (Linux).

What is known beforehand is refused beforehand (`check_room`). What is not, the system
refuses at the moment when it is asked for (`limited_memory`): an allocation then fails
as if the machine had no more, which Python reports as a MemoryError.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from ssahc.core.errors import DataError, UsageError

_MIB = 2**20
# Less than this beside the libraries is not enough to do anything with.
_LEAST = 64 * _MIB


def memory_taken() -> int:
    """Return how many bytes of memory this process takes: its resident set."""
    return _pages(1)


def _pages(field: int) -> int:
    """Return a field of /proc/self/statm (1: resident, 5: data) in bytes."""
    try:
        fields = Path("/proc/self/statm").read_bytes().split()
    except OSError as error:
        raise UsageError(
            "--max-memory needs Linux's /proc, which is not there; leave it out"
        ) from error
    return int(fields[field]) * resource.getpagesize()


def check_room(needed: float, max_bytes: float, what: str) -> None:
    """Refuse what this process has no room for.

    Parameters
    ----------
    needed : float
        About how many bytes it takes.
    max_bytes : float
        What the process may take in all.
    what : str
        Subject of the error: what needs them.

    Raises
    ------
    DataError
        If that is more than there is left.
    """
    if max_bytes == inf:
        return
    taken = memory_taken()
    if taken + needed > max_bytes:
        raise DataError(
            f"{what} needs about {_mib(needed)} of memory beside {_mib(taken)} that "
            f"are taken, and --max-memory allows {_mib(max_bytes)}; allow more"
        )


@contextmanager
def limited_memory(max_bytes: float) -> Iterator[None]:
    """Have the system refuse what would take this process beyond a limit.

    Processes that are started meanwhile have the same limit, each for itself.

    Parameters
    ----------
    max_bytes : float
        What the process may take in all. Libraries should be loaded before: they do
        not survive it that memory is refused to them while they are loaded.

    Raises
    ------
    UsageError
        If next to nothing is left beside what is taken already.
    """
    if max_bytes == inf:
        yield
        return
    left = max_bytes - memory_taken()
    if left < _LEAST:
        raise UsageError(
            f"--max-memory allows {_mib(max_bytes)}, and {_mib(max_bytes - left)} are "
            "taken by Python and libraries before any recording is; allow "
            f"{_mib(max_bytes - left + _LEAST)} or more"
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # Some of the data was asked for and never used, so it is larger than the resident
    # set: what counts is by how much either may grow.
    limit = int(_pages(5) + left)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    if limit > sys.maxsize:
        # More than the system can be told is more than there is.
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def lack_of_memory(error: MemoryError) -> str:
    """Return what to say where memory was refused."""
    asked = f": {error}" if str(error) else ""
    return f"not enough memory{asked}; allow more where --max-memory sets a limit"


def _mib(size: float) -> str:
    return f"{size / _MIB:,.0f} MiB"
