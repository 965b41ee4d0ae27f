"""Reading networks from model folders.

That of an x-vector network is a Kaldi model folder; those of others hold their weights
as an `.npz` file. No pickle is executed. ``extractor.toml`` describes the network.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.options import build
from ssahc.core.types import Float32Array
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.checkpoints import run_module
from ssahc.frontend.extractors.kaldi_nnet3 import NETWORK, load_kaldi, read_kaldi
from ssahc.frontend.extractors.networks import (
    FRAME_SHIFT,
    feature_source,
    new_network,
)
from ssahc.frontend.extractors.networks.kaldi import from_nnet3
from ssahc.frontend.extractors.networks.network import EmbeddingNetwork
from ssahc.frontend.extractors.networks.options import (
    OPTIONS,
    ExtractorNetworkOptions,
)
from ssahc.frontend.extractors.networks.tdnn import TdnnNetwork
from ssahc.frontend.extractors.per_window import SLIDING, Mean, embed_windows
from ssahc.io.checkpoint import read_checkpoint
from ssahc.io.config import read_config

WEIGHTS = "weights.npz"
# What the file of weights says that it is.
FORMAT = "ssahc extractor 1"
_BROKEN = "copy it again, or train anew"


def read_network(folder: Path) -> EmbeddingNetwork:
    """Read a network, to be trained further or exported, from a folder.

    Parameters
    ----------
    folder : Path
        Of `write_extractor`, or a Kaldi model folder.

    Raises
    ------
    FormatError
        If a file is missing or damaged, they do not fit together, or Kaldi's network is
        not that of its x-vector recipes.
    """
    if not folder.is_dir():
        raise FormatError(
            "expected the folder of a network, of ssahc train-extractor or of Kaldi; "
            "other models can only be run",
            path=folder,
        )
    path = folder / OPTIONS
    options = _read_options(path) if path.exists() else ExtractorNetworkOptions()
    if options.network == "tdnn":
        tdnn = _read_kaldi_network(folder)
        # Kaldi's folder does not say it.
        mean = options.mean if path.exists() else "sliding"
        tdnn.options = replace(tdnn.options, mean=mean)
        return tdnn
    network = new_network(options, 0)
    path = folder / WEIGHTS
    arrays, text = read_checkpoint(path, _BROKEN)
    if text != FORMAT:
        raise FormatError(
            f"is of another version of ssahc, or another kind of file; {_BROKEN}",
            path=path,
        )
    try:
        _load(network, arrays)
    except (RuntimeError, ValueError) as error:
        raise FormatError(
            f"does not hold the weights of the network that {OPTIONS} describes; "
            f"{_BROKEN}",
            path=path,
        ) from error
    return network


def load_network(folder: Path, device: str) -> Extractor:
    """Load the extractor of a folder of `write_extractor`.

    Speech is not detected by its energy, as it is for models of Kaldi.
    """
    options = _read_options(folder / OPTIONS)
    if options.network == "tdnn" and options.mean == "sliding":
        return replace(load_kaldi(folder, device), vad=None)
    network = read_network(folder).eval().to(device)
    is_mfcc = not options.takes_samples
    mean: Mean = options.mean if is_mfcc else "none"
    return Extractor(
        name=str(folder),
        sample_rate=options.sample_rate,
        dim=network.dim,
        frame_shift=FRAME_SHIFT,
        frame_length=options.mfcc.frame_length / 1000,
        overhang=0,
        context=SLIDING.cmn_window if mean == "sliding" else 0,
        lookahead=SLIDING.lookahead if mean == "sliding" else 0,
        compute_features=feature_source(options),
        embed_frames=partial(
            embed_windows,
            network=partial(run_module, network, device),
            mean=mean,
        ),
        mfcc=options.mfcc if is_mfcc else None,
    )


def _read_options(path: Path) -> ExtractorNetworkOptions:
    try:
        return build(
            ExtractorNetworkOptions, read_config(path, ExtractorNetworkOptions)
        )
    except UsageError as error:
        raise FormatError(str(error), path=path) from error


def _read_kaldi_network(folder: Path) -> TdnnNetwork:
    features, nnet = read_kaldi(folder)
    rate = round(features.sample_frequency)
    try:
        network = from_nnet3(nnet, rate)
    except (DataError, UsageError) as error:
        raise FormatError(str(error), path=folder / NETWORK) from error
    if features != network.options.mfcc:
        raise FormatError(
            "has other features than the networks that are trained here: MFCC as of "
            "Kaldi's x-vector recipes, --snip-edges=false, as many mel filters as "
            "cepstra, up to 3700 Hz at 8000 Hz or up to 7600 Hz at 16000 Hz",
            path=folder,
        )
    return network


def _load(network: EmbeddingNetwork, arrays: Mapping[str, Float32Array]) -> None:
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("weights are not finite")
    network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
