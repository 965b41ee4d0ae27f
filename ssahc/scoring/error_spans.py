"""Where a hypothesis differs from the reference.

Error spans use the same speaker mapping, scored regions and matching as
`ssahc.scoring.der`, so the errors of a recording add up to its score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, get_args

from ssahc.core.turns import list_speakers, to_annotation
from ssahc.core.types import RttmObject, Turn
from ssahc.scoring.der import Score, score_in_regions
from ssahc.scoring.overlap_spans import OverlapSpan, find_overlap
from ssahc.scoring.regions import ScoringOptions, Spans, find_regions, subtract

if TYPE_CHECKING:
    from pyannote.core import Annotation

ErrorKind = Literal["missed", "false alarm", "confusion"]
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)


@dataclass(frozen=True)
class ErrorSpan:
    """A span of scored time, in seconds, in which one speaker is wrong.

    A false alarm has no reference speaker, missed speech no hypothesis speaker. Spans
    overlap where several speakers are wrong at once.
    """

    start: float
    end: float
    kind: ErrorKind
    reference: str | None
    hypothesis: str | None


@dataclass(frozen=True, eq=False)
class ErrorAnalysis:
    """Reference and hypothesis of one recording, and the errors, by start time."""

    reference: tuple[Turn, ...]
    hypothesis: tuple[Turn, ...]
    score: Score
    # Hypothesis speaker to reference speaker; unmapped speakers are not listed.
    mapping: Mapping[str, str]
    errors: tuple[ErrorSpan, ...]
    # Seconds of the extent that are not scored.
    unscored: Spans
    # From the first to the last turn or scored second.
    extent: tuple[float, float]
    # What of the UEM is overlap, whether it is scored or not.
    overlap: tuple[OverlapSpan, ...] = ()

    @property
    def reference_speakers(self) -> list[str]:
        """Speakers of the reference, sorted."""
        return list_speakers(self.reference)

    @property
    def hypothesis_speakers(self) -> list[str]:
        """Speakers of the hypothesis, sorted."""
        return list_speakers(self.hypothesis)


def find_errors(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    options: ScoringOptions,
    *,
    uem: Spans | None = None,
    objects: Sequence[RttmObject] = (),
) -> ErrorAnalysis:
    """Find the errors of a hypothesis; arguments are those of `score_recording`."""
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.errors.identification import IdentificationErrorAnalysis

    regions = find_regions(reference, options, uem=uem, objects=objects)
    score, mapping = score_in_regions(reference, hypothesis, regions)
    # A prefix keeps unmapped speakers apart from reference speakers of the same name.
    names = {
        turn.speaker: mapping.get(turn.speaker, f"hypothesis {turn.speaker}")
        for turn in hypothesis
    }
    renamed = [Turn(turn.start, turn.end, names[turn.speaker]) for turn in hypothesis]
    differences = IdentificationErrorAnalysis().difference(
        to_annotation(reference, "").support(),
        to_annotation(renamed, "").support(),
        uem=Timeline(Segment(start, end) for start, end in regions.scored),
    )
    times = [time for span in regions.uem for time in span]
    times += [
        time for turn in (*reference, *hypothesis) for time in (turn.start, turn.end)
    ]
    extent = min(times), max(times)
    return ErrorAnalysis(
        tuple(sorted(reference)),
        tuple(sorted(hypothesis)),
        score,
        mapping,
        _list_errors(differences, {label: name for name, label in names.items()}),
        tuple(subtract([extent], regions.scored)),
        extent,
        find_overlap(reference, hypothesis, regions.uem),
    )


def _list_errors(
    differences: "Annotation", names: Mapping[str, str]
) -> tuple[ErrorSpan, ...]:
    """Return error spans with the hypothesis speakers' own names.

    Where several speakers are wrong at once, they are paired by name; the pairs that
    pyannote.metrics forms are arbitrary.
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
        hypotheses = sorted(names[name] for _, name in wrong if name is not None)
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
