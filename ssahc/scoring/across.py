"""Error rates across recordings, where a name is one person wherever it occurs.

The diarization error rate of a corpus maps speakers once for all recordings, as if they
were one after the other in a single recording; that of `ssahc.scoring.der` maps them
anew in every recording. The difference is what it costs to know a voice again. Purity
and coverage are those of clusters: how much of the time of a found speaker is one
person's, and how much of a person's time is one found speaker's.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

from ssahc.core.types import RttmObject, Turn
from ssahc.scoring.der import (
    Score,
    State,
    StateSeconds,
    count_errors,
    map_speakers,
    measure_states,
)
from ssahc.scoring.regions import ScoringOptions, Spans, find_regions


@dataclass(frozen=True)
class AcrossScore:
    """The errors of a corpus whose speakers are the same in all recordings.

    Attributes
    ----------
    errors : Score
        Under one mapping of speakers for the corpus; without Jaccard error rates.
    purity : float
        Of the time of found speakers in reference speech, the percentage that is of the
        person whom each of them shares the most with; NaN if there is none.
    coverage : float
        Of the time of reference speakers in found speech, the percentage that is of the
        found speaker whom each of them shares the most with; NaN if there is none.
    num_found, num_reference : int
        Number of speakers.
    """

    errors: Score
    purity: float
    coverage: float
    num_found: int
    num_reference: int


def score_across(
    reference: Mapping[str, Sequence[Turn]],
    hypothesis: Mapping[str, Sequence[Turn]],
    options: ScoringOptions = ScoringOptions(),
    *,
    uem: Mapping[str, Spans] | None = None,
    objects: Mapping[str, Sequence[RttmObject]] | None = None,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> AcrossScore:
    """Score a corpus in which a speaker's name is the same in all recordings.

    Parameters are those of `ssahc.scoring.der.score_corpus`.
    """
    uem, objects = uem or {}, objects or {}
    mapped: Counter[State] = Counter()
    scored: Counter[State] = Counter()
    for name in progress(reference):
        turns, found = reference[name], hypothesis.get(name, ())
        regions = find_regions(
            turns, options, uem=uem.get(name), objects=objects.get(name, ())
        )
        here = measure_states(turns, found, regions.mapped)
        add_seconds(mapped, here)
        if regions.scored != regions.mapped:
            here = measure_states(turns, found, regions.scored)
        add_seconds(scored, here)
    mapping: dict[str, str] = {}
    for component in split_states(mapped):
        mapping |= map_speakers(component)
    purity, coverage = _measure_clusters(scored)
    sides = [set().union(*side) for side in zip(*mapped, strict=True)] or [set(), set()]
    return AcrossScore(
        count_errors(scored, mapping), purity, coverage, len(sides[1]), len(sides[0])
    )


def add_seconds(total: Counter[State], seconds: StateSeconds) -> None:
    """Add seconds of states to a total."""
    for state, duration in seconds.items():
        total[state] += duration  # type: ignore[assignment]  # seconds are no counts


def split_states(seconds: StateSeconds) -> list[StateSeconds]:
    """Split states into groups that share no speaker.

    Speakers of different groups are not mapped to each other, so that each group can be
    mapped by itself: a matrix of all speakers of a corpus may not fit into memory.
    """
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def find(name: tuple[int, str]) -> tuple[int, str]:
        root = name
        while (above := parent.setdefault(root, root)) != root:
            root = above
        while parent[name] != root:
            parent[name], name = root, parent[name]
        return root

    members = {
        state: [(side, name) for side, names in enumerate(state) for name in names]
        for state in seconds
    }
    for names in members.values():
        for name in names[1:]:
            parent[find(name)] = find(names[0])
    groups: defaultdict[tuple[int, str], dict[State, float]] = defaultdict(dict)
    for state, names in members.items():
        if names:
            groups[find(names[0])][state] = seconds[state]
    return list(groups.values())


def _measure_clusters(seconds: StateSeconds) -> tuple[float, float]:
    """Return purity and coverage in percent."""
    shared: Counter[tuple[str, str]] = Counter()
    totals = [0.0, 0.0]
    for (ours, theirs), duration in seconds.items():
        if ours and theirs:
            totals[0] += duration * len(theirs)
            totals[1] += duration * len(ours)
        for found in theirs:
            for name in ours:
                shared[found, name] += duration  # type: ignore[assignment]
    most: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for pair, duration in shared.items():
        for best, name in zip(most, pair, strict=True):
            best[name] = max(best.get(name, 0.0), duration)
    purity, coverage = (
        100 * sum(best.values()) / total if total else nan
        for best, total in zip(most, totals, strict=True)
    )
    return purity, coverage
