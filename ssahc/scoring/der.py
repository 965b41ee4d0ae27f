"""Diarization error rate with the rules of NIST's md-eval (version 22), and JER.

The scored span is the UEM's, or without one from the first to the last reference turn.
Speakers are mapped on the whole span first; only then the collar around every boundary
of the reference and, if asked for, stretches with two reference turns or more are
removed. pyannote.metrics does the work, in an order of our own: its ready-made metric
maps after the removal, and takes the whole width of the collar.

One fault of md-eval is not repeated: with ``-1``, a UEM and no collar, it scores
overlapped speech from a point where reference turns touch inside the overlap up to the
end of the UEM's span.

The Jaccard error rate (JER; Second DIHARD Challenge evaluation plan, 2019) is that of
the challenge's scorer, dscore: over the whole scored span, always without a collar and
with overlap, and with a mapping of its own, the one that makes JER least. (That of
pyannote.metrics maps the speakers that share most time, as for DER.) The error rate of
a reference speaker is 1 - intersection / union of their speech and that of the
hypothesis speaker mapped to them, and 1 if there is none. JER is the mean over the
reference speakers; of pooled recordings, over the reference speakers of all of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan
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
    """Sums over recordings, so that scores can be added; rates are derived.

    Parameters
    ----------
    scored, missed, false_alarm, confusion : float
        Speaker time in seconds.
    jaccard : float
        Sum of the Jaccard error rates (0 to 1) of the reference speakers.
    speakers : int
        Reference speakers who speak in the scored span; 0 also where JER was not
        computed.
    """

    scored: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0
    jaccard: float = 0.0
    speakers: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.scored + other.scored,
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
            self.jaccard + other.jaccard,
            self.speakers + other.speakers,
        )

    def percent(self, seconds: float) -> float:
        """Return seconds in percent of those scored; NaN where no speech was."""
        return nan if self.scored == 0 else 100 * seconds / self.scored

    @property
    def der(self) -> float:
        """Diarization error rate in percent; NaN where no speech was scored."""
        return self.percent(self.missed + self.false_alarm + self.confusion)

    @property
    def jer(self) -> float:
        """Jaccard error rate in percent; NaN where there is no reference speaker."""
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
        The scored spans, in seconds.

    Returns
    -------
    Score

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM.
    """
    return score_turns(find_scored(reference, options, uem=uem), hypothesis)


def score_turns(scored: "Scored", hypothesis: Sequence[Turn]) -> Score:
    """Score turns of a recording of which it is known already what is scored.

    Parameters
    ----------
    scored : Scored
        From `find_scored`.
    hypothesis : sequence of Turn
    """
    return score_mapped(scored, map_speakers(scored, hypothesis)[0])


def score_mapped(scored: "Scored", mapped: "Annotation") -> Score:
    """Score a hypothesis whose speakers are mapped already.

    Parameters
    ----------
    scored : Scored
        From `find_scored`.
    mapped : pyannote.core.Annotation
        From `map_speakers`.
    """
    from pyannote.metrics.identification import IdentificationErrorRate

    seconds = IdentificationErrorRate().compute_components(
        scored.truth, mapped, uem=scored.region
    )
    return Score(
        seconds["total"],
        seconds["missed detection"],
        seconds["false alarm"],
        seconds["confusion"],
        _sum_jaccard(
            mapped * scored.truth, _durations(mapped), _durations(scored.truth)
        ),
        len(scored.truth.labels()),
    )


def map_speakers(
    scored: "Scored", hypothesis: Sequence[Turn]
) -> "tuple[Annotation, dict[str, str]]":
    """Map hypothesis speakers to those of the reference, as md-eval does.

    Parameters
    ----------
    scored : Scored
        From `find_scored`.
    hypothesis : sequence of Turn

    Returns
    -------
    mapped : pyannote.core.Annotation
        The hypothesis within the span, mapped speakers under the reference's names.
    owners : dict
        Speaker of `mapped` to the speaker's own name in the hypothesis.
    """
    from scipy.optimize import linear_sum_assignment

    # Names of hypothesis speakers must not collide with reference names by chance.
    names = {f"hypothesis {t.speaker}": t.speaker for t in hypothesis}
    guess = to_annotation(
        [Turn(t.start, t.end, f"hypothesis {t.speaker}") for t in hypothesis], ""
    ).support()
    guess = guess.crop(scored.span)
    shared = guess * scored.truth
    theirs, ours = guess.labels(), scored.truth.labels()
    mapping = {
        theirs[row]: ours[column]
        for row, column in zip(*linear_sum_assignment(-shared), strict=True)
        if shared[row, column] > 0
    }
    owners = {mapping.get(label, label): name for label, name in names.items()}
    return guess.rename_labels(mapping=mapping), owners


def _durations(annotation: "Annotation") -> FloatArray:
    """Return the seconds of every speaker, in the order of the labels."""
    return np.array([annotation.label_duration(name) for name in annotation.labels()])


def _sum_jaccard(shared: FloatArray, theirs: FloatArray, ours: FloatArray) -> float:
    """Return the least sum over reference speakers of their Jaccard error rates.

    Parameters
    ----------
    shared : (H, R) array
        Seconds that each hypothesis speaker shares with each reference speaker.
    theirs, ours : (H,) and (R,) array
        Seconds of each hypothesis and of each reference speaker.
    """
    from scipy.optimize import linear_sum_assignment

    index = shared / (theirs[:, np.newaxis] + ours - shared)
    # Rounding must not make an error rate negative.
    return max(len(ours) - float(index[linear_sum_assignment(-index)].sum()), 0.0)


@dataclass(frozen=True, eq=False)
class Scored:
    """What of a recording is scored.

    Attributes
    ----------
    truth : pyannote.core.Annotation
        The reference within the span.
    span : pyannote.core.Timeline
        Where speakers are mapped.
    region : pyannote.core.Timeline
        Where errors count: the span without collars and, if asked for, overlap.
    """

    truth: "Annotation"
    span: "Timeline"
    region: "Timeline"


def find_scored(
    reference: Sequence[Turn], options: ScoringOptions, *, uem: Spans | None = None
) -> Scored:
    """Return what of a recording is scored.

    Parameters
    ----------
    reference : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        The scored spans, in seconds; without, from first to last reference turn.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM, or times are none.
    """
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.identification import IdentificationErrorRate

    if uem is None:
        if not reference:
            raise DataError("the reference is empty and no UEM says what to score")
        uem = [(min(turn.start for turn in reference), max(t.end for t in reference))]
    elif not all(-inf < start < end < inf for start, end in uem):
        raise DataError(f"expected spans with start < end in a UEM, found {uem}")
    span = Timeline([Segment(start, end) for start, end in uem]).support()
    truth = to_annotation(reference, "")
    region = IdentificationErrorRate().extrude(
        span, truth, collar=2 * options.collar, skip_overlap=options.ignore_overlaps
    )
    return Scored(truth.support().crop(span), span, region)


def score_corpus(
    reference: Mapping[str, Sequence[Turn]],
    hypothesis: Mapping[str, Sequence[Turn]],
    options: ScoringOptions = ScoringOptions(),
    *,
    uem: Mapping[str, Spans] | None = None,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> dict[str, Score]:
    """Score every recording of the reference.

    A recording that the hypothesis lacks counts as missed. One that the UEM lacks is
    scored over the span of its reference, as md-eval does.

    Parameters
    ----------
    reference, hypothesis : mapping
        Recording to its turns.
    options : ScoringOptions
    uem : mapping, optional
        Recording to its scored spans.
    progress : callable, optional
        Wraps the recordings' names as they are gone through.
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
