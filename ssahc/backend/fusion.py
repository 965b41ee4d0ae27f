"""The learned affinity and PLDA scores become one affinity."""

from dataclasses import dataclass
from typing import Literal

from ssahc.backend.affinity import Affinity, weighted_sum
from ssahc.core.errors import UsageError
from ssahc.core.validation import check_fields

# A standard deviation below this share of the mean is rounding noise.
_NO_SPREAD = 1e-6


@dataclass(frozen=True)
class FusionOptions:
    """How the learned affinity and the PLDA scores become one.

    Parameters
    ----------
    fusion : {"raw", "maxabs", "znorm"}
        What is summed: cosine and log-likelihood ratio as they are (raw), each divided
        by its largest absolute value in the recording (maxabs), or each minus its mean
        and divided by its standard deviation (znorm). A threshold is in the unit of the
        sum.
    fusion_weight : float
        Share of the learned affinity, 0 to 1; the rest is PLDA.
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

    The statistics that scale them are taken over pairs of different windows. Scores
    that are all equal (all zero, for "maxabs") have no scale and stay as they are.

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
