"""Resuming: the folder of an unfinished run, and whether a run may continue it."""

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ssahc.cli.runner import CONFIG
from ssahc.core.errors import UsageError
from ssahc.core.options import build, check_values, list_options
from ssahc.io.config import read_toml, to_table, write_config
from ssahc.io.folders import (
    UNFINISHED,
    clear_unfinished,
    lock_folder,
    move_files,
    refuse_odd,
    remove_stale,
)

_logger = logging.getLogger("ssahc")


@contextmanager
def work_folder(
    out_dir: Path, names: Sequence[str], *, stale: Callable[[], Collection[str]] = tuple
) -> Iterator[Path]:
    """Yield a folder for the files of a run, which are moved to `out_dir` at the end.

    These are `names` and config.toml; without a config.toml, `out_dir` stays as it is.
    After an error the folder is kept if it holds one. `stale` is that of
    `staged_output`.
    """
    with lock_folder(out_dir) as folder:
        refuse_odd(out_dir, (*names, CONFIG))
        left = stale()
        try:
            yield folder
            if not (folder / CONFIG).exists():
                return
            remove_stale(folder, out_dir, left)
            _remove_other_options(folder, out_dir)
            # Options last: as long as they are in the folder, it can be resumed.
            move_files(folder, out_dir, names)
            move_files(folder, out_dir, (CONFIG,))
        finally:
            if not (folder / CONFIG).exists():
                clear_unfinished(folder)


def _remove_other_options(folder: Path, out_dir: Path) -> None:
    """Remove the options of an earlier run if they are not those of the new files.

    If this run is killed while it moves its files, they must not stand beside these.
    """
    with suppress(FileNotFoundError):
        if (folder / CONFIG).read_bytes() != (out_dir / CONFIG).read_bytes():
            (out_dir / CONFIG).unlink()


def free_number(paths: Callable[[int], Iterable[Path]]) -> int:
    """Return the first number of which none of the paths exists."""
    number = 0
    while any(map(os.path.lexists, paths(number))):
        number += 1
    return number


@contextmanager
def add_to(file: IO[Any], folder: Path) -> Iterator[None]:
    """Flush what is written to a file of a run within this context.

    A UsageError is raised if it could not be written, or the folder was removed.
    """
    try:
        yield
        file.flush()
        is_lost = os.fstat(file.fileno()).st_nlink == 0
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from error
    if is_lost:
        raise UsageError(f"{folder}: was removed during the run; start over")


def is_interrupted(out_dir: Path, *, resume: bool) -> bool:
    """Whether a folder holds an interrupted run; UsageError unless `resume`."""
    folder = out_dir / UNFINISHED
    if not (folder / CONFIG).exists():
        return False
    if not resume:
        raise UsageError(
            f"{out_dir}: holds an interrupted run; continue it with --resume, or "
            f"remove {folder} to start over"
        )
    return True


def check_same_run(
    earlier: Path,
    options: Any,
    inputs: Iterable[Path],
    *,
    addable: Collection[str] = (),
) -> None:
    """Raise a UsageError if an earlier run had other options or inputs.

    Options in `addable` may be switched on: what they write follows from its results.
    """
    config = earlier / CONFIG
    kind = type(options)
    known = {
        name for option in list_options(kind) for name in (option.name, option.old)
    }
    table = read_toml(config)
    # Those of a run that started from something else: from audio, not from x-vectors.
    stored = {name: value for name, value in table.items() if name not in known}
    values = {name: value for name, value in table.items() if name in known}
    stored |= to_table(build(kind, check_values(values, kind, config)))
    wanted = to_table(options)
    for name in sorted(stored.keys() | wanted.keys()):
        before, now = stored.get(name, "not given"), wanted.get(name, "not given")
        if before != now and not (name in addable and now is True):
            raise UsageError(
                f"{config}: {name} was {before} and is {now} now; give the same "
                "options to resume, or another folder"
            )
    started = config.stat().st_mtime_ns
    # os.path.exists, since Path's raises on names too long for the system.
    for path in inputs:
        if os.path.exists(path) and _last_change(path) > started:
            raise UsageError(
                f"{path}: has changed since the run in {earlier} started; start over "
                "in another folder, or, if the earlier results are still valid: touch "
                f"{config}"
            )


def begin(folder: Path, options: Any, inputs: Iterable[Path]) -> None:
    """Write config.toml: the options of a run and, by its date, when it started."""
    config = folder / CONFIG
    write_config(config, options)
    # Inputs may have later dates if the clock was set back.
    changes = [_last_change(path) for path in inputs if os.path.exists(path)]
    started = max([config.stat().st_mtime_ns, *changes])
    os.utime(config, ns=(started, started))


def keep_done(folder: Path, out_dir: Path, done: int, total: int) -> None:
    """Leave results for a later run, and say so; if there are none, leave nothing.

    `folder` is that of `work_folder`; `done` recordings of `total` are in it.
    """
    if not done:
        (folder / CONFIG).unlink(missing_ok=True)
    elif (folder / CONFIG).exists():
        _logger.warning(
            f"{done} of {total} recordings are done and kept in {out_dir}; run the "
            "same command with --resume to continue"
        )


def _last_change(path: Path) -> int:
    """Return when a file was written, renamed or replaced by an older one."""
    status = path.stat()
    return max(status.st_mtime_ns, status.st_ctime_ns)
