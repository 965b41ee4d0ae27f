"""Whether there is a GPU, and what is raised when its memory runs out."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ssahc.core.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]


def has_gpu(device: Device) -> bool:
    """Whether networks are trained on a GPU; UsageError if "cuda" has none."""
    if device == "cpu" or (device == "auto" and not _has_driver()):
        return False
    import torch

    if torch.cuda.is_available():
        return True
    if device == "cuda":
        raise UsageError("no CUDA device is available; use --device cpu")
    return False


def _has_driver() -> bool:
    """Whether there may be a GPU: torch is certain, but takes seconds to load."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return sys.platform != "linux" or any(map(os.path.exists, drivers))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's allocation errors into MemoryError."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        # The rest of torch's message fills a screen.
        summary = ". ".join(str(error).split(". ")[:2])
        raise MemoryError(f"on the GPU: {summary}") from error
    except RuntimeError as error:
        # On the CPU, torch has no error class of its own.
        if "can't allocate memory" not in str(error):
            raise
        raise MemoryError(str(error)) from error
