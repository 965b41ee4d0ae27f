"""Spectral clustering that tunes itself by the normalised maximum eigengap.

Park, Han, Kumar & Narayanan, "Auto-tuning spectral clustering for speaker diarization
using normalized maximum eigengap", IEEE Signal Processing Letters 27 (2020): every
window is tied to its p nearest windows, itself included; the p with the clearest
eigengap for its size is taken, and the place of that gap is the number of speakers.

What the paper leaves open is settled here so that labels depend neither on the order of
the windows nor on a seed: windows as near as the p-th are tied as well; no more
speakers are looked for than could have p windows each; where no graph has a gap (all
fall into more parts than there may be speakers, and which of them belong together is
arbitrary), larger p are tried; and k-means starts from the rows that a pivoted QR
factorisation picks.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.clustering.kmeans import kmeans_cluster
from ssahc.clustering.matrix import symmetric_affinity
from ssahc.clustering.stopping import MOST_SPEAKERS
from ssahc.core.errors import DataError
from ssahc.core.types import Float32Array, FloatArray, IntArray

# The largest p is this share of the windows (Park et al.), ...
_LARGEST_SHARE = 0.25
# ... and so many values up to it, evenly spaced, are tried.
_VALUES_TRIED = 20
# A gap below this share of the largest eigenvalue is none: rounding parts the two.
_ZERO = 1e-9


def spectral_cluster(
    affinity: FloatArray | Float32Array,
    *,
    num_speakers: int | None = None,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> IntArray:
    """Cluster one recording by the eigenvectors of its graph of nearest windows.

    Parameters
    ----------
    affinity : (N, N) array
        Similarities. Only the upper triangle is read.
    num_speakers : int, optional
        Known number of speakers; more than there are windows means one each.
    min_speakers, max_speakers : int, optional
        Bounds on the number that is estimated without it. What the eigengap says is
        moved to the nearest bound; without `max_speakers` it says at most 10, and of
        fewer than six windows it always says 1.

    Returns
    -------
    (N,) int array
        0..K-1 in order of first appearance.

    Raises
    ------
    DataError
        If the matrix is not square or not finite, or has no eigenvectors.
    """
    matrix = symmetric_affinity(affinity).astype(np.float64)
    count = len(matrix)
    if (num_speakers or min_speakers) >= count:
        return np.arange(count)
    if num_speakers is None:
        best = _best_eigengap(matrix, 1, max(MOST_SPEAKERS, max_speakers or 0))
        num_speakers = max(best.num_speakers, min_speakers)
        num_speakers = min(num_speakers, max_speakers or num_speakers)
        if num_speakers == best.num_speakers:
            return _label(_laplacian(matrix, best.neighbors), num_speakers)
    best = _best_eigengap(matrix, num_speakers, num_speakers)
    return _label(_laplacian(matrix, best.neighbors), num_speakers)


@dataclass(frozen=True)
class _Eigengap:
    """What the eigenvalues of the graph of p nearest windows say of speakers.

    Attributes
    ----------
    neighbors : int
        p of the paper.
    num_speakers : int
        Eigenvalues before the largest gap.
    gap : float
        g_p of the paper: that gap as a share of the largest eigenvalue.
    """

    neighbors: int
    num_speakers: int
    gap: float


def _best_eigengap(matrix: FloatArray, fewest: int, most: int) -> _Eigengap:
    """Return the eigengap with the smallest r(p) = p / g_p (Park et al.)."""
    usual, larger = _neighbors_to_try(len(matrix))
    tried = [_find_eigengap(matrix, p, fewest, most) for p in usual]
    for neighbors in larger:
        if any(eigengap.gap > _ZERO for eigengap in tried):
            break
        tried.append(_find_eigengap(matrix, neighbors, fewest, most))
    return min(tried, key=lambda found: found.neighbors / max(found.gap, _ZERO))


def _neighbors_to_try(count: int) -> tuple[list[int], list[int]]:
    """Return the values of p up to the largest share, and those up to all windows."""
    # Graphs of nearest neighbours hang together from about log N neighbours on (von
    # Luxburg, "A tutorial on spectral clustering", 2007, Section 8).
    # With all N of them a graph says nothing.
    fewest = min(max(3, int(np.ceil(np.log2(count)))), count - 1)
    most = max(int(_LARGEST_SHARE * count), fewest)
    usual = np.linspace(fewest, most, _VALUES_TRIED).astype(int)
    larger = np.linspace(most, count, _VALUES_TRIED).astype(int)
    return np.unique(usual).tolist(), np.unique(larger)[1:].tolist()


def _find_eigengap(
    matrix: FloatArray, neighbors: int, fewest: int, most: int
) -> _Eigengap:
    eigenvalues = _eigh(_laplacian(matrix, neighbors))[0]
    # Speakers that are tied to p windows of their own have p at least.
    most = max(min(most, len(matrix) // neighbors), fewest)
    gaps = np.diff(eigenvalues)[fewest - 1 : most]
    gap = gaps.max() / max(eigenvalues[-1], _ZERO)
    return _Eigengap(neighbors, fewest + int(gaps.argmax()), float(gap))


def _laplacian(matrix: FloatArray, neighbors: int) -> FloatArray:
    """Return D - W of the graph that ties every window to its nearest ones."""
    near = matrix.copy()
    np.fill_diagonal(near, np.inf)
    farthest = np.partition(near, -neighbors, axis=1)[:, [-neighbors]]
    tied = (near >= farthest).astype(np.float64)
    laplacian = -(tied + tied.T) / 2
    np.fill_diagonal(laplacian, 0.0)
    np.fill_diagonal(laplacian, -laplacian.sum(axis=1))
    return laplacian


def _eigh(laplacian: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, increasing, and eigenvectors in columns."""
    try:
        # LAPACK's divide and conquer. The solvers that compute a few eigenvectors only
        # fail on some graphs that fall into parts.
        values, vectors = np.linalg.eigh(laplacian)
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"spectral clustering found no eigenvectors: {error}"
        ) from error
    return values, vectors


def _label(laplacian: FloatArray, num_speakers: int) -> IntArray:
    """Group the rows of the first eigenvectors by k-means."""
    from scipy.linalg import qr

    if num_speakers == 1:
        return np.zeros(len(laplacian), np.int64)
    embedding = _eigh(laplacian)[1][:, :num_speakers]
    picked = qr(embedding.T, mode="economic", pivoting=True)[2][:num_speakers]
    return kmeans_cluster(embedding, embedding[picked])
