"""What the verbs that work through recordings share: counts, faults, output, status."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import click

from ssahc.errors import DataError, UsageError
from ssahc.io.rttm import write_rttm
from ssahc.io.text import write_labels
from ssahc.types import Fault, Turn


class Named(Protocol):
    """What is worked on: something with the id of its recording."""

    @property
    def id(self) -> str:
        """Recording id."""


T = TypeVar("T")
Item = TypeVar("Item", bound=Named)
Result = TypeVar("Result")

CONFIG = "config.toml"


@dataclass(frozen=True)
class RttmOptions:
    """How an RTTM is written.

    Parameters
    ----------
    rttm_channel : str
        Channel field of the RTTM.
    """

    rttm_channel: str = "0"

    def __post_init__(self) -> None:
        if self.rttm_channel.split() != [self.rttm_channel]:
            raise UsageError(
                f"--rttm-channel must be one word, found {self.rttm_channel!r}"
            )


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield items with a progress bar, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, what, total=total, console=Console(stderr=True))


def work_through(
    items: Iterable[Item | Fault],
    work: Callable[[Item], Result],
    *,
    total: int,
    what: str,
) -> tuple[dict[str, Result], list[Fault]]:
    """Do the work on every recording; a fault in one does not cost the others.

    Parameters
    ----------
    items : iterable
        Recordings, or faults in their place.
    work : callable
        Raises DataError for what cannot be done.
    total : int
        Number of recordings.
    what : str
        Said beside the progress bar.

    Returns
    -------
    done : dict
        Recording to result.
    faults : list of Fault
        They have been printed.

    Raises
    ------
    DataError
        If no recording could be done.
    """
    done: dict[str, Result] = {}
    faults: list[Fault] = []
    for item in track(items, total, what):
        if isinstance(item, Fault):
            faults.append(item)
            continue
        try:
            done[item.id] = work(item)
        except DataError as error:
            faults.append(Fault(item.id, str(error)))
    _report(faults, total)
    if not done:
        raise DataError("no recording could be done; nothing is written")
    return done, faults


def _report(faults: list[Fault], total: int) -> None:
    """Print the recordings that failed, those of one reason together."""
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
        click.echo(f"ssahc: error: {who}: {reason}", err=True)


def write_results(
    folder: Path,
    labels: Iterable[tuple[str, int]],
    turns: Mapping[str, Sequence[Turn]] | None,
    *,
    channel: str,
) -> None:
    """Write ``labels`` and, if there are turns, ``rttm``."""
    write_labels(folder / "labels", labels)
    if turns is not None:
        write_rttm(folder / "rttm", turns, channel=channel)
