"""One recording from affinities to labels, by any of the clusterings.

Each finds the number of speakers by a rule of its own, unless it is known:

- ahc: average linkage, down to a threshold on affinities (`ssahc.clustering.ahc`);
- kmeans: the number that x-means finds, then k-means (Narayanaswamy et al., "Designing
  an effective metric learning pipeline for speaker diarization", ICASSP 2019);
- xmeans: splits that raise an information criterion (`ssahc.clustering.xmeans`);
- spectral: the eigengap of a graph of nearest windows (`ssahc.clustering.spectral`);
- vb: the evidence of a VB-HMM that starts from ahc (`ssahc.resegmentation`), or with
  resegmentation vbx the speakers that VBx keeps.
"""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.backend.prepared import PreparedXvectors
from ssahc.clustering.ahc import AhcOptions, agglomerative_cluster, is_steered, link
from ssahc.clustering.discriminative import DiscriminativeCost
from ssahc.clustering.kmeans import features_of, kmeans_cluster
from ssahc.clustering.labels import by_appearance
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.spectral import spectral_cluster
from ssahc.clustering.stopping import Stop
from ssahc.clustering.xmeans import xmeans_cluster
from ssahc.core.constraints import CannotLink
from ssahc.core.errors import DataError, UsageError, counted
from ssahc.core.types import (
    BriefRepr,
    ClusteringName,
    FloatArray,
    IntArray,
    Model,
    Progress,
    Recording,
    no_progress,
)
from ssahc.resegmentation.options import DEFAULT_THRESHOLD, ResegmentationOptions
from ssahc.resegmentation.resegment import Resegmentation, resegment
from ssahc.resegmentation.vbx import VbxResegmentation, start_vbx

# Clusterings of the vectors behind affinities, which a matrix of scores does not have.
ON_VECTORS = ("kmeans", "xmeans")


@dataclass(frozen=True, eq=False, repr=False)
class Windows(BriefRepr):
    """The windows of a recording, as clusterings see them.

    Parameters
    ----------
    affinity : Affinity
        Affinities of the N windows.
    segments : (N, 2) array
        Start and end of every window, in seconds.
    latent : (N, D) array, optional
        Only for vb: x-vectors whose variance within speakers is 1
        (`ssahc.backend.plda.speaker_space`).
    psi : (D,) array, optional
        Only for vb: their variance between speakers along each dimension.
    cannot_link : CannotLink, optional
        Only for vb: windows that are different speakers.

    Raises
    ------
    DataError
        If the numbers of windows differ.
    """

    affinity: Affinity
    segments: FloatArray
    latent: FloatArray | None = None
    psi: FloatArray | None = None
    cannot_link: CannotLink | None = None

    def __post_init__(self) -> None:
        for name in ("segments", "latent"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.affinity):
                raise DataError(
                    f"affinities of {counted(len(self.affinity), 'window')}, "
                    f"but {name} of {len(rows)}; take both from one recording"
                )
        if self.cannot_link is not None:
            self.cannot_link.check(len(self))

    def __len__(self) -> int:
        return len(self.affinity)

    @property
    def order(self) -> IntArray:
        """The windows in order of time (N,)."""
        return np.lexsort(self.segments.T[::-1])

    def number(self, labels: IntArray) -> IntArray:
        """Renumber labels (N,) as 0..K-1 in order of first appearance in time."""
        numbered = np.empty_like(labels)
        numbered[self.order] = by_appearance(labels[self.order])
        return numbered


@dataclass(frozen=True, eq=False)
class Clustering:
    """Labels of the windows of a recording, and what they can be cut from anew.

    `history` is None for clusterings that do not merge, and where Kaldi's
    max-spk-fraction or two passes steer the merges; `resegmentation` is only set for
    vb.
    """

    labels: IntArray
    history: MergeHistory | None = None
    resegmentation: Resegmentation | VbxResegmentation | None = None

    def speaker_posterior(self, stop: Stop) -> dict[int, float]:
        """Return how likely each number of speakers is; empty if no evidence tells."""
        if stop.num_speakers is not None:
            return {int(self.labels.max()) + 1: 1.0}
        if isinstance(self.resegmentation, Resegmentation):
            return self.resegmentation.speaker_posterior(stop)
        return {}


def make_windows(
    recording: Recording, model: Model, affinity: Affinity, method: ClusteringName
) -> Windows:
    """Return what a clustering needs of a recording.

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean, whitening and PLDA, each optional; used by vb only.
    affinity : Affinity
        Affinities of the recording's windows.
    method : {"ahc", "kmeans", "xmeans", "spectral", "vb"}

    Raises
    ------
    DataError
        If the recording and the model do not fit together.
    UsageError
        If the method is unknown.
    """
    xvectors = PreparedXvectors(recording.xvectors, model)
    return prepare_windows(xvectors, recording.segments, affinity, method)


def prepare_windows(
    xvectors: PreparedXvectors,
    segments: FloatArray,
    affinity: Affinity,
    method: ClusteringName,
    cannot_link: CannotLink | None = None,
) -> Windows:
    """Do as `make_windows`, with x-vectors that are prepared already."""
    _check_method(method)
    if method != "vb":
        return Windows(affinity, segments, cannot_link=cannot_link)
    latent, psi = xvectors.latent, xvectors.psi
    return Windows(affinity, segments, latent, psi, cannot_link)


def cluster_windows(
    windows: Windows,
    stop: Stop,
    method: ClusteringName = "ahc",
    *,
    history: MergeHistory | None = None,
    seed: int = 0,
    cost: DiscriminativeCost | None = None,
    resegmentation: ResegmentationOptions = ResegmentationOptions(),
) -> IntArray:
    """Cluster the windows of one recording.

    Parameters
    ----------
    windows : Windows
    stop : Stop
        The known number of speakers, or bounds on it. The threshold applies to
        affinities, for ahc; all others estimate the number by a rule of their own.
    method : {"ahc", "kmeans", "xmeans", "spectral", "vb"}
    history, seed, cost, resegmentation
        As for `run_clustering`.

    Returns
    -------
    (N,) int array
        0..K-1: for ahc in Kaldi's order, else in order of first appearance in time.
        Each window is a speaker if as many speakers are wanted as there are windows, or
        more. If more are wanted than there are different windows, kmeans, xmeans and
        spectral may find fewer.

    Raises
    ------
    DataError
        If the affinities cannot be clustered this way.
    UsageError
        If the method is unknown, or vb lacks its latent vectors.
    """
    _check_method(method)
    if _is_one_each(windows, stop):
        each = np.arange(len(windows))
        return each if method == "ahc" else windows.number(each)
    if method == "vb" and stop.threshold is not None:
        default = resegmentation.default_threshold()
        stop = replace(
            stop, threshold=DEFAULT_THRESHOLD if default is None else default
        )
    return run_clustering(
        windows,
        stop,
        method,
        history=history,
        seed=seed,
        cost=cost,
        resegmentation=resegmentation,
    ).labels


def run_clustering(
    windows: Windows,
    stop: Stop,
    method: ClusteringName,
    *,
    history: MergeHistory | None = None,
    seed: int = 0,
    cost: DiscriminativeCost | None = None,
    ahc: AhcOptions = AhcOptions(),
    resegmentation: ResegmentationOptions = ResegmentationOptions(),
    progress: Progress = no_progress,
) -> Clustering:
    """Cluster the windows of one recording, and keep what leads to the labels.

    Arguments are those of `cluster_windows`, except that for vb the threshold of the
    stop applies to the evidence, in nats (with resegmentation vbx to affinities, less
    the recording's own threshold). `history` has all merges of the windows, if
    ahc or vb need not compute them again; `seed` is that of kmeans; `cost` is the
    merging cost of ahc and vb (Eq. 2; the nearest pair is merged if not given); `ahc`
    and `resegmentation` are options of ahc and vb, and of vb. `progress` is called with
    "clustering" and "resegmenting".
    """
    progress("clustering", 0, 1)
    if method in ("ahc", "vb"):
        clustering = _merge(windows, stop, history, cost, ahc)
    elif _is_one_each(windows, stop):
        clustering = Clustering(windows.number(np.arange(len(windows))))
    elif method == "spectral":
        labels = spectral_cluster(
            windows.affinity.dense(),
            num_speakers=stop.num_speakers,
            min_speakers=stop.min_speakers,
            max_speakers=stop.max_speakers,
        )
        clustering = Clustering(windows.number(labels))
    elif method == "xmeans":
        clustering = Clustering(windows.number(_xmeans(windows, stop)))
    else:
        clustering = Clustering(windows.number(_kmeans(windows, stop, seed)))
    progress("clustering", 1, 1)
    if method == "vb":
        progress("resegmenting", 0, 1)
        clustering = _resegment(windows, clustering.history, stop, resegmentation)
        progress("resegmenting", 1, 1)
    return clustering


def _merge(
    windows: Windows,
    stop: Stop,
    history: MergeHistory | None,
    cost: DiscriminativeCost | None,
    ahc: AhcOptions,
) -> Clustering:
    if is_steered(windows.affinity, stop, ahc):
        matrix = windows.affinity.dense()
        return Clustering(agglomerative_cluster(matrix, stop, ahc, cost=cost))
    history = history or link(windows.affinity, cost=cost)
    return Clustering(history.cut(stop), history)


def _check_method(method: str) -> None:
    if method not in get_args(ClusteringName):
        raise UsageError(
            f"unknown clustering {method!r}; choose one of "
            f"{', '.join(get_args(ClusteringName))}"
        )


def _is_one_each(windows: Windows, stop: Stop) -> bool:
    """Whether as many speakers are wanted as there are windows, or more."""
    return (stop.num_speakers or stop.min_speakers) >= len(windows)


def _xmeans(windows: Windows, stop: Stop) -> IntArray:
    return xmeans_cluster(
        features_of(windows.affinity),
        num_speakers=stop.num_speakers,
        min_speakers=stop.min_speakers,
        max_speakers=stop.max_speakers,
    )


def _kmeans(windows: Windows, stop: Stop, seed: int) -> IntArray:
    count = stop.num_speakers
    if count is None:
        count = int(_xmeans(windows, stop).max()) + 1
    # In order of time, so that the random starts do not depend on the order of rows.
    labels = np.empty(len(windows), np.int64)
    vectors = features_of(windows.affinity)[windows.order]
    labels[windows.order] = kmeans_cluster(vectors, count, seed=seed)
    return labels


def _resegment(
    windows: Windows,
    history: MergeHistory | None,
    stop: Stop,
    options: ResegmentationOptions,
) -> Clustering:
    if history is None:
        raise UsageError("vb needs all merges, but max-spk-fraction steers them")
    if windows.latent is None or windows.psi is None:
        raise UsageError(
            "vb clusters windows in the space of a PLDA or of whitened x-vectors; give "
            "their latent vectors and psi (see make_windows)"
        )
    recording = (windows.latent, windows.psi, windows.segments)
    found: Resegmentation | VbxResegmentation
    if options.resegmentation == "vbx":
        found = start_vbx(*recording, windows.affinity, history, options)
    else:
        found = resegment(
            *recording, history, stop, options, cannot_link=windows.cannot_link
        )
    return Clustering(found.cut(stop), history, found)
