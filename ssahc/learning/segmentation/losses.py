"""Losses that do not mind in which order a network numbers the speakers of a chunk.

Of all permutations of the speakers, that with the least loss counts, chunk by chunk
(Kolbaek et al. 2017; Fujita et al. 2019). Losses are means over frames and chunks.
"""

from itertools import permutations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot, softplus

from ssahc.core.types import IntArray
from ssahc.frontend.segmentation.powerset import BoolArray, to_powerset


def permuted_classes(sets: BoolArray) -> IntArray:
    """Return the classes (P, C) of the sets (C, K) for all permutations of speakers."""
    orders = permutations(range(sets.shape[1]))
    return np.stack([to_powerset(sets[:, list(order)], sets) for order in orders])


def powerset_loss(
    log_probabilities: Tensor, classes: Tensor, sets: BoolArray
) -> Tensor:
    """Return the permutation-invariant cross-entropy of powerset classes.

    Parameters
    ----------
    log_probabilities : (B, T, C) tensor
    classes : (B, T) tensor of integers
        Those of the reference.
    sets : (C, K) bool array
        See `ssahc.frontend.segmentation.powerset`.

    References
    ----------
    Plaquet, Bredin: Powerset multi-class cross entropy loss for neural speaker
    diarization (Interspeech 2023).
    """
    targets = one_hot(classes, len(sets)).to(log_probabilities.dtype)
    # Summed over the frames of each class of the reference: (B, C, C).
    sums = targets.transpose(1, 2) @ log_probabilities
    chosen = torch.from_numpy(permuted_classes(sets)).to(classes.device)
    rows = torch.arange(len(sets), device=classes.device)
    gains = sums[:, rows, chosen].sum(dim=-1)
    return -gains.amax(dim=1).mean() / classes.shape[1]


def multilabel_loss(logits: Tensor, active: Tensor) -> Tensor:
    """Return the permutation-invariant binary cross-entropy.

    Parameters
    ----------
    logits : (B, T, K) tensor
        Of the probabilities that a speaker is active.
    active : (B, T, K) bool tensor
        The reference.
    """
    num_frames, num_speakers = active.shape[1:]
    # Only what is gained in active frames depends on the permutation: (B, K, K).
    gains = active.to(logits.dtype).transpose(1, 2) @ logits
    orders = torch.tensor([*permutations(range(num_speakers))], device=logits.device)
    rows = torch.arange(num_speakers, device=logits.device)
    best = gains[:, rows, orders].sum(dim=-1).amax(dim=1)
    costs = softplus(logits).sum(dim=(1, 2))
    return (costs - best).mean() / (num_frames * num_speakers)


def clustering_loss(embeddings: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Return the mean square error of the affinities of all pairs of frames.

    They are the cosines of embeddings; in truth 1 for frames of one class, 0 for
    others. No permutation is involved, so that it tells speakers apart early.

    Parameters
    ----------
    embeddings : (B, T, D) tensor
    classes : (B, T) tensor of integers
        Those of the reference.
    num_classes : int

    References
    ----------
    Hershey et al.: Deep clustering (ICASSP 2016), equation 3; for diarization, Fujita
    et al.: End-to-end neural speaker diarization with permutation-free objectives
    (Interspeech 2019).
    """
    vectors = normalize(embeddings, dim=-1)
    targets = one_hot(classes, num_classes).to(vectors.dtype)
    # |VV' - YY'|^2 without matrices of T x T.
    squares = [
        (left.transpose(1, 2) @ right).square().sum(dim=(1, 2))
        for left, right in ((vectors, vectors), (vectors, targets), (targets, targets))
    ]
    return (squares[0] - 2 * squares[1] + squares[2]).mean() / classes.shape[1] ** 2
