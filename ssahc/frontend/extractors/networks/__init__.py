"""Networks that embed speech, and are trained here: one contract for all of them.

Frames come every 10 ms. They are MFCC, or, for a network that takes samples, rows of
the samples of 10 ms. The networks themselves are in `network`; torch is loaded with it.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import Float32Array
from ssahc.frontend.cmvn import sliding_cmvn
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.per_window import SLIDING
from ssahc.frontend.features import feature_blocks, sample_rows, to_unit_scale

if TYPE_CHECKING:
    from ssahc.frontend.extractors.networks.network import EmbeddingNetwork

# Seconds from one frame to the next.
FRAME_SHIFT = 0.01
# Takes blocks (n,) of samples on the scale of 16-bit audio, yields frames (t, F).
FeatureSource = Callable[[Iterable[NDArray[np.generic]]], Iterator[Float32Array]]


def new_network(options: ExtractorNetworkOptions, seed: int) -> "EmbeddingNetwork":
    """Return a network with random weights, always the same ones for a seed."""
    import torch

    from ssahc.frontend.extractors.networks.attention import AttentionNetwork
    from ssahc.frontend.extractors.networks.sincnet import SincNetwork
    from ssahc.frontend.extractors.networks.tdnn import TdnnNetwork

    kinds: dict[str, type[EmbeddingNetwork]] = {
        "tdnn": TdnnNetwork,
        "attention": AttentionNetwork,
        "sincnet": SincNetwork,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kinds[options.network](options)


def feature_source(options: ExtractorNetworkOptions) -> FeatureSource:
    """Return what computes the frames of a recording, before `normalize_features`.

    It takes blocks (n,) of samples at `options.sample_rate`, on the scale of 16-bit
    audio, and yields frames (t, `options.feature_dim`) every `FRAME_SHIFT` seconds.
    """
    if options.takes_samples:
        return partial(_unit_rows, rate=options.sample_rate)
    return partial(feature_blocks, options=options.mfcc)


def normalize_features(
    options: ExtractorNetworkOptions, features: Float32Array
) -> Float32Array:
    """Return the frames (T, F) of a window, or a recording, as the network takes them.

    From MFCC, the mean that `options.mean` says is subtracted.
    """
    if options.takes_samples or options.mean == "none":
        return features
    if options.mean == "sliding":
        return sliding_cmvn(features, SLIDING)
    return features - features.mean(axis=0)


def _unit_rows(
    blocks: Iterable[NDArray[np.generic]], rate: int
) -> Iterator[Float32Array]:
    return sample_rows(to_unit_scale(blocks), rate)
