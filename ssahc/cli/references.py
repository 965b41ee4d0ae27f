"""What verbs that score read: references, spans to score, and hypotheses to compare."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ssahc.cli.runner import warn_of
from ssahc.core.errors import DataError
from ssahc.core.options import Options
from ssahc.core.types import Turn
from ssahc.io.rttm import Rttm, read_rttm, read_uem
from ssahc.scoring.der import Score, ScoringOptions, Spans


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


@dataclass(frozen=True, eq=False)
class References:
    """The references of a corpus.

    Attributes
    ----------
    path : Path
        Where they were read.
    rttm : Rttm
        Turns and channels.
    spans : dict, optional
        Recording to its scored spans, if there is a UEM; it may lack recordings.
    """

    path: Path
    rttm: Rttm
    spans: Mapping[str, Spans] | None = None


def read_references(path: Path, uem: Path | None = None) -> References:
    """Read an RTTM of references and, if there is one, a UEM.

    Recordings that the UEM lacks are named in a warning.

    Raises
    ------
    DataError
        If there is no turn, or the UEM is of other recordings or channels.
    """
    rttm = read_rttm(path)
    if not rttm.turns:
        raise DataError(f"{path}: holds no SPEAKER line; check the path")
    if uem is None:
        return References(path, rttm)
    spans = _read_spans(uem, rttm)
    warn_of(
        "not in the UEM, scored from first to last reference turn",
        rttm.turns.keys() - spans.keys(),
    )
    return References(path, rttm, spans)


def _read_spans(uem: Path, reference: Rttm) -> dict[str, Spans]:
    """Return the UEM's spans of the reference's recordings, on the same channels."""
    spans: dict[str, Spans] = {}
    for recording, channels in read_uem(uem).items():
        if recording not in reference.channels:
            continue
        channel = reference.channels[recording]
        if channel.lower() not in channels:
            raise DataError(
                f"{uem}: has recording {recording!r} on channel "
                f"{' and '.join(map(repr, channels))} only, the reference is on "
                f"{channel!r}; make them agree"
            )
        spans[recording] = channels[channel.lower()]
    if not spans:
        raise DataError(f"{uem}: names no recording of the reference; check the ids")
    return spans


def read_hypothesis(path: Path, references: References) -> dict[str, list[Turn]]:
    """Read an RTTM to be scored: recording to its turns.

    Recordings that only one of the two has are named in a warning.

    Raises
    ------
    DataError
        If a recording is on another channel than its reference.
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
    warn_of("not in the hypothesis, counted as missed", ours - theirs)
    warn_of("in the hypothesis alone, not scored", theirs - ours)
    return hypothesis.turns


def refuse_nothing_scored(scores: Iterable[Score]) -> None:
    """Refuse scores that are of nothing.

    Raises
    ------
    DataError
        If no reference speech was scored in any recording.
    """
    if not any(score.scored for score in scores):
        raise DataError(
            "no reference speech is left to score; check the collar and the UEM"
        )
