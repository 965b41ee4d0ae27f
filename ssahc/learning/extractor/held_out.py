"""How well an extractor tells held-out speakers apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ssahc.core.errors import DataError
from ssahc.core.types import Float32Array, IntArray
from ssahc.frontend.extractors.networks import (
    FRAME_SHIFT,
    feature_source,
    normalize_features,
)
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.learning.extractor.normalized import NormalizedNetwork
from ssahc.learning.extractor.speech import LabelledSpeech
from ssahc.learning.extractor.trials import error_rate, middle_frames

# Windows embedded together.
_BATCH = 64


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Features of utterances of speakers that are not trained on.

    Parameters
    ----------
    features : sequence of N (T, F) arrays
    middles : sequence of N (T, F) arrays
        Of the 1.5 s in the middle of each.
    speakers : sequence of N str
    """

    features: Sequence[Float32Array]
    middles: Sequence[Float32Array]
    speakers: Sequence[str]


def prepare_held_out(
    speech: LabelledSpeech, options: ExtractorNetworkOptions, fewest_frames: int
) -> HeldOut:
    """Compute the features of utterances that are long enough.

    Raises
    ------
    DataError
        If there are no two speakers, or none with two utterances.
    """
    source = feature_source(options)
    features, middles, speakers = [], [], []
    for speaker, signal in zip(speech.speakers, speech.signals, strict=True):
        frames = signal.astype(np.float32)
        if signal.ndim == 1:
            empty = np.zeros((0, options.feature_dim), np.float32)
            frames = np.concatenate([empty, *source([signal])])
        if len(frames) >= fewest_frames:
            full = normalize_features(options, frames)
            middle = slice(*middle_frames(len(frames), FRAME_SHIFT))
            features.append(full)
            # A mean of the window is not that of the utterance.
            middles.append(
                normalize_features(options, frames[middle])
                if options.mean == "window"
                else full[middle]
            )
            speakers.append(speaker)
    _, counts = np.unique(np.asarray(speakers), return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise DataError(
            f"held-out speech is of {len(counts)} speakers with utterances of "
            f"{fewest_frames * FRAME_SHIFT:g} s or more, at most "
            f"{counts.max(initial=0)} each; give two speakers with two utterances"
        )
    return HeldOut(features, middles, speakers)


def rate_held_out(
    network: NormalizedNetwork, held_out: HeldOut, device: str
) -> tuple[float, float]:
    """Return the equal error rates of full utterances, and of their middles (1.5 s)."""
    full, short = (
        error_rate(_embed(network, stretches, device), held_out.speakers)
        for stretches in (held_out.features, held_out.middles)
    )
    return full, short


def _embed(
    network: NormalizedNetwork, stretches: Sequence[Float32Array], device: str
) -> NDArray[np.float32]:
    """Return embeddings (N, D), of stretches of one length in batches."""
    lengths = np.array([len(frames) for frames in stretches])
    embeddings = np.empty((len(stretches), network.network.dim), np.float32)
    network.eval()
    with torch.no_grad():
        for length in np.unique(lengths):
            own = np.flatnonzero(lengths == length)
            for rows in _batches(own):
                batch = np.stack([stretches[row] for row in rows.tolist()])
                found = network(torch.from_numpy(batch).to(device))
                embeddings[rows] = found.cpu().numpy()
    return embeddings


def _batches(rows: IntArray) -> list[IntArray]:
    return [rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH)]
