"""Writing torch modules as ONNX files, traced by torch's exporter."""

import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from ssahc.core.errors import UsageError
from ssahc.frontend.onnx_session import ONNX_INSTALL
from ssahc.io.files import atomic_write

_OPSET = 17
# The name of an input or output, and those of its axes that have no fixed length.
Axes = tuple[str, Mapping[int, str]]


def trace_onnx(
    path: Path,
    module: nn.Module,
    example: Tensor,
    *,
    input: Axes,
    output: Axes,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a module as an ONNX file, evaluated and not trained.

    Parameters
    ----------
    path : Path
    module : Module
        On the CPU, with one input and one output.
    example : Tensor
        An input, to trace the module with.
    input, output : (str, dict)
    metadata : dict of str, optional

    Raises
    ------
    UsageError
        If onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UsageError(f"exporting needs the package onnx; {ONNX_INSTALL}") from error
    traced = BytesIO()
    with warnings.catch_warnings():
        # It is said to be superseded by one that takes a hundred times as long, and
        # fixes the length of chunks.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            traced,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=_OPSET,
            input_names=[input[0]],
            output_names=[output[0]],
            dynamic_axes=dict((input, output)),
        )
    model = onnx.load_model_from_string(traced.getvalue())
    onnx.helper.set_model_props(model, dict(metadata or {}))
    with atomic_write(path, "wb") as file:
        file.write(model.SerializeToString())
