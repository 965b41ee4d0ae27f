"""Output folders: made, kept from other runs, filled all at once."""

import fcntl
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO

from ssahc.core.errors import UsageError
from ssahc.io.files import name_kind, odd_kind

# What is not finished lies in a folder of its own in the output folder, beside a lock
# that says whose it is.
UNFINISHED, LOCK = ".unfinished", "lock"
_STAGED = "staged"
# No more is shown of what a lock says.
_LONGEST = 200

_logger = logging.getLogger("ssahc")


@contextmanager
def staged_output(
    path: Path, names: Sequence[str], *, stale: Callable[[], Collection[str]] = tuple
) -> Iterator[Path]:
    """Write files to a folder all together or not at all.

    Only a process that is killed while it moves them to their place may leave some of
    them beside those of an earlier run.

    Parameters
    ----------
    path : Path
        The output folder; made if missing, and taken away again on failure.
    names : sequence of str
        Files that may be written.
    stale : callable
        Returns those of `names` that an earlier run is known to have left: they are
        removed if they are not written anew, so that what lies in the folder belongs
        together. Called when no other run can write there any more.

    Yields
    ------
    Path
        An empty folder; its files are moved to `path` when the block ends well.

    Raises
    ------
    UsageError
        If `path` cannot be created or written to, or another run is writing there.
    """
    with lock_folder(path) as unfinished:
        refuse_odd(path, names)
        left = stale()
        with staging_folder(unfinished) as staging:
            yield staging
            remove_stale(staging, path, left)
            move_files(staging, path, names)


@contextmanager
def staging_folder(unfinished: Path) -> Iterator[Path]:
    """Make files in a folder of their own; what is not moved from there is removed.

    Parameters
    ----------
    unfinished : Path
        From `lock_folder`.

    Yields
    ------
    Path
        An empty folder.
    """
    folder = unfinished / _STAGED
    # A run that was killed may have left it.
    _remove(folder)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lock_folder(path: Path) -> Iterator[Path]:
    """Keep other runs from writing to an output folder.

    The lock is the system's, which takes it back when the process ends, however that
    comes about: a file that is left behind keeps nobody out. Where a file system knows
    no locks, a warning says so.

    Parameters
    ----------
    path : Path
        Made if missing, and taken away again if it stays empty.

    Yields
    ------
    Path
        The folder in it for what is not finished; taken away unless files are left.

    Raises
    ------
    UsageError
        If the folder cannot be written to, or another run is writing there.
    """
    with made_folder(path):
        folder = path / UNFINISHED
        with _open_lock(path, folder / LOCK) as lock:
            try:
                yield folder
            finally:
                # While it is held: nobody else's file is removed.
                with suppress(OSError):
                    if _is_at(lock, folder / LOCK):
                        (folder / LOCK).unlink()
                    folder.rmdir()


def _open_lock(path: Path, lock: Path) -> IO[bytes]:
    """Return the file of a lock that is held for as long as it is open."""
    try:
        with suppress(FileExistsError):
            lock.parent.mkdir()
        _expect(stat.S_ISDIR, lock.parent, "a folder")
        _expect(stat.S_ISREG, lock, "a file")
        # Not buffered: on a full disk only the writing fails, and not the closing.
        file = open(lock, "ab+", buffering=0, opener=_open_no_link)
    except FileNotFoundError as error:
        # The other run has ended just now.
        raise _in_use(path, "") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The other run may have ended, and removed the file, just now.
        is_ours = _is_at(file, lock)
    except BlockingIOError:
        is_ours = False
    except OSError as error:
        _logger.warning(
            "%s: cannot be locked (%s); see to it that no other run writes there",
            *(path, error.strerror),
        )
        is_ours = True
    if not is_ours:
        file.seek(0)
        holder = file.read(_LONGEST).decode(errors="replace").strip()
        file.close()
        raise _in_use(path, holder)
    since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
    whose = f"process {os.getpid()} on {os.uname().nodename} since {since}\n"
    # The lock holds all the same; a full disk is told of where results are lost.
    with suppress(OSError):
        file.truncate(0)
        file.write(whose.encode())
    return file


def _expect(is_expected: Callable[[int], bool], path: Path, what: str) -> None:
    """Raise a UsageError if something else is there than ssahc makes.

    Whoever has packed or copied the folder may have put a link there: what it leads to
    is not ours to remove or to write to.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not is_expected(mode):
        raise UsageError(
            f"{path}: is {name_kind(mode)}, expected {what} that ssahc makes; move it "
            "away"
        )


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _in_use(path: Path, holder: str) -> UsageError:
    whose = f" ({holder})" if holder else ""
    return UsageError(
        f"{path}: another run is writing there{whose}; wait for it, or choose another "
        "output folder"
    )


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def clear_unfinished(folder: Path) -> None:
    """Remove all that lies in a folder of what is not finished, but its lock."""
    for path in folder.glob("*"):
        if path.name != LOCK:
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder, a file, or a link but not what it leads to; or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder and its parents; take away again those that stay empty.

    Raises
    ------
    UsageError
        If it cannot be created or written to.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folder(path)
        yield
    finally:
        # One that is not empty stays, and with it those above.
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()


def refuse_links(path: Path, names: Iterable[str]) -> None:
    """Raise a UsageError if a folder to be written to is a link: it is elsewhere."""
    for name in names:
        if (path / name).is_symlink():
            raise UsageError(
                f"{path / name}: is a link, expected a folder or nothing; remove it, "
                "or choose another output folder"
            )


def refuse_odd(path: Path, names: Iterable[str]) -> None:
    """Raise a UsageError if something else has the place of a file to be written.

    That is a folder, a pipe or a device, or a link to one.
    """
    for name in names:
        kind = odd_kind(path / name)
        if kind is not None:
            raise UsageError(f"{path / name}: is {kind}; move it away")


def remove_stale(source: Path, target: Path, names: Iterable[str]) -> None:
    """Remove files that an earlier run has left and that are not made anew."""
    for name in names:
        if not (source / name).exists():
            (target / name).unlink(missing_ok=True)


def move_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Move the files that there are to another folder of the same file system."""
    for name in names:
        if (source / name).exists():
            (source / name).replace(target / name)
    _keep_names(target)


def move_tree(source: Path, target: Path) -> None:
    """Move all files of a folder, and of those in it, to the same places in another.

    Raises
    ------
    UsageError
        If something else has the place of a file; then nothing is moved.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    names = [path.relative_to(source) for path in files]
    refuse_odd(target, map(str, names))
    for folder, group in groupby(names, key=attrgetter("parent")):
        make_folder(target / folder)
        move_files(source / folder, target / folder, [path.name for path in group])


def _keep_names(folder: Path) -> None:
    """Have the names in a folder outlive a power failure, as the files do."""
    # Not every file system can; results are not given up for that.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder and its parents where missing, and check it can be written.

    Raises
    ------
    UsageError
        If it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(
            f"{path}: cannot write there ({_find_obstacle(path) or error.strerror}); "
            "choose another output folder"
        ) from error


def _find_obstacle(path: Path) -> str | None:
    """Return what is in the place of a folder, or of one above it."""
    there = next(filter(os.path.lexists, (path, *path.parents)))
    if there.is_dir():
        return None
    if not there.exists():
        return f"{there} is a link that leads nowhere"
    return f"{there} is {name_kind(there.stat().st_mode)}"
