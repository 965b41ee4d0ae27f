"""Files of segmentation networks: those of ``ssahc train-segmentation``, pyannote's.

Ours are `.npz` files of float32 weights, with the options of the network as JSON. No
pickle is executed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import build, flatten
from ssahc.core.types import Float32Array
from ssahc.frontend.extractors.checkpoints import read_checkpoint as read_torch
from ssahc.frontend.segmentation import ONNX, Segmenter
from ssahc.frontend.segmentation.model import SegmentationNet, as_segmenter
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.frontend.segmentation.wav2vec import (
    Wav2Vec,
    make_wav2vec,
    require_transformers,
)
from ssahc.io.checkpoint import is_checkpoint, read_checkpoint, write_checkpoint

# Of segmentation-3.0.
_PYANNOTES_SHAPE = NetworkOptions(
    encoder="sincnet",
    head="powerset",
    sample_rate=16000,
    chunk=10.0,
    chunk_speakers=3,
    at_once=2,
    lstm_dim=128,
    lstm_layers=4,
)
# Types that pyannote.audio's own checkpoints have beside the weights.
_PYANNOTES = (
    "pyannote.audio.core.task.Problem",
    "pyannote.audio.core.task.Resolution",
    "pyannote.audio.core.task.Specifications",
    "torch.torch_version.TorchVersion",
)
_FORMAT = "ssahc segmentation 1"
_BROKEN = (KeyError, RecursionError, RuntimeError, TypeError, UsageError, ValueError)


@dataclass(frozen=True, eq=False)
class TrainedNet:
    """A network, and the threshold of its speakers' probabilities if multi-label."""

    network: SegmentationNet
    threshold: float = 0.5


def read_network(path: Path) -> TrainedNet:
    """Read a network from a file of `write_network`, or pyannote's checkpoint.

    Raises
    ------
    FormatError
        If the file is missing, damaged, or of another network.
    """
    if is_checkpoint(path) or path.suffix == ".npz":
        return _read_ours(path)
    if path.suffix == ONNX:
        raise FormatError(
            "is an ONNX file, which can only be run; give the network that it was "
            "exported from",
            path=path,
        )
    checkpoint = read_torch(path, inert=_PYANNOTES)
    network = SegmentationNet(_PYANNOTES_SHAPE)
    try:
        weights = {_rename(name): v for name, v in checkpoint["state_dict"].items()}
        network.load_state_dict(weights)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise FormatError(
            "these are not the weights of pyannote's segmentation-3.0", path=path
        ) from error
    return TrainedNet(network)


def _rename(name: str) -> str:
    """Return our name of one of pyannote's weights."""
    first, dot, rest = name.partition(".")
    return f"encoder{dot}{rest}" if first == "sincnet" else name


def write_network(path: Path, trained: TrainedNet) -> None:
    """Write a network that `read_network` reads."""
    weights = trained.network.state_dict().items()
    network = trained.network
    record = {
        "format": _FORMAT,
        # The encoder is in the file.
        "network": flatten(replace(network.options, wav2vec=None)),
        "threshold": trained.threshold,
    }
    if isinstance(network.encoder, Wav2Vec):
        record["wav2vec"] = network.encoder.config
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in weights}
    write_checkpoint(path, arrays, json.dumps(record))


def load_segmenter(path: Path, device: str = "cpu") -> Segmenter:
    """Load a model from a file that `read_network` reads."""
    trained = read_network(path)
    return as_segmenter(trained.network, device, trained.threshold)


def _read_ours(path: Path) -> TrainedNet:
    arrays, text = read_checkpoint(path, "copy it again, or train anew")
    with _naming(path):
        record = json.loads(text)
        if record["format"] != _FORMAT:
            raise ValueError("another format")
        options = build(NetworkOptions, record["network"])
        threshold = record["threshold"]
        if not (isinstance(threshold, float) and 0 < threshold < 1):
            raise ValueError("the threshold is no probability")
    if options.encoder == "wav2vec":
        require_transformers()
    with _naming(path):
        encoder = None
        if options.encoder == "wav2vec":
            encoder = make_wav2vec(record["wav2vec"])
        network = SegmentationNet(options, encoder)
        _load(network, arrays)
    return TrainedNet(network, threshold)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in which something is wrong."""
    try:
        yield
    except _BROKEN as error:
        raise FormatError(
            "is no network of this version of ssahc train-segmentation; copy it again, "
            "or train anew",
            path=path,
        ) from error


def _load(network: SegmentationNet, arrays: Mapping[str, Float32Array]) -> None:
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("weights are not finite")
    network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
