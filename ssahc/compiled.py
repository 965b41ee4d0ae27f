"""Loops that numpy has no words for, compiled by numba when they are first called.

What is compiled is kept on disk, beside the package or in the user's cache, so that
only the very first run waits for it. Functions are still plain Python: `__wrapped__` is
what was written.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function of arrays and numbers compiled."""

    @cache
    def build() -> Callable[..., Any]:
        # It takes 0.2 s to load, which verbs that compute nothing do not wait for.
        from numba import njit

        try:
            return njit(cache=True, error_model="numpy")(function)
        except RuntimeError:
            # There is no folder that may be written to.
            return njit(error_model="numpy")(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        answer: R = build()(*args, **kwargs)
        return answer

    return call
