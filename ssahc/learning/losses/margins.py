"""Margins of the triplet and quadruplet losses."""

from torch import Tensor

from ssahc.learning.losses.options import MarginKind


def choose_margin(
    kind: MarginKind, fixed: float, within: Tensor, across: Tensor
) -> float:
    """Return the margin for one mini-batch; the fixed one if there are no tuples.

    Narayanaswamy et al., ICASSP 2019: "adaptive" is ``mean d(a,n) - mean d(a,p)``
    over the tuples of the batch (their slides), "adaptive-floored" is the larger of
    this and the fixed margin (their code). The unfloored margin may be 0 or less
    before anything is learned, and grows with what the loss has learned. Distances
    are `within` d(a,p) and `across` d(a,n), (T,) both.

    The margin is a constant to the gradient: otherwise the loss would decrease by
    shrinking the margin.
    """
    if kind == "fixed" or len(within) == 0:
        return fixed
    adaptive = (across.mean() - within.mean()).item()
    return max(adaptive, fixed) if kind == "adaptive-floored" else adaptive


def second_margin(margin: float) -> float:
    """Return the margin between two negatives: half the first (Narayanaswamy et al.).

    Their code uses 0.8 and 0.4 as fixed margins, and the same ratio for adaptive ones.
    """
    return margin / 2
