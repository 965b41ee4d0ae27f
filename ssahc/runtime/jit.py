"""Loops that numpy has no words for, compiled by numba when they are first called.

What is compiled is kept on disk, beside the package or in the user's cache, so that
only the very first run waits for it. What is kept is pickled, and whoever can write a
pickle can have code run by who reads it: it is read only from a folder that not
everybody may write to.
"""

import logging
import os
import stat
from collections.abc import Callable
from functools import wraps
from inspect import getfile
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ssahc.core.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

# Set numba up, if it is in the working directory.
_SETTINGS = ".numba_config.yaml"

_logger = logging.getLogger(__name__)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function of arrays and numbers compiled.

    The function itself stays there as ``__wrapped__``.
    """
    ready: list[Callable[..., Any]] = []

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not ready:
            answer: R
            dispatcher, answer = _compile(function, args, kwargs)
            ready.append(dispatcher)
            return answer
        answer = ready[0](*args, **kwargs)
        return answer

    return call


def _compile(
    function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], R]:
    """Return a function, compiled, and its answer to a first call."""
    refuse_settings()
    # Loading it takes half a second, which verbs that compute nothing do not wait for.
    from numba import njit

    try:
        kept = njit(cache=True, error_model="numpy")(function)
        if kept is function:
            # NUMBA_DISABLE_JIT: there is nothing to keep.
            return function, function(*args, **kwargs)
        _check_place(Path(str(kept.stats.cache_path)), Path(getfile(function)))
        # What is kept is read and written now, before arguments are touched.
        return kept, kept(*args, **kwargs)
    except Exception as error:
        # No folder may be written to, or others may write to it, the disk is full, or
        # what was kept is damaged in one of many ways. What is wrong with the function
        # itself is raised again.
        fresh = njit(error_model="numpy")(function)
        answer = fresh(*args, **kwargs)
        _logger.info(
            "%s is compiled anew in every run (%s); set NUMBA_CACHE_DIR to a folder "
            "that may be written to by you alone, or empty it",
            *(function.__name__.strip("_"), str(error) or type(error).__name__),
        )
        return fresh, answer


def refuse_settings() -> None:
    """Refuse a file that sets numba up, in a working directory that may be anybody's.

    numba reads it when it is loaded and whenever it compiles: it may name files to be
    written and modules to be loaded.

    Raises
    ------
    UsageError
        If there is such a file.
    """
    if os.path.lexists(_SETTINGS):
        raise UsageError(
            f"{_SETTINGS}: numba, which compiles parts of ssahc, would be set up by "
            "this file in the working directory; remove it, or run elsewhere "
            "(variables NUMBA_... set numba up, too)"
        )


def _check_place(folder: Path, source: Path) -> None:
    """Raise PermissionError if others can have put something where things are kept."""
    if folder.parent == source.parent:
        # Beside the source it is as safe as the source, and as Python's own cache.
        return
    from numba import config

    settings: Any = config
    # Who loaded numba before may have done so where such a file is.
    if settings.CACHE_DIR != os.environ.get("NUMBA_CACHE_DIR", ""):
        raise PermissionError(f"{folder} is named by a {_SETTINGS}")
    if not _is_private(folder.stat()):
        raise PermissionError(f"others may write to {folder}")


def _is_private(folder: os.stat_result) -> bool:
    """Whether a folder is the user's or root's, and not everybody's to write to."""
    return folder.st_uid in (os.getuid(), 0) and not folder.st_mode & stat.S_IWOTH
