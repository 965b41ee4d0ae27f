"""Where two or more speakers talk at once, and where a hypothesis hears it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ssahc.core.types import Turn
from ssahc.scoring.der import OverlapSeconds, State, list_states
from ssahc.scoring.regions import Spans

OverlapKind = Literal["found", "missed", "false alarm"]
OVERLAP_KINDS: tuple[OverlapKind, ...] = get_args(OverlapKind)


@dataclass(frozen=True)
class OverlapSpan:
    """A span in which several speakers talk, in seconds.

    Found overlap is in reference and hypothesis, missed overlap in the reference alone,
    and a false alarm in the hypothesis alone. The speakers, sorted, are those who talk
    in the reference; in a false alarm, in the hypothesis.
    """

    start: float
    end: float
    kind: OverlapKind
    speakers: tuple[str, ...]


def find_overlap(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], spans: Spans
) -> tuple[OverlapSpan, ...]:
    """Find overlap within disjoint spans, in order; it does not depend on a mapping."""
    found: list[OverlapSpan] = []
    for start, end, state in list_states(reference, hypothesis, spans):
        kind = _kind(state)
        if kind is None:
            continue
        talking = state.hypothesis if kind == "false alarm" else state.reference
        if found and (found[-1].end, found[-1].kind) == (start, kind):
            last = found.pop()
            start, talking = last.start, talking.union(last.speakers)
        found.append(OverlapSpan(start, end, kind, tuple(sorted(talking))))
    return tuple(found)


def list_overlap(turns: Sequence[Turn]) -> tuple[OverlapSpan, ...]:
    """Return the overlap of turns that have no reference, as if it was found."""
    times = [time for turn in turns for time in (turn.start, turn.end)]
    return find_overlap(turns, turns, [(min(times), max(times))]) if times else ()


def measure_overlap(spans: Sequence[OverlapSpan]) -> OverlapSeconds:
    """Return how long the overlap of spans is, in reference, hypothesis and both."""
    seconds = dict.fromkeys(OVERLAP_KINDS, 0.0)
    for span in spans:
        seconds[span.kind] += span.end - span.start
    both = seconds["found"]
    return OverlapSeconds(both + seconds["missed"], both + seconds["false alarm"], both)


def _kind(state: State) -> OverlapKind | None:
    ours, theirs = len(state.reference) > 1, len(state.hypothesis) > 1
    if ours:
        return "found" if theirs else "missed"
    return "false alarm" if theirs else None
