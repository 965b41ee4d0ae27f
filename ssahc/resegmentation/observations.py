"""What the times of windows say before their x-vectors are looked at."""

import numpy as np

from ssahc.core.types import FloatArray

# A speaker may change between any two windows, be they at the same time.
_NEVER_CERTAIN = 1 - 1e-6
# Nothing counts for less than this, windows of no length included.
_LEAST = 1e-3


def count_observations(segments: FloatArray) -> FloatArray:
    """Return for how many independent observations each window counts.

    The noise of x-vectors is of the speech in their windows: measured on real ones,
    windows correlate by just the share of time they have in common, and vary more the
    shorter they are. So time that several windows cover is shared out evenly, and what
    a window holds alone is measured by the length of a usual one.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.

    Returns
    -------
    (N,) array
        Above 0, up to 1 for a window of the median length, or beyond, that is alone in
        its time; 1 for all if the median length is 0.
    """
    starts, ends = segments.T
    lengths = ends - starts
    usual = float(np.median(lengths))
    if usual <= 0:
        return np.ones(len(segments))
    edges = np.unique(segments)
    covering = np.searchsorted(np.sort(starts), edges[:-1], "right")
    covering -= np.searchsorted(np.sort(ends), edges[:-1], "right")
    until = np.append(0.0, np.cumsum(np.diff(edges) / np.maximum(covering, 1)))
    own = until[np.searchsorted(edges, ends)] - until[np.searchsorted(edges, starts)]
    # Of a window longer than usual, only the share that is its own counts.
    return np.maximum(own / np.maximum(lengths, usual), _LEAST)


def stay_probabilities(segments: FloatArray, loop_seconds: float) -> FloatArray:
    """Return how likely the speaker stays from each window to the next.

    Parameters
    ----------
    segments : (N, 2) array
        In order of time, in seconds.
    loop_seconds : float
        After t seconds (between the middles of the windows) the speaker has stayed for
        certain with probability ``exp(-t / loop_seconds)``; else anybody may speak.

    Returns
    -------
    (N - 1,) array
    """
    elapsed = np.maximum(np.diff(segments.mean(axis=1)), 0.0)
    return np.minimum(np.exp(-elapsed / loop_seconds), _NEVER_CERTAIN)
