"""PyTorch checkpoints of other packages, and the modules that they are for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.serialization import safe_globals

from ssahc.core.errors import FormatError
from ssahc.core.types import Float32Array


class _Inert:
    """What stands for an object of a type that is not needed."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_checkpoint(path: Path, inert: Sequence[str] = ()) -> dict[str, Any]:
    """Read a PyTorch checkpoint, without executing what a pickle may say.

    Objects of the types named in `inert` are read as objects that do nothing.

    Raises a FormatError if it is damaged, or no dict of tensors.
    """
    try:
        with safe_globals([(_Inert, name) for name in inert]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises errors of many kinds for damaged files. Of pickles that would
        # execute something, it says how to execute it nevertheless.
        raise FormatError(
            "expected a PyTorch checkpoint of weights alone; this is another file, or "
            "damaged",
            path=path,
        ) from error
    if not isinstance(checkpoint, dict):
        raise FormatError(
            f"expected a dict of weights, found {type(checkpoint).__name__}", path=path
        )
    return checkpoint


def run_module(network: nn.Module, device: str, windows: Float32Array) -> Float32Array:
    """Return what a torch module makes of windows (B, T, F)."""
    with torch.inference_mode():
        outputs = network(torch.from_numpy(windows).to(device))
    return np.asarray(outputs.cpu().numpy(), np.float32)
