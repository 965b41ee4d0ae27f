"""Output folders: created, locked against other runs, filled in one go."""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from ssahc.core.errors import UsageError
from ssahc.io.files import name_kind, odd_kind

# Folder inside the output folder for the files of an unfinished run; the lock in it
# names the process that is writing there.
UNFINISHED, LOCK = ".unfinished", "lock"
_STAGED = "staged"
# Characters of a lock file that an error message quotes.
_LONGEST = 200

_logger = logging.getLogger("ssahc")


# ---- files that appear together ----------------------------------------------------


@contextmanager
def staged_output(
    path: Path, names: Sequence[str], *, stale: Callable[[], Collection[str]] = tuple
) -> Iterator[Path]:
    """Write the files of an output folder all together or not at all.

    Yields an empty folder; its files of these names are moved to `path` if the block
    succeeds. `path` is created if missing, and removed again on failure. `stale`
    returns, while the folder is locked, which of the names an earlier run has left;
    those that are not written again are removed. Only a process that is killed while it
    moves the files can leave some of them beside those of an earlier run.
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
    """Yield an empty folder within `unfinished`; remove what is not moved from it."""
    folder = unfinished / _STAGED
    # A killed run may have left it.
    _remove(folder)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(source: Path, target: Path, names: Iterable[str]) -> None:
    """Remove files of an earlier run from `target` that `source` does not replace.

    So are folders below `target` that are empty then.
    """
    for name in names:
        if not (source / name).exists():
            (target / name).unlink(missing_ok=True)
            if (target / name).parent != target:
                with suppress(OSError):
                    (target / name).parent.rmdir()


def move_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Move those of the files that exist to a folder of the same file system."""
    for name in names:
        if (source / name).exists():
            (target / name).parent.mkdir(exist_ok=True)
            (source / name).replace(target / name)
    _sync_names(target)


def move_tree(source: Path, target: Path) -> None:
    """Move all files below a folder to the same places below another.

    Nothing is moved, and a UsageError raised, if something other than a file is in the
    place of one.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    refuse_odd(target, (str(path.relative_to(source)) for path in files))
    for folder in sorted({path.parent for path in files}):
        place = target / folder.relative_to(source)
        names = [path.name for path in files if path.parent == folder]
        make_folder(place)
        move_files(folder, place, names)


def _sync_names(folder: Path) -> None:
    """Make the names in a folder survive a power failure, as the files do."""
    # Not every file system supports it.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---- the lock ----------------------------------------------------------------------


@contextmanager
def lock_folder(path: Path) -> Iterator[Path]:
    """Keep other runs from writing to an output folder.

    Yields the folder for unfinished files in `path`, which is removed unless files are
    left there; so is `path` itself if it stays empty. The operating system releases the
    lock when the process ends, so a lock file left behind blocks nobody. A UsageError
    is raised if the folder cannot be written to, or another run is writing there; on a
    file system without locks, a warning is logged.
    """
    with _made_folder(path):
        folder = path / UNFINISHED
        with _open_lock(path, folder / LOCK) as lock:
            try:
                yield folder
            finally:
                # While the lock is held: the file may not be another run's.
                with suppress(OSError):
                    if _is_at(lock, folder / LOCK):
                        (folder / LOCK).unlink()
                    folder.rmdir()


def _open_lock(path: Path, lock: Path) -> IO[bytes]:
    """Return the lock file of a folder, locked for as long as it is open."""
    try:
        with suppress(FileExistsError):
            lock.parent.mkdir()
        _expect("a folder", lock.parent)
        _expect("a file", lock)
        # Unbuffered: on a full disk only the write fails, not the close.
        file = open(lock, "ab+", buffering=0)
    except FileNotFoundError as error:
        # Another run has ended, and removed it, just now.
        raise _in_use(path, "") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another run may have ended, and removed the file, before it was locked.
        is_ours = _is_at(file, lock)
    except BlockingIOError:
        is_ours = False
    except OSError as error:
        _logger.warning(
            f"{path}: cannot be locked ({error.strerror}); make sure that no other run "
            "writes there"
        )
        is_ours = True
    if not is_ours:
        file.seek(0)
        holder = file.read(_LONGEST).decode(errors="replace").strip()
        file.close()
        raise _in_use(path, holder)
    since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
    whose = f"process {os.getpid()} on {os.uname().nodename} since {since}\n"
    # The lock holds without it; a full disk is reported when results are lost.
    with suppress(OSError):
        file.truncate(0)
        file.write(whose.encode())
    return file


def _expect(kind: str, path: Path) -> None:
    """Raise a UsageError if something other than a file or folder of ours is there.

    An output folder that was copied may hold a link, and its target is not ours.
    """
    if not os.path.lexists(path):
        return
    found = name_kind(path.lstat().st_mode)
    if found != kind:
        raise UsageError(
            f"{path}: is {found}, expected {kind} made by ssahc; move it away"
        )


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


# ---- creating and clearing ---------------------------------------------------------


def clear_unfinished(folder: Path) -> None:
    """Remove everything but the lock from a folder for unfinished files."""
    for path in folder.glob("*"):
        if path.name != LOCK:
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link (but not its target), if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _made_folder(path: Path) -> Iterator[None]:
    """Create a folder and its parents; remove those again that stay empty."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folder(path)
        yield
    finally:
        # A folder that is not empty stays, and so do those above it.
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()


def make_folder(path: Path) -> None:
    """Create a folder and its parents; UsageError if it is not writable."""
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
    """Return what is in the place of a folder or of one of its parents."""
    there = next(filter(os.path.lexists, (path, *path.parents)))
    if there.is_dir():
        return None
    if not there.exists():
        return f"{there} is a link that leads nowhere"
    return f"{there} is {name_kind(there.stat().st_mode)}"


def refuse_links(path: Path, names: Iterable[str]) -> None:
    """Raise a UsageError if a subfolder to write to is a link to somewhere else."""
    for name in names:
        if (path / name).is_symlink():
            raise UsageError(
                f"{path / name}: is a link, expected a folder or nothing; remove it, "
                "or choose another output folder"
            )


def refuse_odd(path: Path, names: Iterable[str]) -> None:
    """Raise a UsageError if a folder, pipe or device is in the place of a file."""
    for name in names:
        kind = odd_kind(path / name)
        if kind is not None:
            raise UsageError(f"{path / name}: is {kind}; move it away")
