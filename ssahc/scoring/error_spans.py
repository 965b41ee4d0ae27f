"""Where a hypothesis differs from the reference, second by second.

Spans come from the same mapping, the same scored region and the same matching as the
seconds of `ssahc.scoring.der`, so that the errors of a recording add up to its score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, get_args

from ssahc.core.turns import list_speakers
from ssahc.core.types import Turn
from ssahc.scoring.der import (
    Score,
    ScoringOptions,
    Spans,
    find_scored,
    map_speakers,
    score_mapped,
)

if TYPE_CHECKING:
    from pyannote.core import Annotation

ErrorKind = Literal["missed", "false alarm", "confusion"]
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)


@dataclass(frozen=True)
class ErrorSpan:
    """A stretch of scored time in which one speaker is wrong.

    Spans of one recording overlap where several speakers are wrong at once.

    Attributes
    ----------
    start, end : float
        In seconds.
    kind : {"missed", "false alarm", "confusion"}
    reference : str or None
        Who speaks; None for a false alarm.
    hypothesis : str or None
        Who speaks according to the hypothesis; None for missed speech.
    """

    start: float
    end: float
    kind: ErrorKind
    reference: str | None
    hypothesis: str | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Reference and hypothesis of a recording, side by side.

    Attributes
    ----------
    reference, hypothesis : tuple of Turn
    score : Score
    mapping : dict
        Hypothesis speaker to the reference speaker it is scored as; those that md-eval
        maps to nobody are not there.
    errors : tuple of ErrorSpan
        By start time.
    unscored : tuple of (start, end)
        Spans of the extent that are not scored, in seconds.
    extent : (float, float)
        From the first to the last turn or scored second.
    """

    reference: tuple[Turn, ...]
    hypothesis: tuple[Turn, ...]
    score: Score
    mapping: Mapping[str, str]
    errors: tuple[ErrorSpan, ...]
    unscored: Spans
    extent: tuple[float, float]

    @cached_property
    def reference_speakers(self) -> list[str]:
        """Speakers of the reference; a speaker's place is their lane and colour."""
        return list_speakers(self.reference)

    @cached_property
    def reference_lanes(self) -> dict[str, int]:
        """Reference speaker to lane, counted from 0."""
        return {name: lane for lane, name in enumerate(self.reference_speakers)}

    @cached_property
    def unmapped_speakers(self) -> list[str]:
        """Hypothesis speakers that are mapped to nobody."""
        speakers = list_speakers(self.hypothesis)
        return [name for name in speakers if name not in self.mapping]

    @cached_property
    def hypothesis_lanes(self) -> dict[str, int]:
        """Hypothesis speaker to lane: the mapped speaker's, else one of their own."""
        lanes = {name: self.reference_lanes[to] for name, to in self.mapping.items()}
        count = len(self.reference_speakers)
        own = enumerate(self.unmapped_speakers, start=count)
        return lanes | {name: lane for lane, name in own}

    @property
    def num_lanes(self) -> int:
        """Number of lanes that reference and hypothesis need."""
        return len(self.reference_speakers) + len(self.unmapped_speakers)


def compare(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    options: ScoringOptions,
    *,
    uem: Spans | None = None,
) -> Comparison:
    """Find the errors of a hypothesis.

    Parameters
    ----------
    reference, hypothesis : sequence of Turn
    options : ScoringOptions
    uem : sequence of (start, end), optional
        The scored spans, in seconds; without, from first to last reference turn.

    Raises
    ------
    DataError
        If there is neither a reference turn nor a UEM.
    """
    from pyannote.core import Segment
    from pyannote.metrics.errors.identification import IdentificationErrorAnalysis

    scored = find_scored(reference, options, uem=uem)
    mapped, owners = map_speakers(scored, hypothesis)
    speakers = {turn.speaker for turn in reference}
    differences = IdentificationErrorAnalysis().difference(
        scored.truth, mapped, uem=scored.region
    )
    span = scored.span.extent()
    turns = (*reference, *hypothesis)
    extent = Segment(
        min([span.start, *(turn.start for turn in turns)]),
        max([span.end, *(turn.end for turn in turns)]),
    )
    gaps = scored.region.gaps(support=extent)
    return Comparison(
        tuple(sorted(reference)),
        tuple(sorted(hypothesis)),
        score_mapped(scored, mapped),
        {name: label for label, name in owners.items() if label in speakers},
        _list_errors(differences, owners),
        tuple((gap.start, gap.end) for gap in gaps),
        (extent.start, extent.end),
    )


def _list_errors(
    differences: "Annotation", owners: Mapping[str, str]
) -> tuple[ErrorSpan, ...]:
    """Return what is not correct, hypothesis speakers under their own names.

    Where several speakers are wrong at once, pyannote.metrics leaves it to chance who
    of them is confused with whom and who is missed: here, they are paired by name.
    """
    errors = differences.empty()
    for segment in differences.itersegments():
        wrong = [
            (reference, hypothesis)
            for status, reference, hypothesis in differences.get_labels(
                segment, unique=False
            )
            if status != "correct"
        ]
        references = sorted(name for name, _ in wrong if name is not None)
        hypotheses = sorted(owners[name] for _, name in wrong if name is not None)
        for track, pair in enumerate(zip_longest(references, hypotheses)):
            errors[segment, track] = pair
    return tuple(
        ErrorSpan(span.start, span.end, _kind(*pair), *pair)
        for span, _, pair in errors.support().itertracks(yield_label=True)
    )


def _kind(reference: str | None, hypothesis: str | None) -> ErrorKind:
    if hypothesis is None:
        return "missed"
    return "false alarm" if reference is None else "confusion"
