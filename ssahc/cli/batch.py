"""What the verbs that work through recordings share: faults, progress, exit status."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from ssahc.config import flatten, list_options
from ssahc.errors import DataError, UsageError
from ssahc.io.rttm import write_rttm
from ssahc.io.text import write_labels
from ssahc.io.xvectors import Fault
from ssahc.pipeline import SpeakerOptions
from ssahc.types import Turn

T = TypeVar("T")


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield items with a progress bar, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, what, total=total, console=Console(stderr=True))


def report_faults(faults: list[Fault], total: int) -> None:
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


def exit_status(done: int, faults: list[Fault]) -> int:
    """Return 0 if all recordings are done, 1 if some are, 2 if none is."""
    if not faults:
        return 0
    return 1 if done else 2


def count_for(
    recording: str, counts: dict[str, int] | None, path: Path | None
) -> int | None:
    """Return the known number of speakers of a recording; None if there is no table.

    Raises
    ------
    DataError
        If the table lacks the recording.
    """
    if counts is None:
        return None
    if recording not in counts:
        raise DataError(
            f"{path}: does not list this recording; add a line '{recording} COUNT'"
        )
    return counts[recording]


def check_counts(speakers: SpeakerOptions) -> None:
    """Refuse options that contradict a table of exact numbers of speakers."""
    given = flatten(speakers)
    wrong = [
        option.flag
        for option in list_options(SpeakerOptions)
        if given.get(option.name) not in (None, option.default)
    ]
    if wrong:
        raise UsageError(
            "--reco2num-spk gives exact numbers of speakers; leave out "
            + " and ".join(wrong)
        )


def write_results(
    out_dir: Path,
    turns: Mapping[str, Sequence[Turn]] | None,
    labels: Iterable[tuple[str, int]],
    *,
    channel: str,
) -> None:
    """Write ``labels`` and, if there are turns, ``rttm``."""
    write_labels(out_dir / "labels", labels)
    if turns is not None:
        write_rttm(out_dir / "rttm", turns, channel=channel)
