"""Resegmentation as in VBx: inference in a VB-HMM that starts from AHC clusters.

Landini, Profant, Diez & Burget, "Bayesian HMM clustering of x-vector sequences (VBx) in
speaker diarization", Computer Speech & Language 71 (2022). AHC stops at a threshold of
the recording's own (`ssahc.clustering.calibration`); inference drops the clusters that
are no speakers. Unlike `ssahc.resegmentation.resegment`, all windows count alike, the
speaker stays with one probability from window to window, and noise and variances are
those of the PLDA.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.clustering.calibration import calibrate_threshold
from ssahc.clustering.labels import by_appearance
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.types import BriefRepr, FloatArray, IntArray
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.options import (
    DEFAULT_VBX_THRESHOLD,
    ResegmentationOptions,
)
from ssahc.resegmentation.vbhmm import Posterior, infer

# Iterations stop when the evidence rises by less than the tolerance, in nats.
_ITERATIONS, _TOLERANCE = 40, 1e-6
# Added to responsibilities, so that windows of dropped speakers go to any other one.
_LEAST = 1e-8
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
        """Return the number of AHC clusters from which VBx starts at a stop.

        They are no fewer than a known or smallest number of speakers; VBx itself brings
        them down to a known or largest one.
        """
        threshold = stop.threshold
        if threshold is None:
            threshold = DEFAULT_VBX_THRESHOLD
        fewest = stop.num_speakers or stop.min_speakers
        return self.history.num_clusters(
            Stop(None, threshold + self.calibrated, min_speakers=fewest)
        )

    def cut(self, stop: Stop) -> IntArray:
        """Return the labels (N,) at a stop, 0..K-1 in order of appearance in time.

        If VBx finds too many speakers, it goes on with the largest ones. If it finds
        too few, it starts again from as many clusters as there must be, which are kept
        if it loses one of them again.
        """
        count = len(self.order)
        fewest = min(stop.num_speakers or stop.min_speakers, count)
        most = stop.num_speakers or stop.max_speakers or count
        found = self._infer(_soften(self._clusters(self.num_clusters(stop))))
        if _count(found.labels) > most:
            found = self._infer(_keep_largest(found.responsibilities, most))
        labels = found.labels
        if _count(labels) < fewest:
            clusters = self._clusters(fewest)
            labels = self._infer(_soften(clusters)).labels
            if _count(labels) < fewest:
                labels = clusters
        in_place = np.empty_like(labels)
        in_place[self.order] = by_appearance(labels)
        return in_place

    def _clusters(self, count: int) -> IntArray:
        return self.history.cut(Stop(count))[self.order]

    def _infer(self, responsibilities: FloatArray) -> Posterior:
        return infer(
            self.observations, responsibilities, _ITERATIONS, tolerance=_TOLERANCE
        )


def _count(labels: IntArray) -> int:
    return len(np.unique(labels))


def _soften(clusters: IntArray) -> FloatArray:
    """Return responsibilities (N, K) that favour the cluster of each window."""
    odds = np.exp(_LOG_ODDS * np.eye(clusters.max() + 1))
    return np.asarray((odds / odds.sum(axis=0))[clusters])


def _keep_largest(responsibilities: FloatArray, count: int) -> FloatArray:
    """Return responsibilities (N, count) of the speakers with most windows alone."""
    largest = np.argsort(-responsibilities.sum(axis=0), kind="stable")[:count]
    kept = responsibilities[:, largest] + _LEAST
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


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
