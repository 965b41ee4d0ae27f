"""How many speakers there are, if speakers drift.

The evidence takes windows of a speaker for independent, so that any lasting difference
between two parts of a recording, however small, becomes a speaker once there are enough
windows. But the mean of many windows of one speaker drifts: with what is said,
how, and where.
"""

import numpy as np

from ssahc.clustering.stopping import Stop
from ssahc.core.types import IntArray
from ssahc.resegmentation.merge_path import Candidate, MergePath, count_speakers
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.vbhmm import gains_of_merging, gather


def count_steady_speakers(
    path: MergePath, stop: Stop, observations: Observations, drift: float
) -> int:
    """Return the number of speakers at a stop, as `count_speakers`, less what drifts.

    Clusters of the candidate that the evidence prefers are merged as long as they are
    more likely parts of one speaker than speakers of their own, if the mean of a part
    deviates from its speaker by N(0, drift I) beyond the noise of its windows. A known
    number of speakers, and the least there may be, stand.
    """
    count = count_speakers(path, stop)
    if stop.num_speakers is not None or drift == 0:
        return count
    labels = next((c.labels for c in path if c.num_speakers == count), None)
    if labels is None:
        return count
    return max(stop.min_speakers, _merge_parts(labels, observations, drift))


def _merge_parts(labels: IntArray, observations: Observations, drift: float) -> int:
    """Return how many speakers clusters (N,) are parts of."""
    counts, sums = gather(observations, Candidate(labels).responsibilities)
    # With drift, the n windows of a part are worth n / (1 + n drift), however many.
    share = 1 / (1 + drift * counts)
    counts, sums = counts * share, sums * share[:, None]
    while len(counts) > 1:
        gains = gains_of_merging(counts, sums, observations.psi, observations.fb)
        low, high = np.unravel_index(gains.argmax(), gains.shape)
        if gains[low, high] <= 0:
            break
        counts[low] += counts[high]
        sums[low] += sums[high]
        counts, sums = np.delete(counts, high), np.delete(sums, high, axis=0)
    return len(counts)
