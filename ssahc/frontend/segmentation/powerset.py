"""Sets of speakers who speak at the same time, as the classes of a softmax.

Plaquet, Bredin: Powerset multi-class cross entropy loss for neural speaker diarization
(Interspeech 2023). A frame has one class for every set of at most M of K local
speakers: none, then the single speakers, then pairs, ... No threshold is needed.
"""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssahc.core.errors import DataError
from ssahc.core.types import IntArray

BoolArray = NDArray[np.bool_]


def speaker_sets(num_speakers: int, max_simultaneous: int) -> BoolArray:
    """Return which speakers (C, K) each class has: smaller sets first.

    Sets of one size are in lexicographic order, as in pyannote.audio: of 3 speakers, 2
    at once, {}, {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}.

    Raises
    ------
    DataError
        Unless 1 <= max_simultaneous <= num_speakers.
    """
    if not 1 <= max_simultaneous <= num_speakers:
        raise DataError(
            "expected 1 <= speakers at once <= speakers, found "
            f"{max_simultaneous} at once of {num_speakers}"
        )
    members = [
        chosen
        for size in range(max_simultaneous + 1)
        for chosen in combinations(range(num_speakers), size)
    ]
    sets = np.zeros((len(members), num_speakers), bool)
    for row, chosen in enumerate(members):
        sets[row, list(chosen)] = True
    return sets


def to_multilabel(classes: IntArray, sets: BoolArray) -> BoolArray:
    """Return which speakers (..., K) are active, of classes (...)."""
    return sets[classes]


def to_powerset(active: ArrayLike, sets: BoolArray) -> IntArray:
    """Return the classes (...) of the sets nearest to active speakers (..., K).

    Of more speakers than a set may have, the first ones are kept.
    """
    signs = 2 * np.asarray(active, np.int64) - 1
    # The set that agrees on most speakers; of several, the first.
    agreement = signs @ (2 * sets.T.astype(np.int64) - 1)
    classes: IntArray = agreement.argmax(axis=-1)
    return classes
