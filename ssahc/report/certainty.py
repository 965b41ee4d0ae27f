"""How sure a number of speakers is, in percent and in words."""

from collections.abc import Mapping

# Other numbers that are named: so many at most, from this probability on.
_MOST, _LEAST = 3, 0.05


def percent_sure(posterior: Mapping[int, float], number: int) -> float:
    """Return how likely a number of speakers is, in percent; NaN if it is not known."""
    return 100 * posterior.get(number, 0.0) if posterior else float("nan")


def describe_certainty(posterior: Mapping[int, float], number: int) -> str:
    """Return how likely a number of speakers is, and others: ``81 %; 2: 17 %``."""
    likely = [
        (-probability, other)
        for other, probability in posterior.items()
        if other != number and probability >= _LEAST
    ]
    others = (f"{other}: {-100 * negative:.0f} %" for negative, other in sorted(likely))
    named = ", ".join(list(others)[:_MOST])
    sure = f"{percent_sure(posterior, number):.0f} %"
    return f"{sure}; {named}" if named else sure
