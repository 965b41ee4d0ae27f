"""What the times of windows say before their x-vectors are looked at."""

import numpy as np

from ssahc.types import FloatArray

# A speaker may change between any two windows, be they at the same time.
_NEVER_CERTAIN = 1 - 1e-6


def own_shares(segments: FloatArray) -> FloatArray:
    """Return how much of each window's time is its own.

    Time that several windows cover is shared out evenly. As the noise of x-vectors is
    of the speech in their windows, so much of a window is evidence that no other holds:
    measured on real ones, windows correlate by just the share of time they have in
    common.

    Parameters
    ----------
    segments : (N, 2) array
        Start and end of every window, in seconds.

    Returns
    -------
    (N,) array
        Above 0, up to 1; 1 for a window of no length.
    """
    starts, ends = segments.T
    edges = np.unique(segments)
    covering = np.searchsorted(np.sort(starts), edges[:-1], "right")
    covering -= np.searchsorted(np.sort(ends), edges[:-1], "right")
    until = np.append(0.0, np.cumsum(np.diff(edges) / np.maximum(covering, 1)))
    own = until[np.searchsorted(edges, ends)] - until[np.searchsorted(edges, starts)]
    lengths = ends - starts
    return np.where(lengths > 0, own / np.where(lengths > 0, lengths, 1.0), 1.0)


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
