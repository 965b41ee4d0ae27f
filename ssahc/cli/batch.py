"""What the verbs that work through recordings share: counts, faults, output, status."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import click

from ssahc.config import flatten, list_options
from ssahc.errors import DataError, UsageError
from ssahc.io.ark import strip_rspecifier
from ssahc.io.rttm import write_rttm
from ssahc.io.text import read_reco2min_max, read_reco2num_spk, write_labels
from ssahc.pipeline import SpeakerOptions
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

_EXACT = {"reco2num_spk", "num_speakers"}
_BOUNDS = {"min_speakers", "max_speakers"}
_FREE = {"threshold", "reco2min_max"} | _BOUNDS
# Exact numbers of speakers have no place beside a threshold or bounds, nor beside
# other exact numbers, nor bounds for each recording beside bounds for all: what the
# command line says displaces what a config file says.
SPEAKER_CONFLICTS = (
    {name: (_EXACT | _FREE) - {name} for name in _EXACT}
    | {name: _EXACT | {"reco2min_max"} for name in _BOUNDS}
    | {"threshold": _EXACT, "reco2min_max": _EXACT | _BOUNDS}
)


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


@dataclass(frozen=True)
class SpeakerTables:
    """Tables of how many speakers each recording has.

    Parameters
    ----------
    reco2num_spk : Path, optional
        Kaldi's table of known numbers of speakers: "recording count" lines.
    reco2min_max : Path, optional
        Bounds on what the threshold decides: "recording min max" lines.
    """

    reco2num_spk: Path | None = None
    reco2min_max: Path | None = None


@dataclass(frozen=True)
class SpeakersOf:
    """How many speakers each recording has: a table of options, or one for all."""

    everywhere: SpeakerOptions
    table: Mapping[str, SpeakerOptions] | None = None
    path: Path | None = None

    def __call__(self, recording: str) -> SpeakerOptions:
        """Return what is known of a recording.

        Raises
        ------
        DataError
            If there is a table and it lacks the recording.
        """
        if self.table is None:
            return self.everywhere
        if recording not in self.table:
            raise DataError(
                f"{self.path}: does not list this recording; add a line for "
                f"{recording!r}"
            )
        return self.table[recording]


def read_speakers(tables: SpeakerTables, speakers: SpeakerOptions) -> SpeakersOf:
    """Read what the tables say of each recording, if there is one.

    Raises
    ------
    UsageError
        If other options or another table say something else.
    """
    if tables.reco2num_spk is not None:
        says = "--reco2num-spk gives exact numbers of speakers"
        _refuse_beside(says, _FREE, tables, speakers)
        path = strip_rspecifier(tables.reco2num_spk)[1]
        exact = read_reco2num_spk(path)
        rows = {name: SpeakerOptions(count) for name, count in exact.items()}
        return SpeakersOf(speakers, rows, path)
    if tables.reco2min_max is not None:
        says = "--reco2min-max gives bounds on the number of speakers"
        _refuse_beside(says, _BOUNDS | {"num_speakers"}, tables, speakers)
        path = strip_rspecifier(tables.reco2min_max)[1]
        rows = {
            name: replace(speakers, min_speakers=fewest, max_speakers=most)
            for name, (fewest, most) in read_reco2min_max(path).items()
        }
        return SpeakersOf(speakers, rows, path)
    return SpeakersOf(speakers)


def _refuse_beside(
    says: str, names: set[str], tables: SpeakerTables, speakers: SpeakerOptions
) -> None:
    given = flatten(tables) | flatten(speakers)
    wrong = [
        option.flag
        for options_class in (SpeakerTables, SpeakerOptions)
        for option in list_options(options_class)
        if option.name in names and given.get(option.name) not in (None, option.default)
    ]
    if wrong:
        raise UsageError(f"{says}; leave out {' and '.join(wrong)}")


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
