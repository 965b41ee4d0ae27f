"""Kaldi's nnet3 raw models, binary and text, as far as x-vector networks need them."""

import re
from collections.abc import Mapping
from pathlib import Path

from ssahc.core.errors import FormatError
from ssahc.core.nnet3 import (
    Affine,
    Component,
    Input,
    Nnet3,
    Node,
    Normalization,
    StatisticsExtraction,
    StatisticsPooling,
)
from ssahc.io.files import open_regular, read_lines, unreadable
from ssahc.io.nnet3_components import MARK, read_components
from ssahc.io.nnet3_config import NodeLine, parse_descriptor, parse_line

_OPEN = b"<Nnet3>"
_INPUT = "input"
# What other files start with that are given by mistake.
_OTHER_KINDS = {
    b"<Plda>": "a PLDA",
    b"<TransitionModel>": "an acoustic model (nnet3-am-copy --raw=true makes it raw)",
    b"<Nnet>": "an nnet1 or nnet2 model",
    b"<DiagGMM>": "a GMM",
    b"PK\x03\x04": "a PyTorch checkpoint or another zip file",
    b"\x80": "a pickle",
    b"\x08": "an ONNX model",
    b"FV ": "a vector",
    b"FM ": "a matrix",
    b"version https://git-lfs": "a Git LFS pointer in place of the model",
}


def read_nnet3(path: Path, config: Path | None = None) -> Nnet3:
    """Read a raw model such as ``final.raw``; `config` replaces some of its nodes.

    Parameters
    ----------
    path : Path
        As ``nnet3-copy`` writes it, binary or text.
    config : Path, optional
        Lines as of ``nnet3-copy --nnet-config``, such as ``extract.config``:
        ``output-node name=output input=tdnn6.affine``.

    Returns
    -------
    Nnet3
        The nodes that the output depends on; others may be of any kind.

    Raises
    ------
    FormatError
        If a file is unreadable, truncated or of another kind, a component or descriptor
        on the way to the output is not supported, dimensions disagree, a parameter is
        not finite, or batch normalisation has no statistics.
    """
    data = _read_file(path)
    start = data.index(_OPEN) + len(_OPEN)
    end = data.find(b"<NumComponents>", start)
    try:
        if end < 0:
            raise EOFError("truncated before <NumComponents>; copy the file again")
        lines = _parse_config(data[start:end])
        if config is not None:
            lines |= _read_config(config)
        plan = _plan(lines)
        nodes = [lines[name] for name in plan]
        needed = {n.values["component"] for n in nodes if n.kind == "component-node"}
        components = read_components(data, end, needed)
        return _build(lines, plan, components)
    except (ValueError, EOFError) as error:
        raise FormatError(str(error), path=path) from error


def _read_file(path: Path) -> bytes:
    """Read a file that starts as an nnet3 model does."""
    try:
        with open_regular(path) as file:
            head = file.read(64)
            body = head.removeprefix(MARK)
            if body.startswith(_OPEN):
                return head + file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    other = next((k for start, k in _OTHER_KINDS.items() if body.startswith(start)), "")
    found = other or ("an empty file" if not head else repr(head[:24]))
    raise FormatError(
        f"expected a Kaldi nnet3 raw model (<Nnet3>), found {found}", path=path
    )


# ---- nodes -------------------------------------------------------------------------


def _parse_config(data: bytes) -> dict[str, NodeLine]:
    lines = (line for line in data.decode("latin-1").splitlines() if line.strip())
    nodes = map(parse_line, lines)
    return {node.values["name"]: node for node in nodes}


def _read_config(path: Path) -> dict[str, NodeLine]:
    nodes: dict[str, NodeLine] = {}
    for number, line in read_lines(path):
        text = line.partition("#")[0]
        if not text.strip():
            continue
        try:
            node = parse_line(text)
        except ValueError as error:
            raise FormatError(str(error), path=path, line=number) from error
        nodes[node.values["name"]] = node
    return nodes


def _plan(lines: Mapping[str, NodeLine]) -> dict[str, tuple[Input, ...]]:
    """Return the inputs of the nodes that the output needs, each node after its inputs.

    The output itself is the last, by the name of its line.
    """
    outputs = [name for name, line in lines.items() if line.kind == "output-node"]
    if "output" not in outputs:
        raise ValueError(
            "no output-node of the name 'output'; found "
            f"{', '.join(map(repr, outputs)) or 'none'}"
        )
    plan: dict[str, tuple[Input, ...]] = {}
    path = ["output"]
    while path:
        name = path[-1]
        if name not in lines:
            raise ValueError(f"no node {name[:40]!r}, which {path[-2][:40]!r} needs")
        inputs = parse_descriptor(lines[name].values["input"])
        known = (*plan, _INPUT)
        missing = [one.node for one in inputs if one.node not in known]
        if not missing:
            plan[name] = inputs
            path.pop()
        elif missing[0] in path:
            raise ValueError(f"node {name[:40]!r} depends on itself, as in an LSTM")
        else:
            path.append(missing[0])
    return plan


def _build(
    lines: Mapping[str, NodeLine],
    plan: Mapping[str, tuple[Input, ...]],
    components: Mapping[str, Component | None],
) -> Nnet3:
    """Put the network together, and check that dimensions fit."""
    input_dim = _parse_dim(lines)
    dims, nodes = {_INPUT: input_dim}, []
    for name, inputs in plan.items():
        given = sum(dims[one.node] for one in inputs)
        component = None
        if lines[name].kind == "component-node":
            component = components[lines[name].values["component"]]
        expected, dim = (
            (given, given) if component is None else _component_dims(component)
        )
        if given != expected:
            raise ValueError(
                f"node {name!r} takes {expected} dimensions and is given {given}; "
                "the model is damaged, or extract.config belongs to another"
            )
        dims[name] = dim
        nodes.append(Node(name, component, inputs, dim))
    return Nnet3(input_dim, tuple(nodes))


def _parse_dim(lines: Mapping[str, NodeLine]) -> int:
    if _INPUT not in lines or lines[_INPUT].kind != "input-node":
        raise ValueError(f"no input-node of the name {_INPUT!r}")
    dim = lines[_INPUT].values["dim"]
    if not re.fullmatch("[1-9][0-9]{0,4}", dim):
        raise ValueError(f"invalid dimension of the input: {dim[:40]!r}")
    return int(dim)


def _component_dims(component: Component) -> tuple[int, int]:
    """Return the dimensions of input and output."""
    match component:
        case Affine(weight=weight):
            return weight.shape[1], weight.shape[0]
        case Normalization(mean=mean):
            return len(mean), len(mean)
        case StatisticsExtraction(dim=dim, include_variance=both):
            return dim, 1 + (2 if both else 1) * dim
        case StatisticsPooling(dim=dim, num_log_counts=counts):
            return dim, dim - 1 + counts
        case _:
            return component.dim, component.dim
