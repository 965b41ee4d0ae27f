"""Loops that numpy has no words for, compiled by numba when they are first called.

What is compiled is kept on disk, beside the package or in the user's cache, so that
only the very first run waits for it.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

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
    # Loading it takes half a second, which verbs that compute nothing do not wait for.
    from numba import njit

    try:
        kept = njit(cache=True, error_model="numpy")(function)
        # What is kept is read and written now, before arguments are touched.
        return kept, kept(*args, **kwargs)
    except Exception as error:
        # No folder may be written to, the disk is full, or what was kept is damaged in
        # one of many ways. What is wrong with the function itself is raised again.
        fresh = njit(error_model="numpy")(function)
        answer = fresh(*args, **kwargs)
        _logger.info(
            "%s is compiled anew in every run (%s); set NUMBA_CACHE_DIR to a folder "
            "that may be written to, or empty it",
            *(function.__name__.strip("_"), str(error) or type(error).__name__),
        )
        return fresh, answer
