"""Run work on every recording: progress, faults, and the files of results."""

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from ssahc.cli.messages import say_error
from ssahc.core.errors import DataError, SsahcError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import Fault, Turn
from ssahc.io.rttm import write_rttm
from ssahc.io.text import write_labels
from ssahc.runtime.executor import Each, Load, RunningOptions, Undone, map_unordered
from ssahc.runtime.memory import lack_of_memory
from ssahc.runtime.worker import Work


class Named(Protocol):
    """A unit of work: anything with the id of its recording."""

    @property
    def id(self) -> str:
        """Recording id."""


T = TypeVar("T")
Item = TypeVar("Item", bound=Named)
Result = TypeVar("Result")

# Written by many verbs, and by tune alone.
CONFIG, TUNING = "config.toml", "tuning.csv"
# Seconds between two lines of progress in a log.
_SILENCE = 30.0
# Errors that are printed one by one, and recordings that a warning names.
_SHOWN = _NAMED = 5

# Seconds; what is shorter is not given in hours.
_BRIEF = 360

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class RttmOptions(Options, group="Input and output"):
    """How an RTTM is written.

    Parameters
    ----------
    rttm_channel : str
        Channel field of the RTTM.
    """

    rttm_channel: str = "0"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rttm_channel.split() != [self.rttm_channel]:
            raise UsageError(
                f"--rttm-channel must be one word, found {self.rttm_channel!r}"
            )


def track(items: Iterable[T], total: int, what: str, *, done: int = 0) -> Iterator[T]:
    """Yield items and show progress, as `meter` does."""
    with meter(total, what, done=done) as advance:
        for item in items:
            yield item
            # It may be large: it is not held while the next one is made.
            del item
            advance(1)


class _Unit(NamedTuple):
    """How progress is counted, and how fast it is; time needs no speed."""

    name: str
    digits: int
    rate: str
    each: float = 1


_ITEMS = _Unit("", 0, "{:.1f}/s")
_HOURS = _Unit(" h of audio", 2, "{:.0f} times real time", 3600)
_MINUTES = _Unit(" min", 1, "")


@contextmanager
def meter(
    total: float,
    what: str,
    *,
    done: float = 0,
    in_hours: bool = False,
    in_minutes: bool = False,
) -> Iterator[Callable[[float], None]]:
    """Show progress, a bar on a terminal and else lines in the log.

    Yields a function that is called with what is newly done. All are numbers of items,
    hours of audio, or minutes; `total` includes what was `done` by an earlier run.
    """
    unit = _HOURS if in_hours else _MINUTES if in_minutes else _ITEMS
    if not sys.stderr.isatty():
        yield _log_progress(total, what, done, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(
            what,
            total=total,
            completed=done,  # type: ignore[arg-type]  # it takes fractions as well
            count=_count(done, total, unit, "/"),
            rate="",
        )

        def advance(size: float) -> None:
            nonlocal done
            done += size
            speed = progress.tasks[task].speed
            rate = _rate(speed, unit) if speed else ""
            count = _count(done, total, unit, "/")
            progress.update(task, advance=size, count=count, rate=rate)

        yield advance


def _log_progress(
    total: float, what: str, done: float, unit: _Unit
) -> Callable[[float], None]:
    start = said = time.monotonic()
    count = 0.0

    def advance(size: float) -> None:
        nonlocal said, count
        count += size
        now = time.monotonic()
        if now - said < _SILENCE or count == 0:
            return
        said, rate = now, count / (now - start)
        left = timedelta(seconds=max(round((total - done - count) / rate), 0))
        parts = (_count(done + count, total, unit), _rate(rate, unit), f"{left} left")
        _logger.info("%s: %s", what, ", ".join(part for part in parts if part))

    return advance


def _count(done: float, total: float, unit: _Unit, of: str = " of ") -> str:
    return f"{done:.{unit.digits}f}{of}{total:.{unit.digits}f}{unit.name}"


def _rate(per_second: float, unit: _Unit) -> str:
    return unit.rate.format(unit.each * per_second)


def work_each(
    items: Iterable[Item | Fault],
    work: Work[Item, Result | Fault],
    running: RunningOptions,
    *,
    total: int,
    load: Load[Item] | None = None,
) -> Generator[tuple[str, Result] | Fault]:
    """Do the work on every recording; a fault affects that recording alone.

    Faults among the items are passed on; `work`, `total` and `load` are those of
    `map_unordered`. Yields (recording id, result) pairs and faults as they come.
    """
    faults: list[Fault] = []

    def sound() -> Iterator[Item]:
        for item in items:
            if isinstance(item, Fault):
                faults.append(item)
            else:
                yield item
            # A recording may need all of --max-memory: the last one must not be held
            # while the next is read.
            del item

    for item, result in map_unordered(work, sound(), running, total=total, load=load):
        while faults:
            yield faults.pop(0)
        if isinstance(result, Undone):
            yield Fault(item.id, result.reason)
        elif isinstance(result, Fault):
            yield result
        else:
            yield item.id, result
        del item, result
    yield from faults


def as_fault(item: Named, error: SsahcError | MemoryError) -> Fault:
    """Return the fault of a recording that could not be done."""
    if isinstance(error, MemoryError):
        return Fault(item.id, lack_of_memory(error))
    return Fault(item.id, str(error))


def _attempt(work: Callable[[Item], Result], item: Item) -> Result | Fault:
    try:
        return work(item)
    except (DataError, MemoryError) as error:
        return as_fault(item, error)


def work_through(
    items: Iterable[Item | Fault],
    work: Callable[[Item], Result],
    *,
    total: int,
    what: str,
    running: RunningOptions = RunningOptions(),
    load: Load[Item] | None = None,
) -> tuple[dict[str, Result], list[Fault]]:
    """Do the work on every recording, show progress, and print what failed.

    `work` raises DataError if a recording cannot be done; `what` labels the progress.
    Returns the results in order of completion, and the faults already printed; a
    DataError is raised if no recording could be done.
    """
    each = Each(partial(_attempt, work))
    done: dict[str, Result] = {}
    faults: list[Fault] = []
    with closing(work_each(items, each, running, total=total, load=load)) as outcomes:
        for outcome in track(outcomes, total, what):
            if isinstance(outcome, Fault):
                faults.append(outcome)
            else:
                done[outcome[0]] = outcome[1]
    print_faults(faults, total)
    if not done:
        raise nothing_done()
    return done, faults


def nothing_done() -> DataError:
    """Return the error of a run in which every recording failed."""
    return DataError("no recording could be done; nothing is written")


def print_faults(faults: Iterable[Fault], total: int) -> None:
    """Print the recordings that failed, grouped by reason."""
    by_reason: dict[str, list[str]] = {}
    for fault in faults:
        by_reason.setdefault(fault.reason, []).append(fault.recording)
    for reason, recordings in by_reason.items():
        if len(recordings) == total > 1:
            who = f"all {total} recordings"
        elif len(recordings) > 1:
            who = "recordings " + ", ".join(map(repr, recordings))
        else:
            who = f"recording {recordings[0]!r}"
        say_error(f"{who}: {reason}")


def print_errors(errors: Iterable[object]) -> None:
    """Print the first few errors and the number of others."""
    # A folder that is given twice has its errors twice.
    messages = list(dict.fromkeys(map(str, errors)))
    for message in messages[:_SHOWN]:
        say_error(message)
    if len(messages) > _SHOWN:
        say_error(f"... and {len(messages) - _SHOWN} more")


def warn_of(what: str, recordings: Iterable[str], way_out: str = "") -> None:
    """Log a warning that names the first few recordings, if there are any."""
    names = sorted(recordings)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    then = f"; {way_out}" if way_out else ""
    if names:
        _logger.warning("%s: %s%s%s", what, ", ".join(names[:_NAMED]), more, then)


def length_of(seconds: float) -> str:
    """Return a length of speech or audio for people, in seconds or hours."""
    return f"{seconds:.0f} s" if seconds < _BRIEF else f"{seconds / 3600:.2f} h"


def write_results(
    folder: Path,
    labels: Iterable[tuple[str, int]],
    turns: Mapping[str, Sequence[Turn]] | None,
    *,
    channel: str,
    with_confidence: bool = False,
) -> None:
    """Write ``labels`` and, if there are turns, ``rttm``."""
    write_labels(folder / "labels", labels)
    if turns is not None:
        path = folder / "rttm"
        write_rttm(path, turns, channel=channel, with_confidence=with_confidence)
