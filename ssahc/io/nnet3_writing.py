"""Writing networks as Kaldi's nnet3 raw models, binary or text.

Nodes and components are written as Kaldi writes those of its x-vector recipes, so that
``nnet3-copy`` or ``nnet3-xvector-compute`` reads them, and training may go on there.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.nnet3 import (
    Affine,
    Component,
    LogSoftmax,
    Nnet3,
    Node,
    Normalization,
    Relu,
    StatisticsExtraction,
    StatisticsPooling,
)
from ssahc.io.files import atomic_write
from ssahc.io.nnet3_components import MARK
from ssahc.io.objects import format_text

# Python's float is Kaldi's double, numpy's float32 its float.
_Value = bool | int | float | np.float32 | np.ndarray
_Fields = Sequence[tuple[str, _Value]]
_EMPTY = np.zeros(0, np.float32)
# How Kaldi would train the components, as its x-vector recipes say it.
_MAX_CHANGE, _LEARNING_RATE = np.float32(0.75), np.float32(0.001)
# Of the output layer.
_LAST_MAX_CHANGE = np.float32(1.5)
_SELF_REPAIR = np.float32(1e-5)
_RANK_IN, _RANK_OUT = 20, 80
_UPDATE_PERIOD, _SAMPLES, _ALPHA = 4, np.float32(2000), np.float32(4)


def write_nnet3(path: Path, nnet: Nnet3, *, as_text: bool = False) -> None:
    """Write a network as a raw model, which `read_nnet3` reads, and Kaldi.

    Components have the names of their nodes. Raises a DataError if the network has a
    node without a component, other than the output.
    """
    components = nnet.nodes[:-1]
    for node in components:
        if node.component is None:
            raise DataError(f"node {node.name!r} has no component to be written")
    parts = [b"" if as_text else MARK, b"<Nnet3> \n"]
    parts += [f"{line}\n".encode() for line in _config_lines(nnet)]
    parts += [b"\n", _token("NumComponents"), _encode(len(components), as_text)]
    parts.append(_line_end(as_text))
    last = {
        one.node
        for node in components
        if isinstance(node.component, LogSoftmax)
        for one in node.inputs
    }
    for node in components:
        kind, fields = _list_fields(node.component)
        if node.name in last and isinstance(node.component, Affine):
            fields = [("MaxChange", _LAST_MAX_CHANGE), *fields[1:]]
        parts += [_token("ComponentName"), f"{node.name} ".encode(), _token(kind)]
        for name, value in fields:
            parts += [_token(name), _encode(value, as_text)]
        parts += [_token(f"/{kind}"), _line_end(as_text)]
    parts.append(_token("/Nnet3"))
    with atomic_write(path, "wb") as file:
        file.write(b"".join(parts))


# ---- nodes -------------------------------------------------------------------------


def _config_lines(nnet: Nnet3) -> list[str]:
    pooled = {n.name for n in nnet.nodes if isinstance(n.component, StatisticsPooling)}
    lines = [f"input-node name=input dim={nnet.input_dim}"]
    for node in nnet.nodes[:-1]:
        lines.append(
            f"component-node name={node.name} component={node.name} "
            f"input={_describe(node, pooled)}"
        )
    output = nnet.nodes[-1]
    lines.append(
        f"output-node name=output input={_describe(output, pooled)} objective=linear"
    )
    return lines


def _describe(node: Node, pooled: set[str]) -> str:
    """Return the descriptor of a node's inputs."""
    inputs = []
    for one in node.inputs:
        # The recipes say so of statistics, which could have a period.
        name = f"Round({one.node}, 1)" if one.node in pooled else one.node
        inputs.append(f"Offset({name}, {one.offset})" if one.offset else name)
    return inputs[0] if len(inputs) == 1 else f"Append({', '.join(inputs)})"


# ---- components --------------------------------------------------------------------


def _list_fields(component: Component | None) -> tuple[str, _Fields]:
    """Return the type of a component and its fields, in Kaldi's order."""
    match component:
        case Affine():
            return "NaturalGradientAffineComponent", _list_affine(component)
        case Relu(dim):
            repair = ("SelfRepairScale", _SELF_REPAIR)
            return "RectifiedLinearComponent", [*_list_nonlinear(dim), repair]
        case LogSoftmax(dim):
            return "LogSoftmaxComponent", _list_nonlinear(dim)
        case Normalization():
            return "BatchNormComponent", [
                ("Dim", len(component.mean)),
                ("BlockDim", len(component.mean)),
                ("Epsilon", np.float32(component.epsilon)),
                ("TargetRms", np.float32(component.target_rms)),
                ("TestMode", False),
                ("Count", float(component.count)),
                ("StatsMean", component.mean),
                ("StatsVar", component.variance),
            ]
        case StatisticsExtraction():
            return "StatisticsExtractionComponent", [
                ("InputDim", component.dim),
                ("InputPeriod", 1),
                ("OutputPeriod", 1),
                # Kaldi spells it so.
                ("IncludeVarinance", component.include_variance),
            ]
        case StatisticsPooling():
            return "StatisticsPoolingComponent", [
                ("InputDim", component.dim),
                ("InputPeriod", 1),
                ("LeftContext", component.left),
                ("RightContext", component.right),
                ("NumLogCountFeatures", component.num_log_counts),
                ("OutputStddevs", component.output_stddevs),
                ("VarianceFloor", np.float32(component.variance_floor)),
            ]
        case None:
            raise DataError("a node without a component cannot be written")


def _list_affine(component: Affine) -> _Fields:
    outputs, inputs = component.weight.shape
    return [
        ("MaxChange", _MAX_CHANGE),
        ("LearningRate", _LEARNING_RATE),
        ("LinearParams", component.weight),
        ("BiasParams", component.bias),
        ("RankIn", min(_RANK_IN, (inputs + 1) // 2)),
        ("RankOut", min(_RANK_OUT, (outputs + 1) // 2)),
        ("UpdatePeriod", _UPDATE_PERIOD),
        ("NumSamplesHistory", _SAMPLES),
        ("Alpha", _ALPHA),
    ]


def _list_nonlinear(dim: int) -> _Fields:
    """Return the fields of a nonlinearity, with no statistics of its training."""
    return [
        ("Dim", dim),
        ("ValueAvg", _EMPTY),
        ("DerivAvg", _EMPTY),
        ("Count", 0.0),
        ("OderivRms", _EMPTY),
        ("OderivCount", 0.0),
        ("NumDimsSelfRepaired", 0.0),
        ("NumDimsProcessed", 0.0),
    ]


# ---- values ------------------------------------------------------------------------


def _token(name: str) -> bytes:
    return f"<{name}> ".encode()


def _line_end(as_text: bool) -> bytes:
    return b"\n" if as_text else b""


def _encode(value: _Value, as_text: bool) -> bytes:
    if isinstance(value, np.ndarray):
        values = value.astype("<f4")
        if as_text:
            return format_text(values).encode()
        kind = b"FV " if values.ndim == 1 else b"FM "
        dims = b"".join(struct.pack("<bi", 4, size) for size in values.shape)
        return kind + dims + values.tobytes()
    if isinstance(value, bool):
        mark = b"T" if value else b"F"
        return mark + b" " if as_text else mark
    if as_text:
        return f"{value:.7g} ".encode()
    if isinstance(value, int):
        return struct.pack("<bi", 4, value)
    is_double = isinstance(value, float)
    return struct.pack("<bd" if is_double else "<bf", 8 if is_double else 4, value)
