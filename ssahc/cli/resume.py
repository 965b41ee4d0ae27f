"""What verbs that can be resumed share: a work folder, and whose run it holds."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ssahc.cli.runner import CONFIG
from ssahc.core.errors import UsageError
from ssahc.core.options import build
from ssahc.io.config import read_config, to_table, write_config
from ssahc.io.folders import (
    UNFINISHED,
    clear_unfinished,
    lock_folder,
    move_files,
    refuse_odd,
    remove_stale,
)


@contextmanager
def work_folder(
    out_dir: Path,
    names: Sequence[str],
    *,
    stale: Callable[[], Collection[str]] = tuple,
) -> Iterator[Path]:
    """Make files in a folder of their own; move them to OUT_DIR on leaving.

    After an error the folder stays if it holds a config.toml, and is removed if not.

    Parameters
    ----------
    out_dir : Path
        Made if missing, and taken away again if it stays empty.
    names : sequence of str
        Files that are moved, besides config.toml.
    stale : callable
        Returns those of `names` that an earlier run has left: removed if not made anew.
        Called when no other run can write there any more.

    Yields
    ------
    Path
        The folder; config.toml has to be written there.

    Raises
    ------
    UsageError
        If it cannot be written to, or another run is writing there.
    """
    with lock_folder(out_dir) as folder:
        refuse_odd(out_dir, (*names, CONFIG))
        left = stale()
        try:
            yield folder
            remove_stale(folder, out_dir, left)
            _remove_other_options(folder, out_dir)
            # Options last: until they are gone, the folder can be resumed.
            move_files(folder, out_dir, names)
            move_files(folder, out_dir, (CONFIG,))
        finally:
            if not (folder / CONFIG).exists():
                clear_unfinished(folder)


def _remove_other_options(folder: Path, out_dir: Path) -> None:
    """Remove an earlier run's options, unless they are those of the files to come.

    Else, if this run is killed while it moves its files and is then given up, they
    would say of these that they are the earlier run's.
    """
    with suppress(FileNotFoundError):
        if (folder / CONFIG).read_bytes() != (out_dir / CONFIG).read_bytes():
            (out_dir / CONFIG).unlink()


def is_interrupted(out_dir: Path, *, resume: bool) -> bool:
    """Whether the folder holds a run that was interrupted.

    Raises
    ------
    UsageError
        If it does, and is not to be resumed.
    """
    folder = out_dir / UNFINISHED
    if not (folder / CONFIG).exists():
        return False
    if not resume:
        raise UsageError(
            f"{out_dir}: holds a run that was interrupted; go on with --resume, or "
            f"remove {folder} to start anew"
        )
    return True


def check_same_run(earlier: Path, options: Any, inputs: Iterable[Path]) -> None:
    """Check that what lies in a folder was made with these options from these inputs.

    Parameters
    ----------
    earlier : Path
        Holds config.toml.
    options : dataclass instance
    inputs : iterable of Path

    Raises
    ------
    UsageError
        If an option differs, or a file has changed since.
    """
    _check_options(earlier, options)
    _check_inputs(earlier, inputs)


def _check_options(earlier: Path, options: Any) -> None:
    stored = to_table(
        build(type(options), read_config(earlier / CONFIG, type(options)))
    )
    wanted = to_table(options)
    for name in sorted(stored.keys() | wanted.keys()):
        there, here = stored.get(name, "not given"), wanted.get(name, "not given")
        if there != here:
            raise UsageError(
                f"{earlier / CONFIG}: {name} is {there} there and {here} now, so these "
                "results cannot be resumed; give the same options, or another folder"
            )


def _check_inputs(earlier: Path, inputs: Iterable[Path]) -> None:
    began = (earlier / CONFIG).stat().st_mtime_ns
    for path in inputs:
        if os.path.exists(path) and _last_change(path) > began:
            raise UsageError(
                f"{path}: has changed since the run in {earlier} began; start anew in "
                "another folder, or, if what was done is right all the same: touch "
                f"{earlier / CONFIG}"
            )


def begin(folder: Path, options: Any, inputs: Iterable[Path]) -> None:
    """Write config.toml, which says with which options, and when, a run began.

    Parameters
    ----------
    folder : Path
    options : dataclass instance
    inputs : iterable of Path
    """
    write_config(folder / CONFIG, options)
    began = (folder / CONFIG).stat().st_mtime_ns
    # A clock may have been set back since they were written.
    there = filter(os.path.exists, inputs)
    latest = max([began, *map(_last_change, there)])
    os.utime(folder / CONFIG, ns=(latest, latest))


def _last_change(path: Path) -> int:
    """Return when a file was written, or an older one was put in its place."""
    status = path.stat()
    return max(status.st_mtime_ns, status.st_ctime_ns)
