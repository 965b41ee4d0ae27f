"""``--max-memory``, kept for as long as a verb works."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module

import numpy as np

from ssahc.core.errors import SsahcError
from ssahc.core.types import Model, Plda, Recording
from ssahc.pipeline.diarize import diarize_recording
from ssahc.pipeline.options import DiarizeOptions, SpeakerOptions
from ssahc.runtime.executor import RunningOptions
from ssahc.runtime.memory import limited_memory

_REHEARSAL = "the rehearsal of --max-memory"


@contextmanager
def promised_memory(method: DiarizeOptions, *libraries: str) -> Iterator[None]:
    """Keep this process, and those that it starts, within ``--max-memory``.

    Parameters
    ----------
    method : DiarizeOptions
        As they are given; need not be settled.
    *libraries : str
        What else will be loaded, besides what a diarization needs.

    Raises
    ------
    UsageError
        If next to nothing is left beside what the libraries take.
    """
    if method.max_memory is None:
        yield
        return
    # Libraries do not survive it that memory is refused to them while they are loaded.
    for library in libraries:
        import_module(library)
    _rehearse(method)
    with limited_memory(method.max_bytes()):
        yield


def method_of_workers(
    method: DiarizeOptions, running: RunningOptions
) -> DiarizeOptions:
    """Return the options for who works: in a cluster, workers have their own limit."""
    if running.cluster is None:
        return method
    return replace(method, max_memory=None)


def _rehearse(method: DiarizeOptions) -> None:
    """Diarize a made-up recording, so that all that takes part in it is loaded."""
    count, dim = 24, 4
    generator = np.random.default_rng(0)
    times = np.arange(count, dtype=np.float64)
    recording = Recording(
        _REHEARSAL,
        tuple(map(str, range(count))),
        np.column_stack([times, times + 1.5]),
        generator.normal(size=(count, dim)) + 5.0 * np.eye(2, dim).repeat(12, axis=0),
    )
    plda = Plda(np.zeros(dim), np.eye(dim), np.ones(dim))
    model = Model(mean=np.zeros(dim), transform=np.eye(dim), plda=plda)
    options = replace(
        method,
        system=method.system or "ssahc+plda",
        max_memory=None,
        speakers=SpeakerOptions(),
    )
    handlers = logging.getLogger("ssahc").handlers
    for handler in handlers:
        handler.addFilter(_is_of_no_rehearsal)
    try:
        diarize_recording(recording, model, options)
    except SsahcError:
        # What is wrong with the options is said when they meet a real recording.
        return
    finally:
        for handler in handlers:
            handler.removeFilter(_is_of_no_rehearsal)


def _is_of_no_rehearsal(record: logging.LogRecord) -> bool:
    return _REHEARSAL not in record.getMessage()
