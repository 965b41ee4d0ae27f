"""Peers that cluster unit vectors of a recording, with the constants of their authors.

Each takes vectors (N, D) and the number of speakers or None, and returns labels (N,).
NME-SC, 3D-Speaker's and pyannote's clusterings are written from their papers and
descriptions; the others call their packages, which are optional.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from ssahc.core.types import FloatArray, IntArray

Cluster = Callable[[FloatArray, int | None], IntArray]

# Most numbers of neighbours that NME-SC tries, evenly from 1 to a quarter of N.
_NEIGHBOURS_TRIED = 30
_NME_MOST_SPEAKERS = 8
# 3D-Speaker keeps this share of the affinities of a window, and no fewer than so many;
# then it dissolves clusters under four windows, and merges those with nearer centroids.
_KEPT_SHARE, _KEPT_LEAST, _3D_MOST_SPEAKERS = 0.012, 6, 15
_3D_CLUSTER, _3D_COSINE, _3D_LEAST_WINDOWS = 4, 0.8, 10
# Of pyannote's pipeline speaker-diarization-3.1.
_PYANNOTE_THRESHOLD, _PYANNOTE_CLUSTER = 0.7045654963945799, 12


def _laplacian(affinity: FloatArray) -> FloatArray:
    """Return the unnormalised Laplacian of affinities (N, N)."""
    return np.diag(affinity.sum(axis=1)) - affinity


def _cluster_spectrum(laplacian: FloatArray, num_speakers: int) -> IntArray:
    """Cluster the eigenvectors of the smallest eigenvalues by k-means."""
    from sklearn.cluster import KMeans

    _, vectors = np.linalg.eigh(laplacian)
    kmeans = KMeans(num_speakers, n_init=10, random_state=0)
    return kmeans.fit_predict(vectors[:, :num_speakers])


def nme_sc(vectors: FloatArray, num_speakers: int | None = None) -> IntArray:
    """Auto-tuning spectral clustering by the normalised maximum eigengap.

    Park et al., IEEE Signal Processing Letters 2020: the number of neighbours p with
    the smallest p / g(p) is taken, where g(p) is the largest gap between the first
    eigenvalues over the largest eigenvalue.
    """
    count = len(vectors)
    nearest = np.argsort(-vectors @ vectors.T, axis=1, kind="stable")
    best = np.inf, 1, np.zeros((count, count))
    for kept in _spread(max(2, count // 4)):
        graph = np.zeros((count, count))
        np.put_along_axis(graph, nearest[:, :kept], 1.0, axis=1)
        laplacian = _laplacian((graph + graph.T) / 2)
        energies = np.linalg.eigvalsh(laplacian)
        gaps = np.diff(energies[: _NME_MOST_SPEAKERS + 1])
        gap = gaps.max() / (energies[-1] + 1e-10)
        ratio = kept / max(gap, 1e-10)
        if ratio < best[0]:
            best = ratio, int(gaps.argmax()) + 1, laplacian
    return _cluster_spectrum(best[2], num_speakers or best[1])


def _spread(most: int) -> list[int]:
    """Return whole numbers from 2 up: a window's nearest neighbour is itself."""
    numbers = np.linspace(2, most, min(most - 1, _NEIGHBOURS_TRIED))
    return sorted({round(number) for number in numbers})


def speaker_3d(vectors: FloatArray, num_speakers: int | None = None) -> IntArray:
    """Spectral clustering of the largest affinities of each window, as in 3D-Speaker.

    The number of speakers is where the gap between eigenvalues is largest, less small
    clusters and those whose centroids are alike.
    """
    affinity, count = vectors @ vectors.T, len(vectors)
    if count < _3D_LEAST_WINDOWS and num_speakers is None:
        return np.zeros(count, np.int64)
    kept = min(count, max(_KEPT_LEAST, count - int((1 - _KEPT_SHARE) * count)))
    rank = np.argsort(np.argsort(-affinity, axis=1, kind="stable"), axis=1)
    pruned = np.where(rank < kept, affinity, 0.0)
    pruned = (pruned + pruned.T) / 2
    np.fill_diagonal(pruned, 0.0)
    laplacian = np.diag(np.abs(pruned).sum(axis=1)) - pruned
    if num_speakers is not None:
        return _cluster_spectrum(laplacian, num_speakers)
    energies = np.linalg.eigvalsh(laplacian)
    found = int(np.diff(energies[: _3D_MOST_SPEAKERS + 1]).argmax()) + 1
    labels = _cluster_spectrum(laplacian, found)
    return _merge_alike(vectors, _dissolve(vectors, labels, _3D_CLUSTER))


def _merge_alike(vectors: FloatArray, labels: IntArray) -> IntArray:
    """Merge clusters 0..K-1 as long as the cosine of two centroids is high."""
    while labels.max() > 0:
        centroids = _centroids(vectors, labels)
        cosines = np.triu(centroids @ centroids.T, 1)
        low, high = np.unravel_index(cosines.argmax(), cosines.shape)
        if cosines[low, high] < _3D_COSINE:
            break
        labels = _number(np.where(labels == high, low, labels))
    return labels


def centroid_ahc(vectors: FloatArray, num_speakers: int | None = None) -> IntArray:
    """Centroid linkage cut at a distance, as in pyannote's pipeline 3.1.

    Clusters under twelve windows (or a tenth of all) join the large cluster with the
    nearest centroid, and at last every window goes to the nearest centroid. If the
    number of speakers is known, the cut is the nearest to the usual one that has so
    many large clusters.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    tree, count = linkage(vectors, "centroid"), len(vectors)
    least = min(_PYANNOTE_CLUSTER, max(1, round(0.1 * count)))
    labels = fcluster(tree, _PYANNOTE_THRESHOLD, "distance") - 1
    if num_speakers is not None:
        # Heights of centroid linkage may fall: cuts are counted in merges.
        order = np.argsort(np.abs(tree[:, 2] - _PYANNOTE_THRESHOLD), kind="stable")
        steps = tree.copy()
        steps[:, 2] = np.arange(1, count)

        def cut(merges: int) -> IntArray:
            return fcluster(steps, merges, "distance") - 1

        def excess(labels: IntArray) -> int:
            return abs(int((np.bincount(labels) >= least).sum()) - num_speakers)

        # Only these merges may change how many large clusters there are.
        others = (cut(int(merge) + 1) for merge in order if tree[merge, 3] >= least)
        if excess(labels) > 0:
            # The first of the best, which is the nearest.
            labels = min((labels, *others), key=excess)
    sizes = np.bincount(labels)
    large = np.flatnonzero(sizes >= least)
    if len(large) == 0:
        return np.zeros(count, np.int64)
    centroids = _centroids(vectors, labels)
    nearest = large[(centroids @ centroids[large].T).argmax(axis=1)]
    nearest[large] = large
    labels = _number(nearest[labels])
    return _number((vectors @ _centroids(vectors, labels).T).argmax(axis=1))


def _centroids(vectors: FloatArray, labels: IntArray) -> FloatArray:
    """Return the centroids of clusters 0..K-1, scaled to length 1 (K, D)."""
    sums = np.eye(labels.max() + 1)[labels].T @ vectors
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centroids: FloatArray = sums / np.maximum(lengths, 1e-10)
    return centroids


def _number(labels: IntArray) -> IntArray:
    """Return labels 0..K-1 in place of any."""
    return np.unique(labels, return_inverse=True)[1]


def _dissolve(vectors: FloatArray, labels: IntArray, least: int) -> IntArray:
    """Give windows of small clusters, and those below 0, to the nearest large one."""
    large = np.flatnonzero(np.bincount(labels[labels >= 0], minlength=1) >= least)
    if len(large) == 0:
        return np.zeros(len(labels), np.int64)
    centroids = _centroids(vectors, np.where(labels < 0, labels.max() + 1, labels))
    nearest = large[(vectors @ centroids[large].T).argmax(axis=1)]
    return _number(np.where(np.isin(labels, large), labels, nearest))


def spectralcluster(preset: str) -> Cluster:
    """Return the clustering of a preset of the package SpectralCluster."""

    def cluster(vectors: FloatArray, num_speakers: int | None = None) -> IntArray:
        from spectralcluster import configs

        # A preset remembers where its last search ended, and draws from numpy's seed.
        clusterer = deepcopy(getattr(configs, f"{preset}_clusterer"))
        np.random.seed(0)  # noqa: NPY002
        if num_speakers is not None:
            clusterer.min_clusters = clusterer.max_clusters = num_speakers
        labels = clusterer.predict(vectors)
        return _number(labels)

    return cluster


def umap_hdbscan(vectors: FloatArray, num_speakers: int | None = None) -> IntArray:
    """HDBSCAN of a UMAP, with 3D-Speaker's constants where N allows them."""
    import umap
    from sklearn.cluster import HDBSCAN

    count = len(vectors)
    reduced = umap.UMAP(
        n_neighbors=min(20, count - 1),
        n_components=min(60, count - 2),
        min_dist=0.0,
        random_state=0,
        n_jobs=1,
    ).fit_transform(vectors)
    size = min(10, count // 2)
    clustering = HDBSCAN(
        min_cluster_size=max(2, size), min_samples=min(20, count // 2), copy=True
    )
    # Noise, labelled below 0, goes to the nearest cluster.
    return _dissolve(vectors, clustering.fit_predict(reduced), 1)


@dataclass(frozen=True)
class Peer:
    """A clustering, what it needs, and what it can do.

    Attributes
    ----------
    cluster : callable
    package : str
        That must be installed.
    takes_number : bool
        Whether it can be told the number of speakers.
    most_windows : float
        More take minutes.
    """

    cluster: Cluster
    package: str = "numpy"
    takes_number: bool = True
    most_windows: float = np.inf

    @property
    def is_there(self) -> bool:
        """Whether its package is installed."""
        return find_spec(self.package) is not None

    def __call__(self, vectors: FloatArray, num_speakers: int | None) -> IntArray:
        """Cluster vectors (N, D); fewer than four are one speaker."""
        count = len(vectors)
        if count < 4 or num_speakers == 1:
            return np.zeros(count, np.int64)
        told = num_speakers and min(num_speakers, count)
        return self.cluster(vectors, told)


CLUSTERINGS = {
    "NME-SC": Peer(nme_sc, most_windows=800),
    "3D-Speaker": Peer(speaker_3d),
    "pyannote AHC": Peer(centroid_ahc),
    **{
        f"SpectralCluster {preset}": Peer(
            spectralcluster(preset), "spectralcluster", most_windows=800
        )
        for preset in ("turntodiarize", "icassp2018")
    },
    "UMAP + HDBSCAN": Peer(umap_hdbscan, "umap", takes_number=False),
}
