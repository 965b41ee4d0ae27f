"""References, UEM and hypotheses: inputs of the verbs that score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ssahc.cli.runner import track, warn_of
from ssahc.core.errors import DataError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import RttmObject, Turn
from ssahc.core.validation import flag
from ssahc.io.rttm import Rttm, read_rttm, read_uem
from ssahc.scoring.across import AcrossScore, score_across
from ssahc.scoring.der import Score, score_corpus
from ssahc.scoring.error_spans import ErrorAnalysis, find_errors
from ssahc.scoring.regions import ScoringOptions, Spans

Hypothesis = Mapping[str, Sequence[Turn]]
_NOT_IN_HYPOTHESIS = "not in the hypothesis, counted as missed"
_NOT_IN_REFERENCE = "in the hypothesis alone, not scored"
_NOT_IN_UEM = "not in the UEM, scored from first to last reference turn"


@dataclass(frozen=True)
class Protocol(Options, group="Scoring"):
    """What is scored.

    Parameters
    ----------
    uem : Path, optional
        UEM file of the regions to score. Default, also for recordings that it lacks:
        from the first to the last reference turn.
    scoring : ScoringOptions
    """

    uem: Path | None = None
    scoring: ScoringOptions = field(default_factory=ScoringOptions)


def refuse_scoring(given: Mapping[str, object], missing: str) -> None:
    """Raise a UsageError for options of scoring that are given without a reference."""
    useless = [flag(name) for name, value in given.items() if value is not None]
    if useless:
        raise UsageError(
            f"without {missing} nothing is scored; leave out {' and '.join(useless)}"
        )


@dataclass(frozen=True, eq=False)
class References:
    """The references of a corpus."""

    path: Path
    rttm: Rttm
    # The spans of recordings to score, if there is a UEM; it may lack recordings.
    spans: Mapping[str, Spans] | None = None

    def uem_of(self, recording: str) -> Spans | None:
        """Return the spans to score, if the UEM lists the recording."""
        return None if self.spans is None else self.spans.get(recording)

    def objects_of(self, recording: str) -> Sequence[RttmObject]:
        """Return what else the RTTM holds: what is not to be scored, and words."""
        return self.rttm.objects.get(recording, ())


def read_references(path: Path, uem: Path | None = None) -> References:
    """Read an RTTM of references and, optionally, a UEM.

    A warning names the recordings that the UEM lacks. A DataError is raised if there is
    no turn, or the UEM is about other recordings or channels.
    """
    rttm = read_rttm(path)
    if not rttm.turns:
        raise DataError(f"{path}: holds no SPEAKER line; check the path")
    if uem is None:
        return References(path, rttm)
    spans = _read_spans(uem, rttm)
    warn_of(_NOT_IN_UEM, rttm.turns.keys() - spans.keys())
    return References(path, rttm, spans)


def _read_spans(uem: Path, reference: Rttm) -> dict[str, Spans]:
    """Return the UEM's spans of the reference's recordings, on the same channels.

    As in md-eval, names of audio files, such as wav/rec.sph, stand for recordings. A
    channel NA is any.
    """
    spans: dict[str, Spans] = {}
    for listed, channels in read_uem(uem).items():
        file = PurePosixPath(listed)
        names = (listed, file.name, file.stem)
        known = [name for name in names if name in reference.channels]
        if not known:
            continue
        recording = known[0]
        channel = reference.channels[recording]
        found = channels.get(channel.lower(), channels.get("na", channels.get("<na>")))
        if found is None:
            raise DataError(
                f"{uem}: has recording {recording!r} on channel "
                f"{' and '.join(map(repr, channels))} only, the reference is on "
                f"{channel!r}; make them agree"
            )
        if recording in spans:
            raise DataError(
                f"{uem}: lists recording {recording!r} under two names; keep one"
            )
        spans[recording] = found
    if not spans:
        raise DataError(f"{uem}: names no recording of the reference; check the ids")
    return spans


def read_hypothesis(path: Path, references: References) -> dict[str, list[Turn]]:
    """Read the turns of an RTTM to be scored, on the channels of the references.

    Warnings name the recordings that only the references or the hypothesis contain.
    """
    hypothesis, reference = read_rttm(path), references.rttm
    for recording, channel in hypothesis.channels.items():
        expected = reference.channels.get(recording, channel)
        if expected.lower() != channel.lower():
            raise DataError(
                f"recording {recording!r} is on channel {expected!r} in "
                f"{references.path}, on {channel!r} in {path}, so md-eval would not "
                f"match them; write the hypothesis with --rttm-channel {expected}"
            )
    ours, theirs = reference.turns.keys(), hypothesis.turns.keys()
    warn_of(_NOT_IN_HYPOTHESIS, ours - theirs)
    warn_of(_NOT_IN_REFERENCE, theirs - ours)
    return hypothesis.turns


def find_mismatches(
    references: References, hypothesis: Hypothesis
) -> dict[str, set[str]]:
    """Return the recordings that are missing somewhere, by what follows from it."""
    ours, theirs = references.rttm.turns.keys(), hypothesis.keys()
    mismatches = {
        _NOT_IN_HYPOTHESIS: ours - theirs,
        _NOT_IN_REFERENCE: theirs - ours,
    }
    if references.spans is not None:
        mismatches[_NOT_IN_UEM] = ours - references.spans.keys()
    return mismatches


def score_hypothesis(
    references: References, hypothesis: Hypothesis, options: ScoringOptions
) -> dict[str, Score]:
    """Score all recordings; raise a DataError if no reference speech is scored."""
    turns = references.rttm.turns
    scores = score_corpus(
        turns,
        hypothesis,
        options,
        uem=references.spans,
        objects=references.rttm.objects,
        progress=lambda names: track(names, len(turns), "scoring"),
    )
    _require_scored(scores.values())
    return scores


def score_linked(
    references: References, hypothesis: Hypothesis, options: ScoringOptions
) -> AcrossScore:
    """Score all recordings at once, whose speakers have names that they share."""
    return score_across(
        references.rttm.turns,
        hypothesis,
        options,
        uem=references.spans,
        objects=references.rttm.objects,
    )


def analyze_hypothesis(
    references: References,
    hypothesis: Hypothesis,
    options: ScoringOptions,
    recordings: Sequence[str],
) -> dict[str, ErrorAnalysis]:
    """Find the errors in some recordings; raise a DataError if nothing is scored."""
    analyses: dict[str, ErrorAnalysis] = {}
    for name in track(recordings, len(recordings), "scoring"):
        analyses[name] = find_errors(
            references.rttm.turns[name],
            hypothesis.get(name, ()),
            options,
            uem=references.uem_of(name),
            objects=references.objects_of(name),
        )
    _require_scored(analysis.score for analysis in analyses.values())
    return analyses


def _require_scored(scores: Iterable[Score]) -> None:
    if not any(score.scored for score in scores):
        raise DataError(
            "no reference speech is left to score; check the collar and the UEM"
        )
