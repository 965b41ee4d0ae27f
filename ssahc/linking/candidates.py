"""Which pairs of speakers may be one person.

Up to a number of speakers these are all pairs. Beyond it they are searched for: in
blocks, and of very many speakers by an index of neighbours, if one is installed.
"""

import logging
from collections.abc import Iterable
from time import perf_counter

import numpy as np

from ssahc.core.errors import counted
from ssahc.core.types import FloatArray, IntArray
from ssahc.linking.blocks import search_blocks
from ssahc.linking.neighbours import has_index, search_index
from ssahc.linking.voices import Pairs, Voices, ratios_of

# Up to so many speakers, all pairs are compared.
MOST_EXACT = 1000
# Pairs of up to so many speakers are searched for in blocks.
MOST_IN_BLOCKS = 50000
# Nats by which pairs may be below the threshold: clusters that they become part of may
# be above it.
MARGIN = 5.0
# Pairs that are scored at once.
_AT_ONCE = 4096

_logger = logging.getLogger(__name__)


def find_candidates(
    voices: Voices,
    fresh: IntArray,
    threshold: float,
    neighbours: int,
    *,
    most_exact: int = MOST_EXACT,
    most_in_blocks: int = MOST_IN_BLOCKS,
) -> tuple[Pairs, FloatArray]:
    """Return pairs (K, 2) of voices that may be one person, and their log ratios (K,).

    Each pair is there once, with at least one of the voices in rows `fresh`, which are
    sorted. Of more than `most_exact` voices, only pairs that are near the threshold or
    above it are found, and of each voice those with its best `neighbours`; with more
    pairs than of `most_in_blocks` voices, some of these are missed.
    """
    start = perf_counter()
    floor = threshold - MARGIN
    if len(voices) <= most_exact:
        how, floor = "pair by pair", -np.inf
        found: Iterable[Pairs] = [_list_pairs(len(voices), fresh)]
    elif len(voices) * len(fresh) > most_in_blocks**2 and has_index():
        how, found = "by an index", search_index(voices, fresh, neighbours)
    else:
        how, found = "in blocks", [search_blocks(voices, fresh, floor, neighbours)]
    pairs, ratios = _score(voices, found, floor)
    _logger.debug(
        f"compared {counted(len(voices), 'speaker')} or clusters {how}: "
        f"{counted(len(pairs), 'pair')}, {np.count_nonzero(ratios > threshold)} above "
        f"the threshold, in {perf_counter() - start:.1f} s"
    )
    return pairs, ratios


def score_pairs(voices: Voices, pairs: Pairs) -> FloatArray:
    """Return the log-likelihood ratios (K,) of pairs (K, 2)."""
    return _score(voices, [pairs], -np.inf)[1]


def _score(
    voices: Voices, blocks: Iterable[Pairs], floor: float
) -> tuple[Pairs, FloatArray]:
    """Return the pairs in blocks (K, 2) whose log ratio is above a floor, and these."""
    variances, positions = voices.variances(), voices.positions()
    kept, scores = [np.empty((0, 2), np.int32)], [np.empty(0)]
    for pairs in blocks:
        ratios = np.empty(len(pairs))
        for start in range(0, len(pairs), _AT_ONCE):
            i, j = pairs[start : start + _AT_ONCE].T
            ratios[start : start + _AT_ONCE] = ratios_of(
                voices.psi, variances[i], positions[i], variances[j], positions[j]
            )
        kept.append(pairs[ratios > floor])
        scores.append(ratios[ratios > floor])
    return np.concatenate(kept), np.concatenate(scores)


def _list_pairs(count: int, fresh: IntArray) -> Pairs:
    """Return all pairs with a fresh voice."""
    is_fresh = np.zeros(count, bool)
    is_fresh[fresh] = True
    pairs = np.column_stack(np.triu_indices(count, 1)).astype(np.int32)
    return pairs[is_fresh[pairs].any(axis=1)]
