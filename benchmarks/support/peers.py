"""Peers: other packages that cluster windows, from files to files like ssahc.

    python -m benchmarks.support.peers PEER XVECTORS MODEL OUT

XVECTORS is an x-vector folder, MODEL its model folder. OUT gets one line per window:
utterance and label. ssahc reads, whitens and scores the x-vectors, so that only the
clustering differs: average linkage of PLDA scores, stopped below 0 as in ``ssahc
diarize --system plda``, or spectral clustering of the x-vectors' cosines.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ssahc.backend.plda import plda_affinity
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.core.types import Fault, Float32Array, FloatArray, IntArray, Model, Recording
from ssahc.io.model import read_model_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings


def average_linkage(
    scores: Float32Array, link: Callable[[FloatArray, str], FloatArray]
) -> IntArray:
    """Cluster by one of the functions of scipy's kind."""
    from scipy.cluster.hierarchy import fcluster
    from scipy.spatial.distance import squareform

    # Distances must not be negative.
    largest = scores.max()
    distances = squareform(largest - scores, checks=False)
    return fcluster(link(distances, "average"), largest, "distance")


def run_scipy(scores: Float32Array) -> IntArray:
    from scipy.cluster.hierarchy import linkage

    return average_linkage(scores, linkage)


def run_fastcluster(scores: Float32Array) -> IntArray:
    from fastcluster import linkage

    return average_linkage(scores, linkage)


def run_sklearn(scores: Float32Array) -> IntArray:
    from sklearn.cluster import AgglomerativeClustering

    largest = scores.max()
    clustering = AgglomerativeClustering(
        None,
        metric="precomputed",
        linkage="average",
        # Below it there is merged, not at it.
        distance_threshold=np.nextafter(largest, np.inf, dtype=np.float32),
    )
    return clustering.fit_predict(largest - scores)


def run_spectralcluster(vectors: FloatArray) -> IntArray:
    from spectralcluster import configs

    # As its authors set it up for diarization; it takes cosines itself.
    return configs.icassp2018_clusterer.predict(vectors)


@dataclass(frozen=True)
class Peer:
    """A way to cluster the windows of a recording.

    Attributes
    ----------
    package, distribution : str
        What is imported, and what is installed for that.
    cluster : callable
        From scores (N, N) or vectors (N, D) to labels (N,), N above 1.
    takes_scores : bool
    """

    package: str
    distribution: str
    cluster: Callable[..., IntArray]
    takes_scores: bool = True

    @property
    def is_there(self) -> bool:
        """Whether its package is installed."""
        return find_spec(self.package) is not None


PEERS = {
    "scipy": Peer("scipy", "scipy", run_scipy),
    "fastcluster": Peer("fastcluster", "fastcluster", run_fastcluster),
    "scikit-learn": Peer("sklearn", "scikit-learn", run_sklearn),
    "SpectralCluster": Peer(
        *("spectralcluster", "spectralcluster", run_spectralcluster, False)
    ),
}


def cluster(peer: Peer, recording: Recording, model: Model) -> IntArray:
    """Return labels (N,) of the windows of one recording."""
    if len(recording) == 1:
        return np.zeros(1, np.int64)
    vectors = whiten_and_normalize(center(recording.xvectors, model.mean), model)
    if not peer.takes_scores:
        return peer.cluster(vectors)
    if model.plda is None:
        raise SystemExit("the model has no PLDA to score with")
    return peer.cluster(plda_affinity(vectors, model.plda).dense())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("xvectors", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model = read_model_dir(arguments.model)
    with arguments.out.open("w") as file:
        for recording in read_recordings(open_xvector_dir(arguments.xvectors)):
            if isinstance(recording, Fault):
                raise SystemExit(f"{recording.recording}: {recording.reason}")
            labels = cluster(PEERS[arguments.peer], recording, model)
            for utterance, label in zip(recording.utterances, labels, strict=True):
                file.write(f"{utterance} {label}\n")


if __name__ == "__main__":
    main()
