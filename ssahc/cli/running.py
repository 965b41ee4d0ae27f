"""The options of verbs that process recordings in parallel."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ssahc.cli.parsing import options_of, take_options
from ssahc.runtime.executor import RunningOptions

F = TypeVar("F", bound=Callable[..., Any])

_logger = logging.getLogger("ssahc")


def running_options(function: F) -> F:
    """Add ``--nj``, ``--dask`` and the old spelling of the latter, ``--cluster``."""
    old = click.option("--cluster", hidden=True)
    return options_of(RunningOptions)(old(function))


def take_running(given: dict[str, Any]) -> RunningOptions:
    """Take these options out of what the command line gave."""
    old = given.pop("cluster")
    if old is not None:
        _logger.warning("--cluster is the old spelling of --dask; use --dask")
        given["dask"] = given["dask"] or old
    return take_options(RunningOptions, given)
