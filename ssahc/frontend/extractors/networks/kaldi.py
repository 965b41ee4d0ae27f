"""Between the x-vector network in torch and Kaldi's description of it."""

from math import isclose
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ssahc.core.errors import DataError
from ssahc.core.nnet3 import (
    Affine,
    Component,
    Input,
    Nnet3,
    Node,
    Normalization,
    Relu,
    StatisticsExtraction,
    StatisticsPooling,
)
from ssahc.core.types import Float32Array, FloatArray
from ssahc.frontend.extractors.networks.network import (
    EPSILON,
    LEAST_VARIANCE,
    BatchNorm,
)
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.networks.tdnn import LAYERS, TdnnNetwork

# The node whose output is the embedding.
EMBEDDING = "tdnn6.affine"


def to_nnet3(network: TdnnNetwork) -> Nnet3:
    """Return a network as Kaldi's recipes describe it, its nodes named as there."""
    nodes: list[Node] = []

    def append(name: str, component: Component | None, dim: int, *offsets: int) -> None:
        before = nodes[-1].name if nodes else "input"
        inputs = tuple(Input(before, offset) for offset in offsets or (0,))
        nodes.append(Node(name, component, inputs, dim))

    layers = zip(network.frame_level.layers(), LAYERS, strict=True)
    for number, ((affine, norm), (taps, dilation)) in enumerate(layers, start=1):
        name, dim = f"tdnn{number}", affine.out_channels
        offsets = [dilation * (tap - taps // 2) for tap in range(taps)]
        # Kaldi's columns are those of one frame after the other.
        weight = _to_array(affine.weight.transpose(1, 2).flatten(1))
        append(f"{name}.affine", _to_affine(weight, affine.bias), dim, *offsets)
        append(f"{name}.relu", Relu(dim), dim)
        append(f"{name}.batchnorm", _to_normalization(norm), dim)
    window = f"0-{network.longest}"
    statistics = StatisticsExtraction(dim, include_variance=True)
    append(f"stats-extraction-{window}", statistics, 1 + 2 * dim)
    pooling = StatisticsPooling(
        1 + 2 * dim, 0, network.longest, 0, True, LEAST_VARIANCE
    )
    append(f"stats-pooling-{window}", pooling, 2 * dim)
    last = network.embedding
    append(EMBEDDING, _to_affine(_to_array(last.weight), last.bias), network.dim)
    append("output", None, network.dim)
    return Nnet3(network.options.feature_dim, tuple(nodes))


def from_nnet3(nnet: Nnet3, sample_rate: int) -> TdnnNetwork:
    """Return a network of Kaldi's in torch.

    Raises
    ------
    DataError
        If it is another network than that of Kaldi's x-vector recipes, up to the affine
        transform behind the pooling.
    """
    components = [node.component for node in nnet.nodes]
    affine = [part for part in components if isinstance(part, Affine)]
    norms = [part for part in components if isinstance(part, Normalization)]
    pools = [part for part in components if isinstance(part, StatisticsPooling)]
    if (len(affine), len(norms), len(pools)) != (len(LAYERS) + 1, len(LAYERS), 1):
        raise _another(
            f"it has {len(affine)} affine transforms and {len(norms)} normalisations, "
            f"expected {len(LAYERS) + 1} and {len(LAYERS)}"
        )
    network = TdnnNetwork(
        ExtractorNetworkOptions(
            network="tdnn",
            sample_rate=sample_rate,
            embedding_dim=nnet.output_dim,
            width=len(affine[0].bias),
            pooled_width=len(affine[-2].bias),
            num_ceps=nnet.input_dim,
        ),
        pools[0].right,
    )
    _compare(nnet, to_nnet3(network))
    *below, last = affine
    found = zip(below, norms, strict=True)
    with torch.no_grad():
        for (module, norm), (component, statistics) in zip(
            network.frame_level.layers(), found, strict=True
        ):
            _load_affine(module, component)
            _load_normalization(norm, statistics)
        _load_affine(network.embedding, last)
    return network


def _compare(found: Nnet3, expected: Nnet3) -> None:
    """Raise a DataError at the first node that is not as expected."""
    places = {"input": -1}
    for place, (one, other) in enumerate(
        zip(found.nodes, expected.nodes, strict=False)
    ):
        places[one.name] = place
        inputs = [(places[one.node], one.offset) for one in one.inputs]
        if inputs != [(place - 1, one.offset) for one in other.inputs]:
            raise _another(f"the inputs of {one.name!r} are others")
        if _shape(one.component) != _shape(other.component):
            raise _another(f"{one.name!r} is of another kind, or of other dimensions")
    if len(found.nodes) != len(expected.nodes):
        raise _another(f"it has {len(found.nodes)} nodes")


def _shape(component: Component | None) -> object:
    """Return what two components have in common that differ in parameters alone."""
    match component:
        case Affine(weight=weight):
            return weight.shape
        case Normalization(mean=mean, epsilon=epsilon, target_rms=target):
            usual = isclose(epsilon, EPSILON, rel_tol=1e-6) and target == 1
            return len(mean), usual
        case StatisticsPooling(variance_floor=floor):
            usual = isclose(floor, LEAST_VARIANCE, rel_tol=1e-6)
            return _all_but_the_floor(component), usual
        case _:
            return component


def _all_but_the_floor(pooling: StatisticsPooling) -> tuple[int, int, int, int, bool]:
    return (
        pooling.dim,
        pooling.left,
        pooling.right,
        pooling.num_log_counts,
        pooling.output_stddevs,
    )


def _another(what: str) -> DataError:
    return DataError(
        f"is not the x-vector network of Kaldi's recipes up to {EMBEDDING}: {what}; it "
        "can be run, but not be trained on or exported"
    )


def _to_array(tensor: Tensor) -> Float32Array:
    return tensor.detach().cpu().numpy().copy()


def _to_normalization(norm: BatchNorm) -> Normalization:
    def as_double(tensor: Tensor) -> FloatArray:
        return _to_array(tensor).astype(np.float64)

    return Normalization(
        as_double(norm.running_mean),
        as_double(norm.running_var),
        norm.count.item(),
        EPSILON,
    )


def _to_affine(weight: Float32Array, bias: Tensor | None) -> Affine:
    # Affine transforms have one here.
    return Affine(weight, _to_array(cast(Tensor, bias)))


def _load_affine(module: nn.Linear | nn.Conv1d, component: Affine) -> None:
    weight = component.weight
    if isinstance(module, nn.Conv1d):
        weight = weight.reshape(len(weight), -1, module.in_channels).swapaxes(1, 2)
    module.weight.copy_(torch.from_numpy(weight.copy()))
    cast(Tensor, module.bias).copy_(torch.from_numpy(component.bias))


def _load_normalization(norm: BatchNorm, found: Normalization) -> None:
    norm.running_mean.copy_(torch.from_numpy(found.mean))
    norm.running_var.copy_(torch.from_numpy(found.variance))
    norm.count.fill_(found.count)
