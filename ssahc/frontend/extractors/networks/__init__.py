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
from ssahc.frontend.cmvn import SlidingCmvnOptions, sliding_cmvn
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.features import feature_blocks

if TYPE_CHECKING:
    from ssahc.frontend.extractors.networks.network import EmbeddingNetwork

# Seconds from one frame to the next.
FRAME_SHIFT = 0.01
# Of the mean that is subtracted from MFCC: 3 s around every frame, as in Kaldi.
SLIDING = SlidingCmvnOptions()
# Takes blocks (n,) of samples on the scale of 16-bit audio, yields frames (t, F).
FeatureSource = Callable[[Iterable[NDArray[np.generic]]], Iterator[Float32Array]]


def new_network(options: ExtractorNetworkOptions, seed: int) -> "EmbeddingNetwork":
    """Return a network with random weights, always the same ones for a seed."""
    import torch

    from ssahc.frontend.extractors.networks.network import make_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_network(options)


def feature_source(options: ExtractorNetworkOptions) -> FeatureSource:
    """Return what computes the frames of a recording, before `normalize_features`.

    It takes blocks (n,) of samples at `options.sample_rate`, on the scale of 16-bit
    audio, and yields frames (t, `options.feature_dim`) every `FRAME_SHIFT` seconds.
    """
    if options.takes_samples:
        return partial(_rows_of_samples, size=options.samples_per_frame)
    return partial(feature_blocks, options=options.mfcc)


def normalize_features(
    options: ExtractorNetworkOptions, features: Float32Array
) -> Float32Array:
    """Return the frames (T, F) of a recording as the network takes them.

    From MFCC, the mean over 3 s around every frame is subtracted.
    """
    return features if options.takes_samples else sliding_cmvn(features, SLIDING)


def _rows_of_samples(
    blocks: Iterable[NDArray[np.generic]], size: int
) -> Iterator[Float32Array]:
    """Yield rows (t, size) of samples from -1 to 1; less than a row at the end is lost.

    Raises a DataError if a sample is NaN or infinite.
    """
    rest = np.zeros(0, np.float32)
    for block in blocks:
        scaled = np.asarray(block, np.float32) / np.float32(32768)
        samples = np.concatenate([rest, scaled])
        count = len(samples) // size * size
        rest = samples[count:]
        if count:
            yield samples[:count].reshape(-1, size)
