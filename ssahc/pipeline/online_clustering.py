"""Clustering of the windows of a stream that has not ended.

The windows that are kept are clustered again and again as a recording of their own
(`find_voices`); windows that come in between join the clusters there are
(`join_voices`). Clusters get the names that most of their windows were announced with,
or else corrected to (`match_names`).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from ssahc.backend.affinity import Affinity, cosine_affinity
from ssahc.backend.plda import match_length, plda_affinity
from ssahc.backend.prepared import PreparedXvectors
from ssahc.clustering.ahc import AhcOptions
from ssahc.core.types import (
    BriefRepr,
    IntArray,
    Model,
    Recording,
)
from ssahc.pipeline.clustering import prepare_windows, run_clustering
from ssahc.pipeline.diarize import complete_model
from ssahc.pipeline.online_windows import UNKNOWN, KeptWindows
from ssahc.pipeline.options import DiarizeOptions, System, lacks_model, settle
from ssahc.resegmentation.resegment import Resegmentation, make_observations
from ssahc.resegmentation.vbhmm import infer

# Networks are not trained again and again.
_UNTRAINED: dict[System | None, System] = {"ssahc": "cosine", "ssahc+plda": "plda"}
# Threshold of resegmentation vb, in nats per speaker, if none is given: who has just
# begun has few windows. The best of -1 (as offline), 3 and 8 on simulated calls
# (docs/results/online.md).
_THRESHOLD = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class Voices(BriefRepr):
    """What the last clustering found: the model it was made with, and the noise.

    `names` maps clusters to the numbers of their speakers.
    """

    model: Model
    noise: float = 1.0
    names: dict[int, int] = field(default_factory=dict)


def settle_online(options: DiarizeOptions, model: Model) -> DiarizeOptions:
    """Return the options by which a stream is clustered until it ends.

    Networks are not trained, and numbers of speakers only bound how many there are:
    of those to come, not all have spoken. Options of Kaldi's clustering, which keep
    labels from being resegmented, wait for the end.
    """
    settled = settle(options, model)
    speakers = settled.speakers
    most = speakers.num_speakers or speakers.max_speakers
    threshold = speakers.threshold
    if threshold is None and settled.resegmentation.resegmentation == "vb":
        threshold = _THRESHOLD
    return replace(
        settled,
        system=_UNTRAINED.get(settled.system, settled.system),
        ahc=AhcOptions(),
        speakers=replace(
            speakers,
            num_speakers=None,
            threshold=threshold,
            min_speakers=1,
            max_speakers=most,
        ),
    )


def find_voices(
    kept: KeptWindows, corrected: IntArray, model: Model, options: DiarizeOptions
) -> tuple[IntArray, Voices]:
    """Cluster windows as a recording; return labels (N,), and what they come from.

    The options are those of `settle_online`. What the model lacks is learned from the
    windows. Names are those that windows were announced with at first; a cluster to
    which none of these is left, such as a part of a speaker, keeps the name that its
    windows were corrected to (N,), UNKNOWN where there is none.
    """
    if lacks_model(model):
        model = complete_model(
            model, [Recording.from_arrays("stream", kept.xvectors, kept.segments)]
        )
    xvectors = PreparedXvectors(kept.xvectors, model)
    resegments = options.resegmentation.resegmentation != "none"
    method = "vb" if resegments else options.final_method()
    found = run_clustering(
        prepare_windows(
            xvectors, kept.segments, _compute_affinity(xvectors, options), method
        ),
        options.stop(),
        method,
        seed=options.learning.seed,
        resegmentation=options.resegmentation,
    )
    refined = found.resegmentation
    noise = refined.noise if isinstance(refined, Resegmentation) else 1.0
    names = match_names(found.labels, kept.names)
    left = ~np.isin(found.labels, list(names)) & ~np.isin(corrected, [*names.values()])
    names |= match_names(found.labels[left], corrected[left])
    return found.labels, Voices(model, noise, names)


def _compute_affinity(xvectors: PreparedXvectors, options: DiarizeOptions) -> Affinity:
    plda = xvectors.model.plda
    if options.system == "plda" and plda is not None:
        return plda_affinity(match_length(xvectors.whitened, plda), plda, options.plda)
    return cosine_affinity(xvectors.project(options.pca_dim))


def join_voices(kept: KeptWindows, voices: Voices, options: DiarizeOptions) -> IntArray:
    """Return clusters (N,), where those of windows that have none are inferred.

    That is by the VB-HMM, with speakers as the other windows tell.
    """
    xvectors = PreparedXvectors(kept.xvectors, voices.model)
    observations = make_observations(
        xvectors.latent, xvectors.psi, kept.segments, options.resegmentation
    )
    # Windows that have no cluster yet count for none.
    responsibilities = np.eye(kept.clusters.max() + 1)[kept.clusters]
    responsibilities[kept.clusters == UNKNOWN] = 0
    found = infer(observations.rescaled(voices.noise), responsibilities, 1)
    return np.where(kept.clusters == UNKNOWN, found.labels, kept.clusters)


def match_names(labels: IntArray, names: IntArray) -> dict[int, int]:
    """Return the speakers' numbers of clusters that share most windows with them.

    Labels and names (N,) are of the same windows; names are UNKNOWN where there are
    none. Each name goes to one cluster at most, and some clusters may have none.
    """
    from scipy.optimize import linear_sum_assignment

    named = names != UNKNOWN
    if not named.any():
        return {}
    shared = np.zeros((labels.max() + 1, names.max() + 1), np.int64)
    np.add.at(shared, (labels[named], names[named]), 1)
    clusters, numbers = linear_sum_assignment(shared, maximize=True)
    return {
        int(cluster): int(number)
        for cluster, number in zip(clusters, numbers, strict=True)
        if shared[cluster, number] > 0
    }
