"""Where a hypothesis is scored, as NIST's md-eval (version 22) decides it.

The UEM says what is evaluated; without one, everything from the first to the last
object of the reference. Speakers are mapped there, except in ``NOSCORE`` objects of the
reference. Errors count where, in addition, there is no collar around a boundary of
reference speech, no ``NON-LEX`` object (a laugh, a cough) and, on request, no
overlapped reference speech.

md-eval has a bug that is not reproduced: what it excludes from the very moment at which
scoring starts, or starts again, it scores up to the next boundary. That happens without
a collar: with ``-1``, where reference turns touch inside overlapped speech, and for a
laugh near the edge of a turn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import Annotated

from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.turns import check_turns
from ssahc.core.types import RttmObject, Turn
from ssahc.core.validation import Interval

Span = tuple[float, float]
Spans = Sequence[Span]

# RTTM types that count as part of the recording where no UEM says what to evaluate.
_IN_EXTENT = frozenset(
    ["SEGMENT", "SU", "EDIT", "FILLER", "IP", "CB", "A/P", "LEXEME", "NON-LEX"]
)
# Seconds by which md-eval extends what it excludes for NON-LEX objects, and others.
_NON_LEX_EXTENSION, _EXTENSION = 0.5, 1e-8
# What edges are of.
_TURN, _WORD, _ZONE = range(3)


@dataclass(frozen=True)
class ScoringOptions(Options, group="Scoring"):
    """What is scored.

    Parameters
    ----------
    collar : float
        Seconds on each side of every reference boundary that are not scored (md-eval
        -c).
    ignore_overlaps : bool
        Exclude, or score, regions where two or more reference speakers talk (md-eval
        -1).
    """

    collar: Annotated[float, Interval(ge=0, lt=inf)] = 0.25
    ignore_overlaps: bool = field(default=True, metadata={"off": "score_overlaps"})


@dataclass(frozen=True)
class ScoredRegions:
    """Disjoint spans of a recording, in seconds, in order.

    Attributes
    ----------
    uem : spans
        What is evaluated.
    mapped : spans
        Where speakers are mapped.
    scored : spans
        Where errors count.
    """

    uem: Spans
    mapped: Spans
    scored: Spans


def find_regions(
    reference: Sequence[Turn],
    options: ScoringOptions,
    *,
    uem: Spans | None = None,
    objects: Sequence[RttmObject] = (),
) -> ScoredRegions:
    """Find where a hypothesis is scored against a reference.

    Parameters
    ----------
    reference : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        Spans to evaluate; by default from the first to the last turn or object.
    objects : sequence of RttmObject, optional
        Other objects of the reference.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM, or a time is invalid.
    """
    check_turns(reference)
    spans = _find_extent(reference, objects) if uem is None else uem
    if not all(-inf < start < end < inf for start, end in spans):
        raise DataError(f"expected spans with start < end in a UEM, found {spans}")
    speech = [(turn.start, turn.end) for turn in reference if turn.start < turn.end]
    no_score = [item for item in objects if item.kind == "NOSCORE"]
    non_lex = [item for item in objects if item.kind == "NON-LEX"]
    whole = unite(spans)
    mapped = subtract(whole, _find_zones(no_score, reference, objects, _EXTENSION))
    excluded = [
        *_find_zones([*no_score, *non_lex], reference, objects, _EXTENSION),
        *_find_zones(non_lex, reference, objects, _NON_LEX_EXTENSION),
    ]
    if options.collar > 0:
        edges = chain.from_iterable((turn.start, turn.end) for turn in reference)
        excluded += [(edge - options.collar, edge + options.collar) for edge in edges]
    if options.ignore_overlaps:
        excluded += _find_covered(speech, 2)
    return ScoredRegions(whole, mapped, subtract(mapped, excluded))


def _find_extent(reference: Sequence[Turn], objects: Sequence[RttmObject]) -> Spans:
    if not reference:
        raise DataError("the reference is empty and no UEM says what to score")
    parts = [(turn.start, turn.end) for turn in reference]
    parts += [(item.start, item.end) for item in objects if item.kind in _IN_EXTENT]
    extent = min(start for start, _ in parts), max(end for _, end in parts)
    # Nothing is evaluated of a reference whose turns all have no length.
    return [extent] if extent[0] < extent[1] else []


# ---- spans -------------------------------------------------------------------------


def unite(spans: Iterable[Span]) -> Spans:
    """Return what the spans cover, as disjoint spans in order."""
    return _find_covered(spans, 1)


def subtract(spans: Spans, removed: Iterable[Span]) -> Spans:
    """Return disjoint spans without what others, in any order, cover."""
    return _sweep([*_list_steps(spans, 1), *_list_steps(unite(removed), -1)], 1)


def intersect(spans: Iterable[Span], others: Spans) -> Spans:
    """Return what both the spans and other, disjoint spans cover."""
    return _find_covered([*unite(spans), *others], 2)


def _find_covered(spans: Iterable[Span], depth: int) -> Spans:
    """Return where at least `depth` of the spans overlap."""
    return _sweep(_list_steps(spans, 1), depth)


def _list_steps(spans: Iterable[Span], step: int) -> list[tuple[float, int]]:
    return [edge for start, end in spans for edge in ((start, step), (end, -step))]


def _sweep(steps: list[tuple[float, int]], depth: int) -> Spans:
    """Return where the sum of all earlier steps is at least `depth`."""
    # Steps up come first, so that spans that touch are joined.
    steps.sort(key=lambda edge: (edge[0], -edge[1]))
    covered, height, start = [], 0, 0.0
    for time, step in steps:
        height += step
        if step > 0 and height == depth:
            start = time
        elif step < 0 and height == depth - 1 and start < time:
            covered.append((start, time))
    return covered


# ---- what md-eval excludes for an object -------------------------------------------


def _find_zones(
    excluded: Sequence[RttmObject],
    reference: Sequence[Turn],
    objects: Sequence[RttmObject],
    extension: float,
) -> list[Span]:
    """Return the spans that are excluded for some of the objects of a reference.

    A span reaches back from its object by the extension, but not into a word or beyond
    a boundary of a turn or the end of a word; and as far forward, to the next boundary
    of a turn or start of a word. If none follows, the span never ends.
    """
    if not excluded:
        return []
    zones = []
    zone_depth = word_depth = 0
    last_edge = last_word = last_end = begin = 0.0
    inside = False
    for time, starts, kind in _list_edges(excluded, reference, objects):
        step = 1 if starts else -1
        if kind == _TURN:
            last_edge = time
        elif kind == _WORD:
            word_depth += step
            last_word = last_word if word_depth else time
        else:
            zone_depth += step
            last_end = last_end if zone_depth else time
        if not inside:
            if kind == _ZONE and zone_depth:
                inside = True
                near = max(last_word, last_edge, time - extension)
                begin = time if word_depth else near
        elif not zone_depth and (word_depth or kind == _TURN):
            inside = False
            zones.append((begin, min(last_end + extension, time)))
        elif (
            kind == _ZONE
            and starts
            and zone_depth == 1
            and time > last_end + 2 * extension
        ):
            zones.append((begin, last_end + extension))
            begin = time - extension
    return [*zones, (begin, inf)] if inside else zones


def _list_edges(
    excluded: Sequence[RttmObject],
    reference: Sequence[Turn],
    objects: Sequence[RttmObject],
) -> list[tuple[float, bool, int]]:
    """Return the time of every edge, whether something starts there, and what.

    In order: what ends at a time comes before what starts there. Of edges of a kind at
    one time, that of a turn limits the others. (md-eval's order of these depends on how
    Perl sorts.)
    """
    items = [(_TURN, turn.start, turn.end) for turn in reference]
    items += [(_WORD, *item[2:]) for item in objects if item.kind == "LEXEME"]
    items += [(_ZONE, *item[2:]) for item in excluded]
    edges = []
    for kind, start, end in items:
        if start < end:
            edges += [(start, True, kind), (end, False, kind)]
    return sorted(edges, key=lambda edge: (*edge[:2], edge[2] if edge[1] else -edge[2]))
