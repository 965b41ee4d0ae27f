"""Resegmentation as in VBx: inference in a VB-HMM that starts from AHC clusters.

Landini, Profant, Diez & Burget, "Bayesian HMM clustering of x-vector sequences (VBx) in
speaker diarization", Computer Speech & Language 71 (2022). AHC stops at a threshold of
the recording's own (`ssahc.clustering.calibration`); inference drops the clusters that
are no speakers. Unlike `ssahc.resegmentation.resegment`, all windows count alike, the
speaker stays with one probability from window to window, and noise and variances are
those of the PLDA.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from ssahc.backend.affinity import Affinity
from ssahc.clustering.calibration import calibrate_threshold
from ssahc.clustering.labels import by_appearance
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import BriefRepr, FloatArray, IntArray
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.options import ResegmentationOptions
from ssahc.resegmentation.vbhmm import infer

# Iterations stop when the evidence rises by less than the tolerance, in nats.
_ITERATIONS, _TOLERANCE = 40, 1e-6
# Log odds of a window's cluster against any other one in the first responsibilities.
_LOG_ODDS = 5.0


@dataclass(frozen=True, eq=False, repr=False)
class VbxResegmentation(BriefRepr):
    """The AHC clusters of one recording, from which VBx starts at any stop.

    `observations` are in order of time, into which `order` (N,) sorts the windows;
    `history` is in that of the recording. Thresholds on the affinity are relative to
    `calibrated`.
    """

    observations: Observations
    order: IntArray
    history: MergeHistory
    calibrated: float

    def num_clusters(self, stop: Stop) -> int:
        """Return the number of AHC clusters from which VBx starts at a stop."""
        if stop.threshold is not None:
            stop = replace(stop, threshold=stop.threshold + self.calibrated)
        return self.history.num_clusters(stop)

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels (N,) at a stop, 0..K-1 in order of appearance in time.

        If speakers are lost below a known or smallest number, VBx starts again from
        that many clusters, which are kept if it loses one of them again.
        """
        fewest = min(stop.num_speakers or stop.min_speakers, len(self.order))
        found = self._infer(self._clusters(self.num_clusters(stop)))
        if len(np.unique(found)) < fewest:
            clusters = self._clusters(fewest)
            found = self._infer(clusters)
            if len(np.unique(found)) < fewest:
                found = clusters
        labels = np.empty_like(found)
        labels[self.order] = by_appearance(found)
        return labels

    def _clusters(self, count: int) -> IntArray:
        return self.history.cut(Stop(count))[self.order]

    def _infer(self, clusters: IntArray) -> IntArray:
        one_hot = np.eye(clusters.max() + 1)[clusters]
        start = softmax(_LOG_ODDS * one_hot, axis=1)
        found = infer(self.observations, start, _ITERATIONS, tolerance=_TOLERANCE)
        return found.labels


def start_vbx(
    latent: FloatArray,
    psi: FloatArray,
    segments: FloatArray,
    affinity: Affinity,
    history: MergeHistory,
    options: ResegmentationOptions,
) -> VbxResegmentation:
    """Prepare VBx for one recording; arguments are those of `resegment`."""
    order = np.lexsort((segments[:, 1], segments[:, 0]))
    count = len(order)
    observations = Observations(
        latent[order],
        psi,
        np.full(count, options.fa),
        np.full(count - 1, options.loop_prob),
        options.fb,
    )
    return VbxResegmentation(
        observations, order, history, calibrate_threshold(affinity)
    )
