"""Diarization error rate, as NIST's md-eval (version 22) defines it, and JER.

The UEM says what is scored; without one, everything from the first to the last
reference turn. As in md-eval, speakers are mapped on all of it, and only then are the
collars around reference boundaries and, on request, overlapped reference speech
excluded. pyannote.metrics counts the seconds, but its ready-made metric maps speakers
after these exclusions, and its collar is the full width instead of the half.

One bug of md-eval is not reproduced: with ``-1``, a UEM and no collar, it scores
overlapped speech from a point where reference turns touch inside the overlap to the end
of the UEM's span.

The Jaccard error rate (JER; Second DIHARD Challenge evaluation plan, 2019) matches the
challenge's scorer, dscore. It covers everything in the UEM, never with a collar and
always with overlap, and uses its own speaker mapping: the one that minimizes JER (that
of pyannote.metrics maximizes shared time, as for DER). The error rate of a reference
speaker is 1 - intersection / union of their speech and that of the mapped hypothesis
speaker, or 1 if there is none. JER is the mean over reference speakers; pooled, over
the reference speakers of all recordings.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan
from operator import add
from typing import TYPE_CHECKING, Annotated

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.turns import to_annotation
from ssahc.core.types import FloatArray, Turn
from ssahc.core.validation import Interval

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline

Spans = Sequence[tuple[float, float]]


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
class Score:
    """Error seconds of one or more recordings; rates are derived from them.

    Scores can be added, so that pooled rates are computed from pooled seconds.

    Parameters
    ----------
    scored, missed, false_alarm, confusion : float
        Speaker time in seconds.
    jaccard : float
        Sum of the Jaccard error rates (0 to 1) of the reference speakers.
    speakers : int
        Number of reference speakers who speak in the scored spans; 0 also if JER was
        not computed.
    """

    scored: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0
    jaccard: float = 0.0
    speakers: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*map(add, vars(self).values(), vars(other).values()))

    def percent(self, seconds: float) -> float:
        """Return seconds as a percentage of scored speech; NaN if there is none."""
        return nan if self.scored == 0 else 100 * seconds / self.scored

    @property
    def der(self) -> float:
        """Diarization error rate in percent; NaN if no speech was scored."""
        return self.percent(self.missed + self.false_alarm + self.confusion)

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
) -> Score:
    """Score one recording.

    Parameters
    ----------
    reference, hypothesis : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        Spans to score, in seconds; by default from the first to the last reference
        turn.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM.
    """
    scored = crop_reference(reference, options, uem=uem)
    mapped, _ = map_speakers(scored, hypothesis)
    return score_mapped(scored, mapped)


def score_corpus(
    reference: Mapping[str, Sequence[Turn]],
    hypothesis: Mapping[str, Sequence[Turn]],
    options: ScoringOptions = ScoringOptions(),
    *,
    uem: Mapping[str, Spans] | None = None,
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
    progress : callable, optional
        Wraps the iteration over recordings.
    """
    return {
        name: score_recording(
            reference[name],
            hypothesis.get(name, ()),
            options,
            uem=None if uem is None else uem.get(name),
        )
        for name in progress(reference)
    }


@dataclass(frozen=True, eq=False)
class ScoredReference:
    """The reference of a recording, and where a hypothesis is scored against it."""

    # Reference turns within the UEM.
    annotation: "Annotation"
    # Where speakers are mapped.
    uem: "Timeline"
    # Where errors count: the UEM without collars and, on request, without overlap.
    scored: "Timeline"


def crop_reference(
    reference: Sequence[Turn], options: ScoringOptions, *, uem: Spans | None = None
) -> ScoredReference:
    """Crop reference turns to the UEM and find where errors count."""
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.identification import IdentificationErrorRate

    if uem is None:
        if not reference:
            raise DataError("the reference is empty and no UEM says what to score")
        uem = [(min(turn.start for turn in reference), max(t.end for t in reference))]
    elif not all(-inf < start < end < inf for start, end in uem):
        raise DataError(f"expected spans with start < end in a UEM, found {uem}")
    spans = Timeline([Segment(start, end) for start, end in uem]).support()
    annotation = to_annotation(reference, "")
    scored = IdentificationErrorRate().extrude(
        spans,
        annotation,
        collar=2 * options.collar,
        skip_overlap=options.ignore_overlaps,
    )
    return ScoredReference(annotation.support().crop(spans), spans, scored)


def map_speakers(
    reference: ScoredReference, hypothesis: Sequence[Turn]
) -> "tuple[Annotation, dict[str, str]]":
    """Map hypothesis speakers to reference speakers, as md-eval does.

    Returns the hypothesis within the UEM, where mapped speakers have the names of their
    reference speakers, and the name in the hypothesis of each of its speakers.
    """
    from scipy.optimize import linear_sum_assignment

    # A prefix keeps unmapped speakers apart from reference speakers of the same name.
    names = {f"hypothesis {t.speaker}": t.speaker for t in hypothesis}
    turns = [Turn(t.start, t.end, f"hypothesis {t.speaker}") for t in hypothesis]
    annotation = to_annotation(turns, "").support().crop(reference.uem)
    shared = annotation * reference.annotation
    theirs, ours = annotation.labels(), reference.annotation.labels()
    mapping = {
        theirs[row]: ours[column]
        for row, column in zip(*linear_sum_assignment(-shared), strict=True)
        if shared[row, column] > 0
    }
    owners = {mapping.get(label, label): name for label, name in names.items()}
    return annotation.rename_labels(mapping=mapping), owners


def score_mapped(reference: ScoredReference, mapped: "Annotation") -> Score:
    """Score a hypothesis from `map_speakers`."""
    from pyannote.metrics.identification import IdentificationErrorRate

    seconds = IdentificationErrorRate().compute_components(
        reference.annotation, mapped, uem=reference.scored
    )
    return Score(
        seconds["total"],
        seconds["missed detection"],
        seconds["false alarm"],
        seconds["confusion"],
        _sum_jaccard(
            mapped * reference.annotation,
            _durations(mapped),
            _durations(reference.annotation),
        ),
        len(reference.annotation.labels()),
    )


def _durations(annotation: "Annotation") -> FloatArray:
    return np.array([annotation.label_duration(name) for name in annotation.labels()])


def _sum_jaccard(shared: FloatArray, theirs: FloatArray, ours: FloatArray) -> float:
    """Return the minimum sum of Jaccard error rates over all speaker mappings.

    `shared` holds the (H, R) seconds that hypothesis and reference speakers have in
    common, `theirs` (H,) and `ours` (R,) those of each speaker.
    """
    from scipy.optimize import linear_sum_assignment

    index = shared / (theirs[:, np.newaxis] + ours - shared)
    # Rounding must not make an error rate negative.
    return max(len(ours) - float(index[linear_sum_assignment(-index)].sum()), 0.0)
