"""Outcomes on real embeddings, and tables of them: rates, counts, certainty, drifts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.support.tables import show
from ssahc import Score
from ssahc.resegmentation.options import DEFAULT_DRIFT

# Bounds of the bins in which the probability of the number found is compared with how
# often it is right.
SURE = 0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0


@dataclass(frozen=True)
class Outcome:
    """How a system did on a recording.

    Attributes
    ----------
    known : Score or None
        With the number of speakers known; None for what cannot be told.
    estimated : Score
    excess : int
        Speakers found beyond those who speak.
    repartitioned : bool
        Whether the right number gives another partition when found than when told.
    probability : float or None
        That of the number that was found; None for those that give none.
    """

    known: Score | None
    estimated: Score
    excess: int
    repartitioned: bool = False
    probability: float | None = None


@dataclass(frozen=True)
class Found:
    """What was measured on a recording: of systems, and by drift."""

    outcomes: Mapping[str, Outcome]
    drifts: tuple[Score, ...]
    has_peers: bool


# Set to its recordings.
Results = dict[str, list[Found]]


def outcomes_of(found: Iterable[Found], system: str) -> list[Outcome] | None:
    """Return a system's outcomes on a set; None unless it ran on every recording."""
    outcomes = [one.outcomes.get(system) for one in found]
    return None if None in outcomes else [one for one in outcomes if one is not None]


def known_rate(outcomes: Iterable[Outcome]) -> float | None:
    """Return the pooled DER with the number known, in per cent."""
    scores = [one.known for one in outcomes]
    if None in scores:
        return None
    return sum((one for one in scores if one is not None), Score()).der


def estimated_rate(outcomes: Iterable[Outcome]) -> float:
    """Return the pooled DER with the number estimated, in per cent."""
    return sum((one.estimated for one in outcomes), Score()).der


def mean_error(outcomes: Iterable[Outcome]) -> float:
    """Return by how many speakers the number is off on average."""
    return float(np.mean([abs(one.excess) for one in outcomes]))


def share_right(outcomes: Iterable[Outcome]) -> float:
    """Return the per cent of recordings with the right number."""
    return 100 * float(np.mean([one.excess == 0 for one in outcomes]))


Measure = Callable[[list[Outcome]], float | None]


def show_measures(
    results: Results,
    systems: Sequence[str],
    first: tuple[Measure, str],
    second: tuple[Measure, str],
) -> None:
    """Print two measures of systems by set, and their means over sets that all ran."""
    table = {
        name: [outcomes_of(found, system) for system in systems]
        for name, found in results.items()
    }
    rows, complete = [], []
    for name, row in table.items():
        pairs = [_measure(one, first[0], second[0]) for one in row]
        rows.append([name, *(_cell(pair, first[1], second[1]) for pair in pairs)])
        if all(one is not None for one in row):
            complete.append(pairs)
    means = [
        tuple(
            None
            if any(pair[place] is None for pair in column)
            else np.mean([pair[place] for pair in column])
            for place in (0, 1)
        )
        for column in zip(*complete, strict=True)
    ]
    if means:
        name = f"mean of {len(complete)}"
        rows.append([name, *(_cell(pair, first[1], second[1]) for pair in means)])
    show(rows, ["set", *systems])


def _measure(
    outcomes: list[Outcome] | None, first: Measure, second: Measure
) -> tuple[float | None, float | None]:
    return (None, None) if outcomes is None else (first(outcomes), second(outcomes))


def _cell(pair: Sequence[float | None], *formats: str) -> str:
    if set(pair) == {None}:
        return ""
    return " / ".join(
        "-" if value is None else f"{value:{form}}"
        for value, form in zip(pair, formats, strict=True)
    )


def show_partitions(results: Results, system: str) -> None:
    """Print where a number found gives another partition than the same number told."""
    total = changed = 0
    for name, found in results.items():
        outcomes = [one.outcomes[system] for one in found]
        total += sum(one.excess == 0 for one in outcomes)
        count = sum(one.repartitioned for one in outcomes)
        changed += count
        if count:
            print(f"{name}: {count} recordings with another partition")
    print(
        f"{system.capitalize()}: the number of speakers is right in {total} "
        f"recordings; in {changed} of them the partition is another one than with the "
        "number known."
    )


def show_certainty(results: Results, system: str) -> None:
    """Print how often the number is right, by the probability that it was given."""
    outcomes = [one.outcomes[system] for found in results.values() for one in found]
    given = np.array([one.probability or 0.0 for one in outcomes])
    right = np.array([one.excess == 0 for one in outcomes])
    rows = []
    for low, high in pairwise(SURE):
        within = (given >= low) & ((given < high) | (high == SURE[-1]))
        if within.any():
            rows.append(
                (
                    f"{100 * low:.0f} to {100 * high:.0f}",
                    f"{100 * given[within].mean():.0f}",
                    f"{100 * right[within].mean():.0f}",
                    str(within.sum()),
                )
            )
    show(rows, ["probability %", "mean", "right %", "recordings"])


def source(name: str) -> str:
    """Return the name of a set without its last part, which names the extractor."""
    return name.rpartition("_")[0] or name


def leave_one_out(rates: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Return the place of the rate that is best on average over all other sets.

    Sets of the same source are left out together: they share voices, turns or audio.
    A set without others is left out of the answer.
    """
    chosen = {}
    for name in rates:
        others = [row for other, row in rates.items() if source(other) != source(name)]
        if others:
            chosen[name] = int(np.mean(others, axis=0).argmin())
    return chosen


def show_drifts(results: Results, drifts: Sequence[float]) -> None:
    """Print error rates by drift, and which drift all other sets would have chosen."""
    rates = {
        name: [
            sum(scores, Score()).der
            for scores in zip(*(one.drifts for one in found), strict=True)
        ]
        for name, found in results.items()
    }
    chosen = leave_one_out(rates)
    rows = [
        (name, *_rates(row), *_chosen(row, drifts, chosen.get(name)))
        for name, row in rates.items()
    ]
    if chosen:
        mean = np.mean(list(rates.values()), axis=0)
        held_out = np.mean([rates[name][place] for name, place in chosen.items()])
        rows.append((f"mean of {len(rates)}", *_rates(mean), "", f"{held_out:.1f}"))
    heading = ["set", *(f"{drift:g}" for drift in drifts)]
    show(rows, [*heading, "others choose", "which gives"])
    print(f"The default drift is {DEFAULT_DRIFT:g}.")


def _rates(row: Iterable[float]) -> list[str]:
    return [f"{rate:.1f}" for rate in row]


def _chosen(
    row: Sequence[float], drifts: Sequence[float], place: int | None
) -> tuple[str, str]:
    return ("", "") if place is None else (f"{drifts[place]:g}", f"{row[place]:.1f}")
