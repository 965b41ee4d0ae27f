"""Fusion of the learned affinity with PLDA scores."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ssahc.backend.affinity import Affinity, weighted_sum
from ssahc.core.options import Options
from ssahc.core.validation import Interval

# A standard deviation below this share of the mean is rounding noise.
_NO_SPREAD = 1e-6


@dataclass(frozen=True)
class FusionOptions(Options, group="PLDA and fusion"):
    """Options for fusing learned and PLDA affinities.

    Parameters
    ----------
    fusion : {"raw", "maxabs", "znorm"}
        Scaling before the two affinities are summed: none (raw), by the largest
        absolute value in the recording (maxabs), or standardization (znorm). It sets
        the unit of --threshold.
    fusion_weight : float
        Weight of the learned affinity, 0 to 1; the rest is the PLDA's.
    """

    fusion: Literal["raw", "maxabs", "znorm"] = "raw"
    fusion_weight: Annotated[float, Interval(ge=0, le=1)] = 0.5


def fuse(
    learned: Affinity, scores: Affinity, options: FusionOptions = FusionOptions()
) -> Affinity:
    """Return the weighted sum of two affinities of one recording.

    Statistics for normalisation are taken over pairs of different windows. An affinity
    without spread (or, for "maxabs", all zero) is not normalised.
    """
    if options.fusion != "raw":
        normalize = _maxabs if options.fusion == "maxabs" else _znorm
        learned, scores = normalize(learned), normalize(scores)
    return weighted_sum(learned, scores, options.fusion_weight)


def _maxabs(affinity: Affinity) -> Affinity:
    return affinity.rescaled(1 / (affinity.largest() or 1.0))


def _znorm(affinity: Affinity) -> Affinity:
    mean, deviation = affinity.moments()
    if deviation <= _NO_SPREAD * abs(mean):
        return affinity
    return affinity.rescaled(1 / deviation, -mean / deviation)
