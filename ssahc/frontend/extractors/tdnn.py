"""Kaldi's x-vector networks: frame-level layers, pooled statistics, and what follows.

The frame level is computed once for all chunks of a recording, however they overlap: a
chunk's statistics are of the frames whose whole context lies within it, and these have
the same outputs in every chunk.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.nnet3 import (
    Affine,
    Input,
    LogSoftmax,
    Nnet3,
    Node,
    Normalization,
    Relu,
    StatisticsExtraction,
    StatisticsPooling,
)
from ssahc.core.types import Float32Array, FloatArray, IntArray

# Frames computed together, so that their activations stay in the cache of a CPU.
_BLOCK = 1024
# Narrower layers gain nothing from fewer products.
_WIDE = 128
# numpy's on the CPU, where its matrix products are the faster ones; torch's on a GPU.
_Array = Any


@dataclass(frozen=True, eq=False)
class Tdnn:
    """A network ready to be computed.

    Parameters
    ----------
    frame_level : sequence of Node
        The last one passes on what statistics are taken of.
    normalization : Normalization or None
        Of what statistics are taken of. It is applied to the statistics.
    pooling : StatisticsPooling
    include_variance : bool
    segment_level : sequence of Node
        From the pooled statistics, by the name `pooled`, to the output.
    pooled : str
    spans : dict of (int, int)
        First and last frame, relative to a frame of statistics, that a node is needed
        at for it.
    weights : dict of arrays
        Weight (D_in, D_out), or those of `_filter`, and bias of affine nodes.
    used_once : set of str
        Affine nodes that a single other one needs, so that it can replace their values.
    output_dim : int
    device : str
    """

    frame_level: Sequence[Node]
    normalization: Normalization | None
    pooling: StatisticsPooling
    include_variance: bool
    segment_level: Sequence[Node]
    pooled: str
    spans: Mapping[str, tuple[int, int]]
    weights: Mapping[str, tuple[_Array, _Array]]
    used_once: frozenset[str]
    output_dim: int
    device: str

    @property
    def context(self) -> tuple[int, int]:
        """Numbers of frames before and after it that a frame's output depends on."""
        first, last = self.spans["input"]
        return max(-first, 0), max(last, 0)


# ---- preparation -------------------------------------------------------------------


def prepare_tdnn(nnet: Nnet3, device: str = "cpu") -> Tdnn:
    """Prepare a network for `embed_chunks`; DataError if it is no x-vector network."""
    nodes = _fold_normalizations(nnet.nodes)
    pools = [n for n in nodes if isinstance(n.component, StatisticsPooling)]
    if len(pools) != 1:
        raise DataError(
            f"expected one StatisticsPoolingComponent on the way to the output, found "
            f"{len(pools)}: this is no x-vector network, or its output is elsewhere"
        )
    pooled, by_name = pools[0], {node.name: node for node in nodes}
    extraction = by_name.get(pooled.inputs[0].node)
    if (
        not isinstance(pooled.component, StatisticsPooling)
        or extraction is None
        or not isinstance(extraction.component, StatisticsExtraction)
        or pooled.inputs != (Input(extraction.name, 0),)
    ):
        raise DataError("the pooled statistics are not those extracted just before")
    # Of a normalised output, statistics are as easily normalised themselves.
    inputs, normalization = extraction.inputs, None
    before = by_name.get(inputs[0].node)
    if before is not None and isinstance(before.component, Normalization):
        if len(inputs) == 1:
            inputs, normalization = _shift(before.inputs, inputs[0]), before.component
    dim = extraction.component.dim
    frame_level = _needed((*nodes, Node("statistics", None, inputs, dim)), {"input"})
    segment_level = _needed(nodes, {pooled.name})
    spans = _find_spans(frame_level)
    if -spans["input"][0] > pooled.component.right:
        raise DataError("no frame is both within a window and pooled")
    if any(isinstance(node.component, LogSoftmax) for node in frame_level):
        raise DataError("LogSoftmaxComponent is not supported before the statistics")
    nodes = [*frame_level, *segment_level]
    uses = Counter(one.node for node in nodes for one in node.inputs)
    return Tdnn(
        frame_level=frame_level,
        normalization=normalization,
        pooling=pooled.component,
        include_variance=extraction.component.include_variance,
        segment_level=segment_level,
        pooled=pooled.name,
        spans=spans,
        weights=_load_weights(frame_level, device)
        | _load_weights(segment_level, "cpu"),
        used_once=frozenset(
            node.name
            for node in nodes
            if isinstance(node.component, Affine) and uses[node.name] == 1
        ),
        output_dim=nnet.output_dim,
        device=device,
    )


def _fold_normalizations(nodes: Sequence[Node]) -> list[Node]:
    """Make normalisations part of the affine components that follow them."""
    by_name: dict[str, Node] = {}
    for node in nodes:
        sources = [by_name.get(one.node) for one in node.inputs]
        norms = [
            source.component
            for source in sources
            if source is not None and isinstance(source.component, Normalization)
        ]
        component, inputs = node.component, node.inputs
        if isinstance(component, Affine) and len(norms) == len(sources):
            scale = np.concatenate([norm.scale for norm in norms])
            offset = np.concatenate([norm.offset for norm in norms])
            weight = component.weight.astype(np.float64)
            bias = component.bias + weight @ offset
            component = Affine(
                (weight * scale).astype(np.float32), bias.astype(np.float32)
            )
            inputs = tuple(
                further
                for one in inputs
                for further in _shift(by_name[one.node].inputs, one)
            )
        by_name[node.name] = Node(node.name, component, inputs, node.dim)
    return list(by_name.values())


def _shift(inputs: Sequence[Input], by: Input) -> tuple[Input, ...]:
    return tuple(Input(one.node, one.offset + by.offset) for one in inputs)


def _needed(nodes: Sequence[Node], roots: set[str]) -> list[Node]:
    """Return the nodes that the last one needs, which start from `roots` alone."""
    wanted = {nodes[-1].name}
    needed: list[Node] = []
    for node in reversed(nodes):
        if node.name in wanted and node.name not in roots:
            needed.insert(0, node)
            wanted |= {one.node for one in node.inputs}
    known = roots | {node.name for node in needed}
    is_segment_level = "input" not in roots
    for node in needed:
        for one in node.inputs:
            if one.node not in known or (is_segment_level and one.offset):
                raise DataError(f"node {node.name!r} mixes frames and statistics")
    return needed


def _find_spans(nodes: Sequence[Node]) -> dict[str, tuple[int, int]]:
    spans = {nodes[-1].name: (0, 0)}
    for node in reversed(nodes):
        first, last = spans[node.name]
        for one in node.inputs:
            span = first + one.offset, last + one.offset
            before, after = spans.get(one.node, span)
            spans[one.node] = min(before, span[0]), max(after, span[1])
    return spans


def _load_weights(
    nodes: Sequence[Node], device: str
) -> dict[str, tuple[_Array, _Array]]:
    weights = {}
    for node in nodes:
        if isinstance(node.component, Affine):
            weight = np.ascontiguousarray(node.component.weight.T)
            if _dilation(node) and node.component.weight.shape[1] >= 3 * _WIDE:
                first, second, third = np.split(weight.astype(np.float64), 3)
                middle = (first + third) / 2
                taps = first, middle + second / 2, middle - second / 2, third
                weight = np.stack(taps).astype(np.float32)
            bias = node.component.bias
            weights[node.name] = _to_device(weight, device), _to_device(bias, device)
    return weights


def _dilation(node: Node) -> int:
    """Return the distance of three equidistant inputs from one node; 0 for others."""
    if len(node.inputs) != 3 or len({one.node for one in node.inputs}) != 1:
        return 0
    first, second, third = (one.offset for one in node.inputs)
    return second - first if second - first == third - second > 0 else 0


def _to_device(values: Float32Array, device: str) -> _Array:
    if device == "cpu":
        return values
    import torch

    return torch.from_numpy(values).to(device)


def _concatenate(values: list[_Array], axis: int) -> _Array:
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values, axis)
    import torch

    return torch.cat(values, axis)


def _rectify(values: _Array) -> _Array:
    """Replace negative values by 0."""
    if isinstance(values, np.ndarray):
        return np.maximum(values, 0, out=values)
    return values.relu_()


def _to_host(values: _Array) -> Float32Array:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


# ---- computation -------------------------------------------------------------------


def embed_chunks(net: Tdnn, features: Float32Array, chunks: IntArray) -> Float32Array:
    """Return the outputs (C, D_out) of chunks (C, 2), ranges of frames (T, D_in).

    Kaldi's ``nnet3-xvector-compute`` of one chunk each: the output at its first frame.
    Every chunk must be longer than the network's context.
    """
    before, after = net.context
    # Only frames within the reach of the pooling count.
    ends = np.minimum(chunks[:, 1] - after, chunks[:, 0] + net.pooling.right + 1)
    frames = np.column_stack([chunks[:, 0] + before, ends])
    sums = _sum_frames(net, features, frames)
    output = _pool(net, sums, frames[:, 1] - frames[:, 0]).astype(np.float32)
    values = {net.pooled: output}
    for node in net.segment_level:
        inputs = [values[one.node] for one in node.inputs]
        output = values[node.name] = _apply(net, node, inputs)
    return output


def _sum_frames(net: Tdnn, features: Float32Array, frames: IntArray) -> FloatArray:
    """Return sums and sums of squares (2, C, D) over ranges of frames (C, 2)."""
    dim = net.frame_level[-1].dim
    sums = np.zeros((2, len(frames), dim))
    for first, last in _cover(frames, sum(net.context)):
        rows = np.flatnonzero((frames[:, 0] < last) & (frames[:, 1] > first))
        times = np.arange(first, last)
        is_in = (frames[rows, :1] <= times) & (times < frames[rows, 1:])
        indicator = _to_device(is_in.astype(np.float32), net.device)
        outputs = _compute_frames(net, features, first, last)
        sums[0, rows] += _to_host(indicator @ outputs)
        outputs *= outputs
        sums[1, rows] += _to_host(indicator @ outputs)
    return sums


def _cover(frames: IntArray, gap: int) -> Iterator[tuple[int, int]]:
    """Yield blocks that cover ranges of frames, and gaps between them up to `gap`."""
    ordered = frames[np.argsort(frames[:, 0])]
    reach = np.maximum.accumulate(ordered[:, 1])
    breaks = 1 + np.flatnonzero(ordered[1:, 0] > reach[:-1] + gap)
    for part in np.split(np.arange(len(ordered)), breaks):
        first, last = int(ordered[part[0], 0]), int(reach[part[-1]])
        num_blocks = -(-(last - first) // _BLOCK)
        edges = np.linspace(first, last, num_blocks + 1).astype(int).tolist()
        yield from pairwise(edges)


def _compute_frames(net: Tdnn, features: Float32Array, first: int, last: int) -> _Array:
    """Return what statistics are taken of (t, D), of frames `first` to `last`."""
    before, after = net.spans["input"]
    block = features[first + before : last + after].copy()
    values = {"input": _to_device(block, net.device)}
    for node in net.frame_level:
        start, end = net.spans[node.name]
        size = last - first + end - start
        skipped = [start + one.offset - net.spans[one.node][0] for one in node.inputs]
        sources = [values[one.node] for one in node.inputs]
        if node.name in net.weights and net.weights[node.name][0].ndim == 3:
            values[node.name] = _filter(net, node, sources[0][skipped[0] :], size)
        else:
            inputs = [x[i : i + size] for x, i in zip(sources, skipped, strict=True)]
            values[node.name] = _apply(net, node, inputs)
    return values[net.frame_level[-1].name]


def _filter(net: Tdnn, node: Node, values: _Array, size: int) -> _Array:
    """Apply an affine node to three equidistant frames of `values` for `size` frames.

    Two outputs by four matrix products instead of six: the minimal filtering F(2, 3) of
    Winograd (Arithmetic Complexity of Computations, 1980).
    """
    (one, plus, minus, three), bias = net.weights[node.name]
    step = _dilation(node)
    # Frames t and t + step are computed together, for step frames t in a row.
    pairs = -(-size // (2 * step))
    missing = pairs * 2 * step - size
    values = _concatenate([values[: size + 2 * step], values[:missing]], axis=0)
    early = values[: -2 * step].reshape(pairs, 2, step, -1)
    late = values[2 * step :].reshape(pairs, 2, step, -1)
    first, second, third, fourth = (
        (inputs.reshape(pairs * step, -1) @ weight).reshape(pairs, step, -1)
        for inputs, weight in (
            (early[:, 0] - late[:, 0], one),
            (early[:, 1] + late[:, 0], plus),
            (late[:, 0] - early[:, 1], minus),
            (early[:, 1] - late[:, 1], three),
        )
    )
    second += bias
    first += second
    first += third
    second -= third
    second -= fourth
    return _concatenate([first, second], axis=1).reshape(pairs * 2 * step, -1)[:size]


def _apply(net: Tdnn, node: Node, inputs: list[_Array]) -> _Array:
    """Apply a node to the concatenation of its inputs (n, D)."""
    together = inputs[0] if len(inputs) == 1 else _concatenate(inputs, axis=1)
    match node.component:
        case None:
            return together
        case Affine():
            weight, bias = net.weights[node.name]
            output = together @ weight
            output += bias
            return output
        case Relu():
            is_free = len(inputs) == 1 and node.inputs[0].node in net.used_once
            return _rectify(together if is_free else together + 0)
        case Normalization(scale=scale, offset=offset):
            scale, offset = (
                _to_device(x.astype(np.float32), net.device) for x in (scale, offset)
            )
            return together * scale + offset
        case LogSoftmax():
            return together - np.logaddexp.reduce(together, axis=1, keepdims=True)
        case _:
            raise DataError(f"node {node.name!r} is out of place")


def _pool(net: Tdnn, sums: FloatArray, counts: IntArray) -> FloatArray:
    """Return the pooled statistics (C, D') of sums over `counts` (C,) frames."""
    means, squares = sums / counts[:, None]
    variances = squares - means**2
    if net.normalization is not None:
        means = means * net.normalization.scale + net.normalization.offset
        variances *= net.normalization.scale**2
    logs = np.repeat(np.log(counts)[:, None], net.pooling.num_log_counts, axis=1)
    if not net.include_variance:
        return np.hstack([logs, means])
    if net.pooling.output_stddevs:
        spread = np.sqrt(np.maximum(variances, net.pooling.variance_floor))
    else:
        spread = variances + means**2
    return np.hstack([logs, means, spread])
