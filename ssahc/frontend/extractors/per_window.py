"""Networks that see one window of filterbank features at a time."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from ssahc.core.types import Float32Array, IntArray
from ssahc.frontend.cmvn import SlidingCmvnOptions, sliding_cmvn

# Mean to subtract: of the window, of a sliding window, or none.
Mean = Literal["window", "sliding", "none"]
# Of a sliding mean: 3 s around every frame, as in Kaldi's recipes.
SLIDING = SlidingCmvnOptions()
# Takes windows (B, T, F) of one length, gives embeddings (B, D).
Network = Callable[[Float32Array], Float32Array]
# Shorter windows are repeated up to this many frames, for the pooling in networks.
_SHORTEST = 50
# Frames in a batch, whose activations stay in the cache of a CPU.
_BATCH = 1200


def embed_windows(
    features: Float32Array, ranges: IntArray, *, network: Network, mean: Mean
) -> Float32Array:
    """Return embeddings (N, D) of ranges (N, 2) of frames of features (T, F).

    Windows of one length are embedded in batches.
    """
    if mean == "sliding":
        features = sliding_cmvn(features, SLIDING)
    lengths = ranges[:, 1] - ranges[:, 0]
    embeddings: dict[int, Float32Array] = {}
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        # Repeated from the start, as 3D-Speaker and WeSpeaker do.
        frames = np.arange(max(length, _SHORTEST)) % length
        size = max(_BATCH // len(frames), 1)
        for first in range(0, len(rows), size):
            batch = rows[first : first + size]
            windows = features[ranges[batch, :1] + frames]
            if mean == "window":
                windows = windows - windows.mean(axis=1, keepdims=True)
            embeddings |= zip(batch.tolist(), network(windows), strict=True)
    return np.stack([embeddings[row] for row in range(len(ranges))])
