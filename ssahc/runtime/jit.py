"""Loops that numpy cannot vectorise, compiled by numba when they are first called.

numba keeps compiled code on disk, beside the package or in the user's cache, so that
only the first run on a machine waits for the compiler.
"""

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from ssahc.core.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")
# numba reads it when it is imported.
_SETTINGS = ".numba_config.yaml"

_logger = logging.getLogger(__name__)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function at its first call; ``__wrapped__`` is the function itself."""
    ready: list[Callable[..., Any]] = []

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not ready:
            fast, answer = _compile(function, args, kwargs)
            ready.append(fast)
        else:
            answer = ready[0](*args, **kwargs)
        return answer

    return call


def _compile(
    function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], Any]:
    """Return the compiled function and its answer to the first call."""
    # Its import takes half a second, for which verbs that compute nothing do not wait.
    try:
        from numba import njit
    except Exception as error:
        if not os.path.exists(_SETTINGS):
            raise
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{_SETTINGS}: numba cannot read this file of the working directory "
            f"({reason}); correct or remove it"
        ) from error
    try:
        fast = njit(cache=True, error_model="numpy")(function)
        # The cache is read and written here, before any argument is touched.
        return fast, fast(*args, **kwargs)
    except Exception as error:
        # The cache cannot be written, or a power failure has damaged it. What is wrong
        # with the function itself is raised again.
        fast = njit(error_model="numpy")(function)
        answer = fast(*args, **kwargs)
        _logger.info(
            "%s is compiled again in every run (%s); set NUMBA_CACHE_DIR to a folder "
            "that you may write to, or empty it",
            function.__name__.strip("_"),
            str(error) or type(error).__name__,
        )
        return fast, answer
