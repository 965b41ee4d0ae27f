"""Auto-tuning spectral clustering by the normalised maximum eigengap (NME-SC).

Park, Han, Kumar & Narayanan, "Auto-tuning spectral clustering for speaker diarization
using normalized maximum eigengap", IEEE Signal Processing Letters 27 (2020). Each
window is connected to its p nearest windows, including itself. The p with the largest
normalised eigengap is chosen, and the position of the gap is the number of speakers.

Choices that the paper leaves open are made so that labels depend neither on the order
of the windows nor on a seed:

- windows as near as the p-th nearest are connected as well;
- the number of speakers is at most N / p;
- if no graph has an eigengap (all have more components than there may be speakers),
  larger p are tried;
- k-means starts from the rows selected by a pivoted QR factorisation.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.backend.affinity import symmetrize
from ssahc.clustering.kmeans import kmeans_cluster
from ssahc.clustering.stopping import MOST_SPEAKERS
from ssahc.core.errors import DataError
from ssahc.core.types import Float32Array, FloatArray, IntArray

# Largest p as a share of the number of windows (Park et al.).
_LARGEST_SHARE = 0.25
# Number of evenly spaced values of p that are tried.
_VALUES_TRIED = 20
# A gap below this share of the largest eigenvalue is due to rounding.
_ZERO = 1e-9


def spectral_cluster(
    affinity: FloatArray | Float32Array,
    *,
    num_speakers: int | None = None,
    min_speakers: int = 1,
    max_speakers: int | None = None,
) -> IntArray:
    """Cluster one recording by the eigenvectors of its nearest-neighbour graph.

    Of the affinity (N, N) only the upper triangle is read. Without `num_speakers`,
    their number is estimated, at most 10 without `max_speakers`, and clipped to the
    bounds; for fewer than six windows it is 1. Labels (N,) are 0..K-1 in order of first
    appearance; each window is a cluster if N or more are wanted.
    """
    matrix = symmetrize(affinity).astype(np.float64)
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
    """The largest eigengap of the graph of p nearest windows."""

    # p, the number of eigenvalues below the gap, and g_p: the gap as a share of the
    # largest eigenvalue.
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
    """Return the values of p up to `_LARGEST_SHARE` N, and those up to N."""
    # Nearest-neighbour graphs are connected from about log N neighbours on (von
    # Luxburg, "A tutorial on spectral clustering", 2007, Section 8). The graph of all N
    # neighbours has no information.
    fewest = min(max(3, int(np.ceil(np.log2(count)))), count - 1)
    most = max(int(_LARGEST_SHARE * count), fewest)
    usual = np.linspace(fewest, most, _VALUES_TRIED).astype(int)
    larger = np.linspace(most, count, _VALUES_TRIED).astype(int)
    return np.unique(usual).tolist(), np.unique(larger)[1:].tolist()


def _find_eigengap(
    matrix: FloatArray, neighbors: int, fewest: int, most: int
) -> _Eigengap:
    eigenvalues = _eigh(_laplacian(matrix, neighbors))[0]
    # A speaker connected to p of their own windows has at least p.
    most = max(min(most, len(matrix) // neighbors), fewest)
    gaps = np.diff(eigenvalues)[fewest - 1 : most]
    gap = gaps.max() / max(eigenvalues[-1], _ZERO)
    return _Eigengap(neighbors, fewest + int(gaps.argmax()), float(gap))


def _laplacian(matrix: FloatArray, neighbors: int) -> FloatArray:
    """Return D - W of the symmetrised graph of the p nearest windows."""
    near = matrix.copy()
    np.fill_diagonal(near, np.inf)
    farthest = np.partition(near, -neighbors, axis=1)[:, [-neighbors]]
    connected = (near >= farthest).astype(np.float64)
    laplacian = -(connected + connected.T) / 2
    np.fill_diagonal(laplacian, 0.0)
    np.fill_diagonal(laplacian, -laplacian.sum(axis=1))
    return laplacian


def _eigh(laplacian: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, increasing, and eigenvectors in columns."""
    try:
        # All eigenvectors, by divide and conquer: LAPACK's solvers for a subset of them
        # fail on some disconnected graphs.
        values, vectors = np.linalg.eigh(laplacian)
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"spectral clustering found no eigenvectors: {error}"
        ) from error
    return values, vectors


def _label(laplacian: FloatArray, num_speakers: int) -> IntArray:
    """Cluster the rows of the first eigenvectors by k-means."""
    from scipy.linalg import qr

    if num_speakers == 1:
        return np.zeros(len(laplacian), np.int64)
    embedding = _eigh(laplacian)[1][:, :num_speakers]
    picked = qr(embedding.T, mode="economic", pivoting=True)[2][:num_speakers]
    return kmeans_cluster(embedding, embedding[picked])
