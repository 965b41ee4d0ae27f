"""Fusion of the learned affinity with PLDA scores."""

from dataclasses import dataclass
from typing import Literal

from ssahc.backend.affinity import Affinity, weighted_sum
from ssahc.core.errors import UsageError
from ssahc.core.validation import check_fields

# A standard deviation below this share of the mean is rounding noise.
_NO_SPREAD = 1e-6


@dataclass(frozen=True)
class FusionOptions:
    """Options for fusing the learned affinity with PLDA scores.

    Parameters
    ----------
    fusion : {"raw", "maxabs", "znorm"}
        Normalisation before the weighted sum: none (raw), division by the largest
        absolute value in the recording (maxabs), or zero mean and unit variance
        (znorm). A threshold applies to the sum.
    fusion_weight : float
        Weight of the learned affinity, 0 to 1; PLDA scores get the rest.
    """

    fusion: Literal["raw", "maxabs", "znorm"] = "raw"
    fusion_weight: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.fusion_weight <= 1:
            raise UsageError(
                f"fusion-weight must be between 0 and 1, found {self.fusion_weight:g}"
            )


def fuse(
    learned: Affinity, scores: Affinity, options: FusionOptions = FusionOptions()
) -> Affinity:
    """Return the weighted sum of two affinities of one recording.

    Statistics for normalisation are taken over pairs of different windows. An affinity
    without spread (or, for "maxabs", all zero) is not normalised.

    Parameters
    ----------
    learned, scores : Affinity
        Of the same N windows.
    options : FusionOptions
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
