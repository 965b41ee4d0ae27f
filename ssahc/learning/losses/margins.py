"""How far apart a loss wants negatives to be."""

from torch import Tensor

from ssahc.learning.losses.options import MarginKind


def choose_margin(
    kind: MarginKind, fixed: float, within: Tensor, across: Tensor
) -> float:
    """Return the margin of one mini-batch.

    Narayanaswamy et al., ICASSP 2019: "adaptive" is ``mean d(a,n) - mean d(a,p)`` over
    the batch's tuples, as on their slides; "adaptive-floored" is the larger of that and
    the fixed margin, as in their code. The bare form may be 0 or less as long as
    nothing is learned, and grows with what it makes the loss learn.

    The margin is a number, so that no gradient flows through it: the loss would
    otherwise fall by making the margin smaller.

    Parameters
    ----------
    kind : {"fixed", "adaptive", "adaptive-floored"}
    fixed : float
    within, across : (T,) tensor
        d(a,p) and d(a,n) of each tuple.

    Returns
    -------
    float
        The fixed margin if there are no tuples.
    """
    if kind == "fixed" or len(within) == 0:
        return fixed
    adaptive = (across.mean() - within.mean()).item()
    return max(adaptive, fixed) if kind == "adaptive-floored" else adaptive


def second_margin(margin: float) -> float:
    """Return the margin between two negatives, half of that to the first of them.

    So in the code of Narayanaswamy et al., for fixed (0.8, 0.4) and adaptive margins.
    """
    return margin / 2
