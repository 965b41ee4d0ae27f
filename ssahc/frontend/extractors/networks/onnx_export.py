"""Writing networks as ONNX files, with the recipe of their features beside them."""

from copy import deepcopy
from pathlib import Path

import torch

from ssahc.frontend.extractors.networks.network import EmbeddingNetwork
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.networks.sincnet import SincNetwork
from ssahc.frontend.extractors.onnx import OnnxRecipe
from ssahc.frontend.onnx_tracing import trace_onnx
from ssahc.frontend.sinc_filters import FixedFilters
from ssahc.io.config import write_config

_INPUT, _OUTPUT = "frames", "embeddings"


def write_onnx(path: Path, network: EmbeddingNetwork) -> Path:
    """Write a network as an ONNX file, and its recipe beside it; return the recipe.

    The network takes frames (B, T, F), and gives embeddings (B, D). A UsageError is
    raised if onnx is not installed.
    """
    exported = deepcopy(network).cpu()
    if isinstance(exported, SincNetwork):
        exported.filters = FixedFilters(exported.filters)
    options = network.options
    trace_onnx(
        path,
        exported,
        torch.zeros(1, network.fewest_frames + 1, options.feature_dim),
        input=(_INPUT, {0: "B", 1: "T"}),
        output=(_OUTPUT, {0: "B"}),
    )
    recipe = path.with_suffix(".toml")
    write_config(recipe, _describe(options))
    return recipe


def _describe(options: ExtractorNetworkOptions) -> OnnxRecipe:
    if options.takes_samples:
        return OnnxRecipe(
            sample_rate=options.sample_rate,
            features="samples",
            mean="none",
            scale="unit",
            input=_INPUT,
            output=_OUTPUT,
        )
    mfcc = options.mfcc
    return OnnxRecipe(
        sample_rate=options.sample_rate,
        features="mfcc",
        num_mel_bins=mfcc.num_mel_bins,
        num_ceps=mfcc.num_ceps,
        low_freq=mfcc.low_freq,
        high_freq=mfcc.high_freq,
        snip_edges=mfcc.snip_edges,
        mean=options.mean,
        input=_INPUT,
        output=_OUTPUT,
    )
