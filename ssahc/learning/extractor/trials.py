"""Which utterances extractors are compared on, and their equal error rate."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ssahc.backend.affinity import cosine_affinity
from ssahc.core.types import as_matrix
from ssahc.learning.extractor.speech import LabelledSpeech
from ssahc.scoring.detection import equal_error_rate

# Seconds in the middle of an utterance: as long as the windows that are diarized.
WINDOW = 1.5
# The trials are all pairs of at most so many utterances, and of so many of a speaker.
_MAX_UTTERANCES, _MAX_PER_SPEAKER = 1000, 20


def limit_trials(speech: LabelledSpeech) -> LabelledSpeech:
    """Return at most 1000 utterances of the speakers with two or more.

    Of each speaker there are at most 20, evenly spread over all; else the pairs of one
    who has many would outnumber all other pairs of one speaker.
    """
    rows_of: dict[str, list[int]] = {}
    for row, speaker in enumerate(speech.speakers):
        rows_of.setdefault(speaker, []).append(row)
    groups = [rows for rows in rows_of.values() if len(rows) > 1]
    groups = groups[: _MAX_UTTERANCES // 2]
    most = _MAX_PER_SPEAKER
    while sum(min(len(rows), most) for rows in groups) > _MAX_UTTERANCES:
        most -= 1
    chosen: list[int] = []
    for rows in groups:
        count = min(len(rows), most)
        chosen += [rows[place * len(rows) // count] for place in range(count)]
    return speech.select(sorted(chosen))


def middle_frames(count: int, frame_shift: float) -> tuple[int, int]:
    """Return the first frame of the middle of so many, and that behind the last.

    `frame_shift` is in seconds.
    """
    size = min(round(WINDOW / frame_shift), count)
    first = (count - size) // 2
    return first, first + size


def error_rate(embeddings: ArrayLike, speakers: Sequence[str]) -> float:
    """Return the equal error rate, 0 to 1, over all pairs of embeddings (N, D).

    Scores are cosines after the mean of all is subtracted.
    """
    vectors = as_matrix(embeddings, "embeddings")
    vectors = vectors - vectors.mean(axis=0)
    first, second = np.triu_indices(len(vectors), 1)
    scores = cosine_affinity(vectors).dense()[first, second]
    _, members = np.unique(np.asarray(speakers), return_inverse=True)
    same = members[first] == members[second]
    return equal_error_rate(scores[same], scores[~same])[0]
