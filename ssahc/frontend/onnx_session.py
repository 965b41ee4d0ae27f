"""Sessions of onnxruntime on ONNX files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.types import Float32Array
from ssahc.io.files import open_regular, unreadable

ONNX_INSTALL = "pip install 'ssahc[onnx]'"


def open_session(path: Path, device: str = "cpu") -> Any:
    """Open an ``InferenceSession`` on a file, which must hold all weights itself.

    Raises
    ------
    FormatError
        If the file is missing, damaged, or takes weights from other files.
    UsageError
        If onnxruntime is not installed, or cannot use the device.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"{path}: ONNX models need onnxruntime; {ONNX_INSTALL}"
        ) from error
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    providers = ["CPUExecutionProvider"]
    if device != "cpu":
        providers.insert(0, "CUDAExecutionProvider")
        if providers[0] not in onnxruntime.get_available_providers():
            raise UsageError(
                f"{path}: onnxruntime cannot use {device}; pip install onnxruntime-gpu"
            )
    options = onnxruntime.SessionOptions()
    # Errors are raised; what is printed would be of no use.
    options.log_severity_level = 4
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    # Threads that wait would keep other processes from working.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:
        raise FormatError(
            f"no usable ONNX model ({_brief(error)})", path=path
        ) from error


def run_session(
    session: Any, path: Path, output: str, inputs: Mapping[str, Float32Array]
) -> Float32Array:
    """Return one output; a FormatError names the file if it cannot be run."""
    try:
        (found,) = session.run([output], dict(inputs))
    except Exception as error:
        raise FormatError(f"cannot be run ({_brief(error)})", path=path) from error
    return np.asarray(found, np.float32)


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
