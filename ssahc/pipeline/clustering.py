"""The clusterings there are: all take the windows of a recording and return labels.

Each finds the number of speakers by a rule of its own, unless it is known:

- ahc: average linkage, down to a threshold on affinities (`ssahc.clustering.ahc`);
- kmeans: the number that x-means finds, then k-means (Narayanaswamy et al., "Designing
  an effective metric learning pipeline for speaker diarization", ICASSP 2019);
- xmeans: splits that raise an information criterion (`ssahc.clustering.xmeans`);
- spectral: the eigengap of a graph of nearest windows (`ssahc.clustering.spectral`);
- vb: the evidence of a VB-HMM that starts from ahc (`ssahc.resegmentation.resegment`).
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.backend.plda import speaker_space
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.clustering.ahc import link
from ssahc.clustering.kmeans import features_of, kmeans_cluster
from ssahc.clustering.labels import by_appearance
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.spectral import spectral_cluster
from ssahc.clustering.stopping import Stop
from ssahc.clustering.xmeans import xmeans_cluster
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import FloatArray, IntArray, Model, Recording
from ssahc.resegmentation.resegment import (
    DEFAULT_THRESHOLD,
    ResegmentationOptions,
    resegment,
)

ClusteringName = Literal["ahc", "kmeans", "xmeans", "spectral", "vb"]
# What works on the vectors behind affinities, which a matrix of scores has not.
ON_VECTORS = ("kmeans", "xmeans")


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a recording, as clusterings see them.

    Parameters
    ----------
    affinity : Affinity
        Of the N windows.
    segments : (N, 2) array
        Their start and end, in seconds.
    latent : (N, D) array, optional
        For vb alone: x-vectors whose variance within speakers is 1
        (`ssahc.backend.plda.speaker_space`).
    psi : (D,) array, optional
        For vb alone: their variance between speakers along each dimension.

    Raises
    ------
    DataError
        If they are not of as many windows.
    """

    affinity: Affinity
    segments: FloatArray
    latent: FloatArray | None = None
    psi: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("segments", "latent"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.affinity):
                raise DataError(
                    f"affinities of {len(self.affinity)} windows, but {name} of "
                    f"{len(rows)}; take both from one recording"
                )

    def __len__(self) -> int:
        return len(self.affinity)


def make_windows(
    recording: Recording, model: Model, affinity: Affinity, method: ClusteringName
) -> Windows:
    """Return what a clustering needs of a recording.

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean, whitening and PLDA, as far as they are there; for vb alone.
    affinity : Affinity
        Of the recording's windows.
    method : {"ahc", "kmeans", "xmeans", "spectral", "vb"}

    Raises
    ------
    DataError
        If the recording and the model do not fit together.
    UsageError
        If there is no such clustering.
    """
    _check_method(method)
    if method != "vb":
        return Windows(affinity, recording.segments)
    centered = center(recording.xvectors, model.mean)
    latent, psi = speaker_space(whiten_and_normalize(centered, model), model)
    return Windows(affinity, recording.segments, latent, psi)


def cluster_windows(
    windows: Windows,
    stop: Stop,
    method: ClusteringName = "ahc",
    *,
    history: MergeHistory | None = None,
    seed: int = 0,
    resegmentation: ResegmentationOptions = ResegmentationOptions(),  # noqa: B008
) -> IntArray:
    """Cluster the windows of one recording.

    Parameters
    ----------
    windows : Windows
    stop : Stop
        The known number of speakers, or its bounds. The threshold is ahc's; all others
        estimate the number by their own rule.
    method : {"ahc", "kmeans", "xmeans", "spectral", "vb"}
    history : MergeHistory, optional
        All merges of the windows, where ahc or vb need not make them again.
    seed : int
        Of kmeans.
    resegmentation : ResegmentationOptions
        Of vb.

    Returns
    -------
    (N,) int array
        0..K-1: for ahc in Kaldi's order, for vb in order of first appearance in time,
        else in order of first appearance. Where as many speakers are wanted as there
        are windows, or more, each has its own. Where more are wanted than there are
        different windows, kmeans, xmeans and spectral may find fewer.

    Raises
    ------
    DataError
        If affinities cannot be clustered so.
    UsageError
        If there is no such clustering, or vb lacks what it works on.
    """
    _check_method(method)
    if (stop.num_speakers or stop.min_speakers) >= len(windows):
        return np.arange(len(windows))
    match method:
        case "ahc":
            return (history or link(windows.affinity)).cut(stop)
        case "vb":
            history = history or link(windows.affinity)
            return _cut_by_evidence(windows, history, stop, resegmentation)
        case "spectral":
            return spectral_cluster(
                windows.affinity.dense(),
                num_speakers=stop.num_speakers,
                min_speakers=stop.min_speakers,
                max_speakers=stop.max_speakers,
            )
        case "xmeans":
            return _xmeans(windows, stop)
        case "kmeans":
            count = stop.num_speakers
            if count is None:
                count = int(_xmeans(windows, stop).max()) + 1
            # In time, so that what is drawn is not another for another order.
            order = np.lexsort(windows.segments.T[::-1])
            labels = np.empty(len(windows), np.int64)
            vectors = features_of(windows.affinity)[order]
            labels[order] = kmeans_cluster(vectors, count, seed=seed)
            return by_appearance(labels)


def _check_method(method: str) -> None:
    if method not in get_args(ClusteringName):
        raise UsageError(
            f"there is no clustering {method!r}; there are "
            f"{', '.join(get_args(ClusteringName))}"
        )


def _xmeans(windows: Windows, stop: Stop) -> IntArray:
    return xmeans_cluster(
        features_of(windows.affinity),
        num_speakers=stop.num_speakers,
        min_speakers=stop.min_speakers,
        max_speakers=stop.max_speakers,
    )


def _cut_by_evidence(
    windows: Windows,
    history: MergeHistory,
    stop: Stop,
    options: ResegmentationOptions,
) -> IntArray:
    """Return the labels of a VB-HMM, with its own threshold for one of affinities."""
    if windows.latent is None or windows.psi is None:
        raise UsageError(
            "vb clusters windows in the space of a PLDA or of whitened x-vectors; give "
            "their latent vectors and psi (ssahc.pipeline.clustering.make_windows)"
        )
    if stop.threshold is not None:
        stop = replace(stop, threshold=DEFAULT_THRESHOLD)
    found = resegment(
        windows.latent,
        windows.psi,
        windows.segments,
        windows.affinity,
        history,
        stop,
        options,
    )
    return found.cut(stop)
