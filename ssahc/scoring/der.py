"""Diarization error rate, as NIST's md-eval (version 22) defines it, and JER.

Time is split wherever a reference or hypothesis speaker starts or stops; how long each
combination of speakers talks is all that the rates depend on. As in md-eval, speakers
are mapped on all that is evaluated, and only then are collars and overlapped speech
excluded (see `ssahc.scoring.regions`). pyannote.metrics maps speakers after these
exclusions, its collar is the full width instead of the half, and its time is quadratic
in the number of turns.

The Jaccard error rate (JER; Second DIHARD Challenge evaluation plan, 2019) matches the
challenge's scorer, dscore. It covers everything in the UEM, never with a collar and
always with overlap, and uses its own speaker mapping: the one that minimizes JER (that
of DER maximizes shared time). The error rate of a reference speaker is
1 - intersection / union of their speech and that of the mapped hypothesis speaker, or 1
if there is none. JER is the mean over reference speakers; pooled, over the reference
speakers of all recordings.

The errors are also counted apart where no reference speaker talks, one, and several;
with them, how much of the overlap has several speakers in the hypothesis, too.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from operator import add
from typing import NamedTuple, Self

import numpy as np

from ssahc.core.turns import check_turns
from ssahc.core.types import FloatArray, IntArray, RttmObject, Turn
from ssahc.scoring.regions import ScoredRegions, ScoringOptions, Spans, find_regions


@dataclass(frozen=True)
class Errors:
    """Error seconds, of one or more recordings or of a part of their time.

    They can be added, so that pooled rates are computed from pooled seconds.

    Parameters
    ----------
    scored, missed, false_alarm, confusion : float
        Speaker time in seconds.
    """

    scored: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(add, vars(self).values(), vars(other).values()))

    @property
    def error(self) -> float:
        """Seconds of all errors."""
        return self.missed + self.false_alarm + self.confusion

    def percent(self, seconds: float) -> float:
        """Return seconds as a percentage of scored speech; NaN if there is none."""
        return _percent(seconds, self.scored)

    @property
    def der(self) -> float:
        """Diarization error rate in percent; NaN if no speech was scored."""
        return self.percent(self.error)


@dataclass(frozen=True)
class OverlapSeconds:
    """Seconds in which two or more speakers talk at once; they can be added.

    Parameters
    ----------
    reference, hypothesis, both : float
        In the reference, in the hypothesis, and in both at the same time.
    """

    reference: float = 0.0
    hypothesis: float = 0.0
    both: float = 0.0

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(add, vars(self).values(), vars(other).values()))

    @property
    def precision(self) -> float:
        """Percentage of the hypothesis' overlap that is overlap; NaN if none."""
        return _percent(self.both, self.hypothesis)

    @property
    def recall(self) -> float:
        """Percentage of the reference's overlap that is found; NaN if none."""
        return _percent(self.both, self.reference)

    @property
    def missed(self) -> float:
        """Percentage of the reference's overlap that is not found; NaN if none."""
        return _percent(self.reference - self.both, self.reference)


def _percent(part: float, whole: float) -> float:
    return nan if whole == 0 else 100 * part / whole


@dataclass(frozen=True)
class Score(Errors):
    """Error seconds of one or more recordings; rates are derived from them.

    Parameters
    ----------
    scored, missed, false_alarm, confusion : float
        Speaker time in seconds.
    jaccard : float
        Sum of the Jaccard error rates (0 to 1) of the reference speakers.
    speakers : int
        Number of reference speakers who speak in the scored spans; 0 also if JER was
        not computed.
    silence, single, overlap : Errors
        The errors where no reference speaker talks (false alarms), one, and two or
        more. They add up to the total, unless the score is of a `LabelScorer`, which
        leaves them 0.
    overlap_seconds : OverlapSeconds
        Overlap of reference and hypothesis in the scored spans.
    """

    jaccard: float = 0.0
    speakers: int = 0
    silence: Errors = Errors()
    single: Errors = Errors()
    overlap: Errors = Errors()
    overlap_seconds: OverlapSeconds = OverlapSeconds()

    @property
    def jer(self) -> float:
        """Jaccard error rate in percent; NaN if there is no reference speaker."""
        return nan if self.speakers == 0 else 100 * self.jaccard / self.speakers


def score_recording(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    options: ScoringOptions = ScoringOptions(),
    *,
    uem: Spans | None = None,
    objects: Sequence[RttmObject] = (),
) -> Score:
    """Score one recording.

    Parameters
    ----------
    reference, hypothesis : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        Spans to score, in seconds; by default from the first to the last reference
        turn or object.
    objects : sequence of RttmObject, optional
        Other objects of the reference: what is not to be scored, and words.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM, or a time is invalid.
    """
    regions = find_regions(reference, options, uem=uem, objects=objects)
    return score_in_regions(reference, hypothesis, regions)[0]


def score_in_regions(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], regions: ScoredRegions
) -> tuple[Score, dict[str, str]]:
    """Return the score of one recording, and hypothesis to reference speakers."""
    everywhere = measure_states(reference, hypothesis, regions.uem)
    mapped = everywhere
    if regions.mapped != regions.uem:
        mapped = measure_states(reference, hypothesis, regions.mapped)
    mapping = map_speakers(mapped)
    scored = measure_states(reference, hypothesis, regions.scored)
    return count_errors(scored, mapping) + _count_jaccard(everywhere), mapping


def score_corpus(
    reference: Mapping[str, Sequence[Turn]],
    hypothesis: Mapping[str, Sequence[Turn]],
    options: ScoringOptions = ScoringOptions(),
    *,
    uem: Mapping[str, Spans] | None = None,
    objects: Mapping[str, Sequence[RttmObject]] | None = None,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> dict[str, Score]:
    """Score every recording of the reference.

    As in md-eval, recordings missing from the hypothesis count as missed, and those
    missing from the UEM are scored from their first to their last reference turn.

    Parameters
    ----------
    reference, hypothesis : mapping
        Recording to turns.
    options : ScoringOptions
    uem : mapping, optional
        Recording to the spans to score.
    objects : mapping, optional
        Recording to the other objects of its reference.
    progress : callable, optional
        Wraps the iteration over recordings.
    """
    uem, objects = uem or {}, objects or {}
    return {
        name: score_recording(
            reference[name],
            hypothesis.get(name, ()),
            options,
            uem=uem.get(name),
            objects=objects.get(name, ()),
        )
        for name in progress(reference)
    }


# ---- who speaks together -----------------------------------------------------------


class State(NamedTuple):
    """The speakers who talk at a time."""

    reference: frozenset[str]
    hypothesis: frozenset[str]


# Seconds of every state.
StateSeconds = Mapping[State, float]


def measure_states(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], spans: Spans
) -> StateSeconds:
    """Return the seconds of every state within disjoint spans."""
    seconds: defaultdict[State, float] = defaultdict(float)
    for start, end, state in list_states(reference, hypothesis, spans):
        seconds[state] += end - start
    return seconds


def list_states(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], spans: Spans
) -> Iterator[tuple[float, float, State]]:
    """Yield start, end and state between any two edges of turns and disjoint spans.

    Turns of one speaker may overlap.
    """
    edges: list[tuple[float, int, int, str]] = []
    for side, turns in enumerate((reference, hypothesis)):
        check_turns(turns)
        edges += [(turn.start, side, 1, turn.speaker) for turn in turns]
        edges += [(turn.end, side, -1, turn.speaker) for turn in turns]
    edges += [(start, 2, 1, "") for start, _ in spans]
    edges += [(end, 2, -1, "") for _, end in spans]
    # Of each side, and of the spans, what is open and how many times.
    sides: list[Counter[str]] = [Counter(), Counter(), Counter()]
    since = -inf
    for time, side, step, name in sorted(edges):
        if sides[2] and since < time:
            yield since, time, State(frozenset(sides[0]), frozenset(sides[1]))
        since = time
        sides[side][name] += step
        if not sides[side][name]:
            del sides[side][name]


class SharedSpeech(NamedTuple):
    """How long H hypothesis and R reference speakers talk, alone and together."""

    hypothesis: list[str]
    reference: list[str]
    # (H, R), (H,) and (R,) seconds.
    shared: FloatArray
    theirs: FloatArray
    ours: FloatArray


def _share_speech(seconds: StateSeconds) -> SharedSpeech:
    hypothesis = sorted(set().union(*(state.hypothesis for state in seconds)))
    reference = sorted(set().union(*(state.reference for state in seconds)))
    rows = {name: row for row, name in enumerate(hypothesis)}
    columns = {name: column for column, name in enumerate(reference)}
    shared = np.zeros((len(rows), len(columns)))
    theirs, ours = np.zeros(len(rows)), np.zeros(len(columns))
    for state, duration in seconds.items():
        here = [rows[name] for name in state.hypothesis]
        there = [columns[name] for name in state.reference]
        shared[np.ix_(here, there)] += duration
        theirs[here] += duration
        ours[there] += duration
    return SharedSpeech(hypothesis, reference, shared, theirs, ours)


# ---- rates -------------------------------------------------------------------------


def map_speakers(seconds: StateSeconds) -> dict[str, str]:
    """Map hypothesis to reference speakers so that they share the most time."""
    speech = _share_speech(seconds)
    return {
        speech.hypothesis[row]: speech.reference[column]
        for row, column in zip(*_match(speech.shared), strict=True)
        if speech.shared[row, column] > 0
    }


def _match(gain: FloatArray) -> tuple[IntArray, IntArray]:
    """Pair rows and columns one to one so that the gains (>= 0) add up to the most."""
    rows, columns = (np.flatnonzero(gain.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return rows, rows
    # Nothing is better than the best of each row or column, if these do not collide.
    best_columns, best_rows = gain[rows].argmax(axis=1), gain[:, columns].argmax(axis=0)
    if len(np.unique(best_columns)) == len(rows):
        return rows, best_columns
    if len(np.unique(best_rows)) == len(columns):
        return best_rows, columns
    # Takes a third of a second to load.
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(gain, maximize=True)


def count_errors(seconds: StateSeconds, mapping: Mapping[str, str]) -> Score:
    """Count the error seconds of mapped hypothesis speakers."""
    # By number of reference speakers: none, one, more.
    parts = [[0.0] * 4 for _ in range(3)]
    reference = hypothesis = both = 0.0
    for state, duration in seconds.items():
        ours, theirs = len(state.reference), len(state.hypothesis)
        correct = sum(mapping.get(name) in state.reference for name in state.hypothesis)
        wrong = (
            max(ours - theirs, 0),
            max(theirs - ours, 0),
            min(ours, theirs) - correct,
        )
        part = parts[min(ours, 2)]
        for place, speakers in enumerate((ours, *wrong)):
            part[place] += duration * speakers
        reference += duration * (ours > 1)
        hypothesis += duration * (theirs > 1)
        both += duration * (ours > 1 and theirs > 1)
    silence, single, overlap = (Errors(*part) for part in parts)
    total = silence + single + overlap
    return Score(
        **vars(total),
        silence=silence,
        single=single,
        overlap=overlap,
        overlap_seconds=OverlapSeconds(reference, hypothesis, both),
    )


def _count_jaccard(seconds: StateSeconds) -> Score:
    """Return the minimum sum of Jaccard error rates over all speaker mappings."""
    speech = _share_speech(seconds)
    index = speech.shared / (speech.theirs[:, np.newaxis] + speech.ours - speech.shared)
    matched = float(index[_match(index)].sum())
    # Rounding must not make an error rate negative.
    return Score(
        jaccard=max(len(speech.ours) - matched, 0.0), speakers=len(speech.ours)
    )
