"""Options of linking speakers across recordings."""

from dataclasses import dataclass
from math import inf
from typing import Annotated

from ssahc.core.options import Options
from ssahc.core.validation import Interval


@dataclass(frozen=True)
class LinkOptions(Options, group="Clustering"):
    """How speakers of different recordings are joined.

    Defaults were chosen on recordings other than those of docs/results/linking.md.

    Parameters
    ----------
    threshold : float
        Log-likelihood ratio, in nats, above which speakers are joined. With a higher
        one, more speakers keep names of their own.
    session_variance : float
        Variance of one person between recordings, as a share of that between people.
    neighbours : int
        Of more than 1000 speakers, each is compared with at most so many, those that
        are most like it.
    """

    threshold: Annotated[float, Interval(gt=-inf, lt=inf)] = 5.0
    session_variance: Annotated[float, Interval(ge=0, le=1000)] = 0.5
    neighbours: Annotated[int, Interval(ge=1)] = 50
