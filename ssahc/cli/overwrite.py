"""Detect output of other programs or runs that a run would overwrite."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssahc.cli.runner import CONFIG, TUNING
from ssahc.core.errors import FormatError, UsageError
from ssahc.io.config import read_toml
from ssahc.io.files import open_regular
from ssahc.io.folders import UNFINISHED

# Bytes of a table's first line that are read.
_LONGEST = 10_000


def read_earlier(
    out_dir: Path, names: Iterable[str], verb: str, *, mark: str = "rttm_channel"
) -> dict[str, Any]:
    """Return the options of the run of diarize or cluster that a folder holds, if any.

    Without one, a UsageError is raised if there are files of these names, which `verb`
    will write, or a config.toml. Of other verbs, `mark` is an option that is theirs
    alone.
    """
    earlier: dict[str, Any] = {}
    with suppress(FormatError):
        earlier = read_toml(out_dir / CONFIG)
    # Of the verbs that keep their options, these two and tune have an RTTM channel.
    if mark in earlier and not (out_dir / TUNING).exists():
        return earlier
    # A run that was stopped at its very end has moved all its files but the options.
    if not (out_dir / UNFINISHED / CONFIG).exists():
        refuse_others(out_dir, (*names, CONFIG), verb)
    return {}


def has_columns(path: Path, names: Sequence[str]) -> bool:
    """Whether a CSV file exists whose last columns have these names."""
    if not path.is_file():
        return False
    with open_regular(path) as file:
        header = file.readline(_LONGEST).rstrip(b"\r\n")
    return header.endswith(",".join(names).encode())


def refuse_others(out_dir: Path, names: Iterable[str], verb: str) -> None:
    """Raise a UsageError if a folder holds files of these names."""
    for name in names:
        if (out_dir / name).is_file():
            raise UsageError(
                f"{out_dir}: holds {name} that no completed run of ssahc {verb} wrote; "
                "choose another folder, or move it away"
            )
