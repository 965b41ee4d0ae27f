"""What lies in an output folder: of an earlier run, or of others, who would lose it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssahc.cli.runner import CONFIG, TUNING
from ssahc.core.errors import FormatError, UsageError
from ssahc.io.config import read_toml
from ssahc.io.files import open_regular
from ssahc.io.folders import UNFINISHED

# No line of columns is longer.
_LONGEST = 10_000


def read_earlier(out_dir: Path, names: Iterable[str], verb: str) -> dict[str, Any]:
    """Return the options of the run of diarize or cluster that a folder holds.

    Parameters
    ----------
    out_dir : Path
    names : iterable of str
        Files that will be written there, besides config.toml.
    verb : str
        What writes them.

    Returns
    -------
    dict
        Empty if there is no such run.

    Raises
    ------
    UsageError
        If there is none, and files of these names would be lost.
    """
    earlier: dict[str, Any] = {}
    with suppress(FormatError):
        earlier = read_toml(out_dir / CONFIG)
    # Of all verbs whose options are kept, only these and tune write an RTTM's channel.
    if "rttm_channel" in earlier and not (out_dir / TUNING).exists():
        return earlier
    # Of a run that was stopped at its very end, options are what is moved last.
    if not (out_dir / UNFINISHED / CONFIG).exists():
        refuse_others(out_dir, (*names, CONFIG), verb)
    return {}


def has_columns(path: Path, names: Sequence[str]) -> bool:
    """Whether a table is there whose last columns have these names."""
    if not path.is_file():
        return False
    with open_regular(path) as file:
        return (
            file.readline(_LONGEST).rstrip(b"\r\n").endswith(",".join(names).encode())
        )


def refuse_others(out_dir: Path, names: Iterable[str], verb: str) -> None:
    """Raise a UsageError if there are files of these names, which would be lost."""
    for name in names:
        if (out_dir / name).is_file():
            raise UsageError(
                f"{out_dir}: holds {name} that ssahc {verb} did not write, or not to "
                "the end; choose another folder, or move it away"
            )
